"""Is a picture of the engine still true? One rule for the console and for `pmpro status`."""

from typing import Final, Literal

Word = Literal["CONNECTING", "FRESH", "STALE", "LOST"]

STALE_AFTER_S: Final = 2.0
"""The engine publishes several times a second: an older picture is of one that is silent."""


def word_of(age_s: float | None, *, lost: bool) -> Word:
    """Return how true a picture is that is so old, None for none yet.

    FRESH: the engine published within the last moments. STALE: it answers, but nothing is newer.
    LOST: it does not answer.
    """
    if lost:
        return "LOST"
    if age_s is None:
        return "CONNECTING"
    return "STALE" if age_s > STALE_AFTER_S else "FRESH"
