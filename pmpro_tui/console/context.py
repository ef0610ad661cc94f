"""What decides whether an action is possible now, and the reasons why one is not. Pure."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from engine.model.views.freshness import Word
from engine.model.views.snapshot import Snapshot

if TYPE_CHECKING:
    from pmpro_tui.console.hub import Notice

Blocked = Callable[["Context"], str | None]
Runs = dict[str, Callable[[], "Notice | str | Awaitable[None] | None"]]
"""What runs each action, by the action's name: it returns words, a screen to show, or neither."""

_OFF_STATES: Final = ("OFF", "KILLED", "QUARANTINED")


@dataclass(frozen=True, kw_only=True)
class Context:
    """What decides about actions: the picture, the link, the screen and what is marked on it.

    `target`: the name that kill, enable and disable hit. `local`: why the screen that is shown
    cannot run an action now, None if it can.
    """

    snapshot: Snapshot | None
    target: str
    target_state: str
    link: Word
    readonly: bool
    screen: str = "overview"
    local: Callable[[str], str | None] = lambda _: None
    has_shell: bool = True


@dataclass(frozen=True, kw_only=True)
class ConsoleAction:
    """One thing the operator can do. `blocked` returns why not now, None if possible.

    `kind`: view only changes the screen; reduce and add are commands; detach leaves.
    `screens`: the screens that know it; none means all.
    `rank`: place in the footer, lower stays longer; None is not shown there.
    `asks`: what is asked before it is sent, in words.
    """

    name: str
    keys: tuple[str, ...]
    shown: str
    label: str
    help: str
    kind: Literal["view", "reduce", "add", "detach"] = "view"
    rank: int | None = None
    blocked: Blocked = lambda _: None
    screens: tuple[str, ...] = ()
    asks: str = ""


def why_not(action: ConsoleAction, context: Context) -> str | None:
    """Return why an action is impossible now, None if it is possible."""
    if context.readonly and action.kind in ("reduce", "add"):
        return "this console is read-only"
    if action.screens and context.screen not in action.screens:
        *others, last = (name.capitalize() for name in action.screens)
        return f"only on {', '.join(others)} and {last}" if others else f"only on {last}"
    return action.blocked(context) or context.local(action.name)


def manual_row(action: ConsoleAction) -> str:
    """Return an action's row in the manual's table of keys."""
    keys = " ".join(f"`{key.replace('^', 'ctrl+')}`" for key in action.shown.split())
    asks = action.asks or ("no" if action.kind in ("reduce", "add") else "")
    return f"| {keys} | {action.help} | {asks} |".replace("  ", " ")


def known(now: Snapshot) -> bool:
    """Return whether positions and risk mean something: only while the engine looks at them."""
    return now.state not in ("STARTING", "STOPPING")


def targeted(context: Context) -> str | None:
    """Refuse without a target."""
    return None if context.target else "nothing of ours is selected"


def fresh(context: Context) -> str | None:
    """Refuse on a picture that is not fresh."""
    if context.link != "FRESH":
        return f"the screen is {context.link}: this needs a fresh picture"
    return None


def enable(context: Context) -> str | None:
    """Refuse to enable what is enabled."""
    if context.target_state and context.target_state not in _OFF_STATES:
        return f"{context.target} is enabled ({context.target_state})"
    return targeted(context) or fresh(context)


def allocate(context: Context) -> str | None:
    """Refuse without a target, or on a picture that is not fresh."""
    return targeted(context) or fresh(context)


def resume(context: Context) -> str | None:
    """Refuse to resume what goes on."""
    now = context.snapshot
    if now is not None and now.state == "ACTIVE" and now.risk.tier == 0:
        return "nothing to resume: the engine is ACTIVE"
    return fresh(context)


def rebase(context: Context) -> str | None:
    """Refuse to lower a high-water mark that keeps nothing out."""
    now = context.snapshot
    if now is not None and now.risk.tier < 2 and now.state == "ACTIVE":
        return f"drawdown tier {now.risk.tier} keeps no entry out"
    return fresh(context)


def suspend(context: Context) -> str | None:
    """Refuse to stop where nothing could bring the console back."""
    return None if context.has_shell else "there is no shell to go back to: q leaves"


def speed(context: Context) -> str | None:
    """Refuse another speed where the market sets it."""
    if context.snapshot is not None and context.snapshot.mode not in ("demo", "replay"):
        return f"the speed of a {context.snapshot.mode} account is the market's"
    return fresh(context)
