"""What a console that is left says of the engine: only what it knows. Pure."""

from engine.model.views.freshness import Word
from pmpro_tui.console.draw.text import age

_AGAIN = "`pmpro-tui` attaches again, `pmpro stop` stops it"


def farewell(word: Word, age_s: float, *, inline: bool, stopping: bool) -> str:
    """Return what becomes of the engine; `word` and `age_s` are of the last picture of it.

    `inline`: it ran in the console's own process; `stopping`: this console has told it to stop.
    """
    if inline:
        return "the engine ended with this console"
    if stopping:
        return "the engine was told to stop (`pmpro status` says whether it has)"
    if word == "FRESH":
        return f"the engine keeps running ({_AGAIN})"
    if word == "STALE":
        return (
            f"the engine has said nothing for {age(age_s)}: `pmpro status` says whether it is back"
        )
    if word == "LOST":
        return f"no engine has answered for {age(age_s)}: `pmpro status` says whether one does"
    return "no engine had answered yet (`pmpro status` says whether one does)"
