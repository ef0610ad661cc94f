"""The one table of actions: bindings, footer, help, palette and the manual are made from it.

What reduces risk is never blocked by the state of the connection or by what the screen believes;
what adds risk needs a fresh picture. No safety key is a letter that ends an escape sequence
(A–F, H, P–S, Z, ~).
"""

from typing import Final, Literal

from pmpro_tui.console import context as reasons
from pmpro_tui.console.context import Action

SPEEDS: Final = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0)

_COMMANDS: Final = (
    Action(
        name="kill",
        keys=("K",),
        shown="K",
        label="Kill",
        help="Disable the target and close what it holds, at once",
        kind="reduce",
        rank=0,
        blocked=reasons.targeted,
    ),
    Action(
        name="enable",
        keys=("e",),
        shown="e",
        label="Enable",
        help="Let the target enter again, at its next change",
        kind="add",
        rank=1,
        blocked=reasons.enable,
    ),
    Action(
        name="disable",
        keys=("d",),
        shown="d",
        label="Disable",
        help="No more entries of the target; what it holds stays until its exit",
        kind="reduce",
        rank=2,
        blocked=reasons.targeted,
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
        help="Close every position and halt",
        kind="reduce",
        rank=4,
        asks="once",
    ),
    Action(
        name="resume",
        keys=("r",),
        shown="r",
        label="Resume",
        help="Allow entries again after a halt",
        kind="add",
        rank=8,
        blocked=reasons.resume,
        asks="the word `resume`",
    ),
)

_POSITIONS: Final = (
    Action(
        name="close",
        keys=("x",),
        shown="x",
        label="Close",
        help="Close the picked positions, or the marked one; its book waits for a new signal",
        kind="reduce",
        rank=2,
        screens=("positions",),
        asks="once",
    ),
    Action(
        name="pick",
        keys=("v",),
        shown="v",
        label="Pick",
        help="Pick the marked position or let it go; esc lets all go",
        rank=3,
        screens=("positions",),
    ),
)

_SCREENS: Final = (
    Action(
        name="overview",
        keys=("1",),
        shown="1",
        label="Overview",
        help="Equity, drawdown, risk, today by strategy, and what the engine depends on",
    ),
    Action(
        name="strategies",
        keys=("2",),
        shown="2",
        label="Strategies",
        help="Every strategy: state, signal, weight, result",
    ),
    Action(
        name="positions",
        keys=("3",),
        shown="3",
        label="Positions",
        help="Every open position: owner, stop, target, age, result",
    ),
    Action(
        name="risk",
        keys=("4",),
        shown="4",
        label="Risk",
        help="Every limit and rule with value and headroom; how the symbols move together",
    ),
    Action(
        name="backtests",
        keys=("5",),
        shown="5",
        label="Backtests",
        help="Launch backtests, see and compare their results",
    ),
    Action(
        name="log",
        keys=("6",),
        shown="6",
        label="Log",
        help="What the engine did, the audit trail, the orders",
    ),
    Action(
        name="alerts",
        keys=("7",),
        shown="7",
        label="Alerts",
        help="What wants somebody's eyes, and who has seen it",
    ),
    Action(
        name="help",
        keys=("8", "question_mark"),
        shown="? 8",
        label="Help",
        help="All keys, and why one does nothing now",
        rank=5,
    ),
)

_WITHIN: Final = (
    Action(
        name="next_panel",
        keys=("tab", "right_square_bracket"),
        shown="tab ]",
        label="Panel",
        help="Give the keys to the next panel",
        rank=10,
    ),
    Action(
        name="previous_panel",
        keys=("shift+tab", "left_square_bracket"),
        shown="shift+tab [",
        label="Panel ←",
        help="Give the keys to the panel before",
    ),
    Action(name="down", keys=("j", "down"), shown="j ↓", label="Down", help="Next row"),
    Action(name="up", keys=("k", "up"), shown="k ↑", label="Up", help="Row before"),
    Action(name="page_down", keys=("pagedown",), shown="PgDn", label="Page down", help="Page down"),
    Action(name="page_up", keys=("pageup",), shown="PgUp", label="Page up", help="Page up"),
    Action(name="first", keys=("home", "g"), shown="g Home", label="First", help="First row"),
    Action(name="last", keys=("end", "G"), shown="G End", label="Last", help="Last row"),
    Action(
        name="open",
        keys=("enter",),
        shown="enter",
        label="Open",
        help="Everything about the marked row; esc leaves it",
        rank=6,
        screens=("overview", "strategies", "risk", "backtests", "log"),
    ),
    Action(
        name="back",
        keys=("escape",),
        shown="esc",
        label="Back",
        help="Out of a detail, a filter, or the help",
    ),
    Action(
        name="filter",
        keys=("slash",),
        shown="/",
        label="Filter",
        help="Show rows in which all words occur; enter keeps them, esc shows all",
        rank=7,
    ),
    Action(
        name="sort",
        keys=("s",),
        shown="s",
        label="Sort",
        help="Order rows by the next column; after the last, as they come",
        rank=11,
    ),
    Action(
        name="reverse",
        keys=("S",),
        shown="S",
        label="Reverse",
        help="Turn the order round",
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
        name="palette",
        keys=("colon", "ctrl+p"),
        shown=": ^p",
        label="Palette",
        help="The same actions by name",
        rank=12,
    ),
)

