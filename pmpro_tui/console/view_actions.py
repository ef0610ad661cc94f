"""Actions on what is shown, on the console, and on the engine as a whole."""

from typing import Final

from pmpro_tui.console import context as reasons
from pmpro_tui.console.context import ConsoleAction

SCREENS: Final = (
    ConsoleAction(
        name="overview",
        keys=("1",),
        shown="1",
        label="Overview",
        help="Equity, drawdown, risk, today by strategy, and what the engine depends on",
    ),
    ConsoleAction(
        name="strategies",
        keys=("2",),
        shown="2",
        label="Strategies",
        help="Every strategy: state, signal, weight, result",
    ),
    ConsoleAction(
        name="positions",
        keys=("3",),
        shown="3",
        label="Positions",
        help="Every open position: owner, stop, target, age, result",
    ),
    ConsoleAction(
        name="risk",
        keys=("4",),
        shown="4",
        label="Risk",
        help="Every limit and rule with value and headroom; how the symbols move together",
    ),
    ConsoleAction(
        name="backtests",
        keys=("5",),
        shown="5",
        label="Backtests",
        help="Launch backtests, see and compare their results",
    ),
    ConsoleAction(
        name="log",
        keys=("6",),
        shown="6",
        label="Log",
        help="What the engine did, the audit trail, the orders",
    ),
    ConsoleAction(
        name="alerts",
        keys=("7",),
        shown="7",
        label="Alerts",
        help="What wants somebody's eyes, and who has seen it",
    ),
    ConsoleAction(
        name="help",
        keys=("8", "question_mark"),
        shown="? 8",
        label="Help",
        help="All keys, and why one does nothing now",
        rank=5,
    ),
)

WITHIN: Final = (
    ConsoleAction(
        name="next_panel",
        keys=("tab", "right_square_bracket"),
        shown="tab ]",
        label="Panel",
        help="Give the keys to the next panel",
        rank=10,
    ),
    ConsoleAction(
        name="previous_panel",
        keys=("shift+tab", "left_square_bracket"),
        shown="shift+tab [",
        label="Panel ←",
        help="Give the keys to the panel before",
    ),
    ConsoleAction(name="down", keys=("j", "down"), shown="j ↓", label="Down", help="Next row"),
    ConsoleAction(name="up", keys=("k", "up"), shown="k ↑", label="Up", help="Row before"),
    ConsoleAction(
        name="page_down", keys=("pagedown",), shown="PgDn", label="Page down", help="Page down"
    ),
    ConsoleAction(name="page_up", keys=("pageup",), shown="PgUp", label="Page up", help="Page up"),
    ConsoleAction(
        name="first", keys=("home", "g"), shown="g Home", label="First", help="First row"
    ),
    ConsoleAction(name="last", keys=("end", "G"), shown="G End", label="Last", help="Last row"),
    ConsoleAction(
        name="open",
        keys=("enter",),
        shown="enter",
        label="Open",
        help="Everything about the marked row; esc leaves it",
        rank=7,
        screens=(
            "overview",
            "strategies",
            "strategy",
            "positions",
            "risk",
            "backtests",
            "log",
            "alerts",
        ),
    ),
    ConsoleAction(
        name="back",
        keys=("escape",),
        shown="esc",
        label="Back",
        help="Out of a detail, a filter, or the help",
    ),
    ConsoleAction(
        name="filter",
        keys=("slash",),
        shown="/",
        label="Filter",
        help="Show rows in which all words occur; enter keeps them, esc shows all",
        rank=7,
    ),
    ConsoleAction(
        name="sort",
        keys=("s",),
        shown="s",
        label="Sort",
        help="Order rows by the next column; after the last, as they come",
        rank=11,
    ),
    ConsoleAction(
        name="reverse",
        keys=("S",),
        shown="S",
        label="Reverse",
        help="Turn the order round",
    ),
    ConsoleAction(
        name="freeze",
        keys=("space",),
        shown="space",
        label="Freeze",
        help="Hold the picture to read it; keys still act",
        rank=9,
    ),
    ConsoleAction(
        name="palette",
        keys=("colon", "ctrl+p"),
        shown=": ^p",
        label="Palette",
        help="The same actions by name",
        rank=12,
    ),
)

CONSOLE: Final = (
    ConsoleAction(
        name="faster",
        keys=("plus", "equals_sign"),
        shown="+ =",
        label="Faster",
        help="Next higher speed of the demo's or replay's clock",
        kind="add",
        rank=13,
        blocked=reasons.speed,
    ),
    ConsoleAction(
        name="slower",
        keys=("minus",),
        shown="-",
        label="Slower",
        help="Next lower speed of the demo's or replay's clock",
        kind="add",
        rank=14,
        blocked=reasons.speed,
    ),
    ConsoleAction(
        name="theme",
        keys=("T",),
        shown="T",
        label="Theme",
        help="Dark, light, or safe for colour-blind eyes, in turn",
    ),
    ConsoleAction(
        name="zone",
        keys=("z",),
        shown="z",
        label="Zone",
        help="Show times in UTC, in the box's zone or in the configured one, in turn",
    ),
    ConsoleAction(
        name="detach",
        keys=("q", "ctrl+q"),
        shown="q ^q",
        label="Detach",
        help="Leave this console; the engine keeps trading",
        kind="detach",
        rank=6,
    ),
    ConsoleAction(
        name="stop",
        keys=("Q",),
        shown="Q",
        label="Stop",
        help="Stop the engine",
        kind="add",
        rank=15,
        asks="once; the word `stop` while positions are open",
    ),
    ConsoleAction(
        name="suspend",
        keys=("ctrl+z",),
        shown="^z",
        label="Suspend",
        help="Back to the shell; `fg` returns",
        kind="detach",
        blocked=reasons.suspend,
    ),
)
