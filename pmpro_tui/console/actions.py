"""The one table of actions: bindings, footer, help and palette are made from it.

What reduces risk is never blocked by the state of the connection or by what the screen believes;
what adds risk needs a fresh picture. No safety key is a letter that ends an escape sequence
(A–F, H, P–S, Z, ~).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from engine.model.snapshot import Snapshot
from pmpro_tui.console.link import Word

SPEEDS: Final = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0)

_OFF_STATES = ("OFF", "KILLED", "QUARANTINED")


@dataclass(frozen=True, kw_only=True)
class Context:
    """What decides whether an action is possible now."""

    snapshot: Snapshot | None
    target: str
    target_state: str
    link: Word
    readonly: bool


Blocked = Callable[[Context], str | None]


@dataclass(frozen=True, kw_only=True)
class Action:
    """One thing the operator can do. `blocked` returns why not now, None if possible.

    `kind`: view only changes the screen; reduce and add are commands; detach leaves.
    `rank`: place in the footer, lower stays longer; None is not shown there.
    """

    name: str
    keys: tuple[str, ...]
    shown: str
    label: str
    help: str
    kind: Literal["view", "reduce", "add", "detach"] = "view"
    rank: int | None = None
    blocked: Blocked = lambda _: None


def _targeted(context: Context) -> str | None:
    return None if context.target else "nothing of ours is selected"


def _fresh(context: Context) -> str | None:
    if context.link != "FRESH":
        return f"the screen is {context.link}: this needs a fresh picture"
    return None


def _enable(context: Context) -> str | None:
    if context.target_state and context.target_state not in _OFF_STATES:
        return f"{context.target} is enabled ({context.target_state})"
    return _targeted(context) or _fresh(context)


def _resume(context: Context) -> str | None:
    now = context.snapshot
    if now is not None and now.state == "ACTIVE" and now.risk.tier == 0:
        return "nothing to resume: the engine is ACTIVE"
    return _fresh(context)


def _speed(context: Context) -> str | None:
    if context.snapshot is not None and context.snapshot.mode not in ("demo", "replay"):
        return f"the speed of a {context.snapshot.mode} account is the market's"
    return _fresh(context)


ACTIONS: Final[tuple[Action, ...]] = (
    Action(
        name="kill",
        keys=("K",),
        shown="K",
        label="Kill",
        help="Disable the target and close what it holds, at once",
        kind="reduce",
        rank=0,
        blocked=_targeted,
    ),
    Action(
        name="enable",
        keys=("e",),
        shown="e",
        label="Enable",
        help="Let the target enter again, at its next change",
        kind="add",
        rank=1,
        blocked=_enable,
    ),
    Action(
        name="disable",
        keys=("d",),
        shown="d",
        label="Disable",
        help="No more entries of the target; what it holds stays until its exit",
        kind="reduce",
        rank=2,
        blocked=_targeted,
    ),
    Action(
        name="halt",
        keys=("X",),
        shown="X",
        label="Halt",
        help="No more entries of anybody, at once; exits go on",
        kind="reduce",
        rank=3,
    ),
    Action(
        name="flatten",
        keys=("ctrl+x",),
        shown="^x",
        label="Flatten",
        help="Close every position and halt, after one confirmation",
        kind="reduce",
        rank=4,
    ),
    Action(
        name="resume",
        keys=("r",),
        shown="r",
        label="Resume",
        help="Allow entries again after a halt; asks for a typed word",
        kind="add",
        rank=8,
        blocked=_resume,
    ),
    Action(
        name="filter",
        keys=("slash",),
        shown="/",
        label="Filter",
        help="Show strategies that match words: name, kind, symbol, book or state",
        rank=7,
    ),
    Action(
        name="sort",
        keys=("s",),
        shown="s",
        label="Sort",
        help="Order strategies by file, P&L, score, state or name, in turn",
        rank=11,
    ),
    Action(
        name="freeze",
        keys=("space",),
        shown="space",
        label="Freeze",
        help="Hold the picture to read it; keys still act",
        rank=9,
    ),
    Action(
        name="next_panel",
        keys=("tab",),
        shown="tab",
        label="Panel",
        help="Give the keys to the next panel",
        rank=10,
    ),
    Action(
        name="previous_panel",
        keys=("shift+tab",),
        shown="shift+tab",
        label="Back",
        help="Give the keys to the panel before",
    ),
    Action(name="down", keys=("j", "down"), shown="j ↓", label="Down", help="Next row"),
    Action(name="up", keys=("k", "up"), shown="k ↑", label="Up", help="Row before"),
    Action(name="page_down", keys=("pagedown",), shown="PgDn", label="Page", help="Page down"),
    Action(name="page_up", keys=("pageup",), shown="PgUp", label="Page", help="Page up"),
    Action(name="first", keys=("home", "g"), shown="g Home", label="First", help="First row"),
    Action(name="last", keys=("end", "G"), shown="G End", label="Last", help="Last row"),
    Action(
        name="faster",
        keys=("plus", "equals_sign"),
        shown="+",
        label="Faster",
        help="Next higher speed of the demo's or replay's clock",
        kind="add",
        rank=12,
        blocked=_speed,
    ),
    Action(
        name="slower",
        keys=("minus",),
        shown="-",
        label="Slower",
        help="Next lower speed of the demo's or replay's clock",
        kind="add",
        rank=13,
        blocked=_speed,
    ),
    Action(
        name="help",
        keys=("question_mark",),
        shown="?",
        label="Help",
        help="All keys, and why one does nothing now",
        rank=5,
    ),
    Action(
        name="detach",
        keys=("q",),
        shown="q",
        label="Detach",
        help="Leave this console; the engine keeps trading",
        kind="detach",
        rank=6,
    ),
    Action(
        name="stop",
        keys=("Q",),
        shown="Q",
        label="Stop",
        help="Stop the engine; asks for a typed word while positions are open",
        kind="add",
        rank=14,
    ),
)

BY_NAME: Final = {action.name: action for action in ACTIONS}


def known(now: Snapshot) -> bool:
    """Return whether positions and risk mean something: only while the engine looks at them."""
    return now.state not in ("STARTING", "STOPPING")


def why_not(action: Action, context: Context) -> str | None:
    """Return why an action is impossible now, None if it is possible."""
    if context.readonly and action.kind in ("reduce", "add"):
        return "this console is read-only"
    return action.blocked(context)


def next_speed(speed: float, step: Literal[1, -1]) -> float:
    """Return the next speed above or below."""
    if step > 0:
        return next((s for s in SPEEDS if s > speed), SPEEDS[-1])
    return next((s for s in reversed(SPEEDS) if s < speed), SPEEDS[0])