_ALERTS: Final = (
    Action(
        name="ack",
        keys=("a",),
        shown="a",
        label="Seen",
        help="Acknowledge the marked alert: somebody looks after it",
        kind="reduce",
        rank=2,
        screens=("alerts",),
    ),
    Action(
        name="ack_all",
        keys=("ctrl+a",),
        shown="^a",
        label="All seen",
        help="Acknowledge every alert on the screen",
        kind="reduce",
        rank=2,
        screens=("alerts",),
    ),
)

_DETAILS: Final = (
    Action(
        name="limit",
        keys=("l",),
        shown="l",
        label="Limit",
        help="Set the marked limit from the next decision on",
        kind="add",
        rank=3,
        screens=("risk",),
        blocked=reasons.fresh,
        asks="the value; the word `limit` where that adds risk, else once",
    ),
    Action(
        name="launch",
        keys=("n",),
        shown="n",
        label="New",
        help="Launch a backtest: portfolio, symbols, period, costs",
        kind="add",
        rank=1,
        screens=("backtests",),
        asks="what to test",
    ),
    Action(
        name="cancel",
        keys=("c",),
        shown="c",
        label="Cancel",
        help="End the marked backtest, which runs or waits",
        kind="add",
        rank=2,
        screens=("backtests",),
    ),
    Action(
        name="compare",
        keys=("m",),
        shown="m",
        label="Compare",
        help="Keep the marked result; the next one opened stands beside it",
        rank=3,
        screens=("backtests",),
    ),
    Action(
        name="follow",
        keys=("f",),
        shown="f",
        label="Follow",
        help="Hold the log where it is, or follow its end again",
        rank=3,
        screens=("log",),
    ),
    Action(
        name="level",
        keys=("L",),
        shown="L",
        label="Level",
        help="Least level of events shown; of audit entries: all or refused ones",
        rank=3,
        screens=("log",),
    ),
    Action(
        name="jump",
        keys=("t",),
        shown="t",
        label="Jump",
        help="Go to a time of the log, the audit entries or the orders",
        rank=3,
        screens=("log",),
        asks="the time",
    ),
    Action(
        name="find",
        keys=("o",),
        shown="o",
        label="Order",
        help="Open an order by its ticket or magic",
        rank=4,
        screens=("log",),
        asks="the number",
    ),
)

_CONSOLE: Final = (
    Action(
        name="faster",
        keys=("plus", "equals_sign"),
        shown="+ =",
        label="Faster",
        help="Next higher speed of the demo's or replay's clock",
        kind="add",
        rank=13,
        blocked=reasons.speed,
    ),
    Action(
        name="slower",
        keys=("minus",),
        shown="-",
        label="Slower",
        help="Next lower speed of the demo's or replay's clock",
        kind="add",
        rank=14,
        blocked=reasons.speed,
    ),
    Action(
        name="zone",
        keys=("z",),
        shown="z",
        label="Zone",
        help="Show times in UTC, in the box's zone or in the configured one, in turn",
    ),
    Action(
        name="detach",
        keys=("q", "ctrl+q"),
        shown="q ^q",
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
        help="Stop the engine",
        kind="add",
        rank=15,
        asks="once; the word `stop` while positions are open",
    ),
    Action(
        name="suspend",
        keys=("ctrl+z",),
        shown="^z",
        label="Suspend",
        help="Back to the shell; `fg` returns",
        kind="detach",
    ),
)

ACTIONS: Final[tuple[Action, ...]] = (
    *_COMMANDS,
    *_POSITIONS,
    *_ALERTS,
    *_DETAILS,
    *_SCREENS,
    *_WITHIN,
    *_CONSOLE,
)
SCREENS: Final = tuple(action.name for action in _SCREENS)
BY_NAME: Final = {action.name: action for action in ACTIONS}


def next_speed(speed: float, step: Literal[1, -1]) -> float:
    """Return the next speed above or below."""
    if step > 0:
        return next((s for s in SPEEDS if s > speed), SPEEDS[-1])
    return next((s for s in reversed(SPEEDS) if s < speed), SPEEDS[0])
