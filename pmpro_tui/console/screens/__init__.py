"""The console's screens, one file each; loaded when they are first shown."""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pmpro_tui.console.hub import Hub
    from pmpro_tui.console.screens.page import Page

# Module and class by the name of the action that shows the screen.
_WHERE: Final = {
    "overview": "overview:Overview",
    "strategies": "strategies:Strategies",
    "strategy": "strategy:Strategy",
    "positions": "positions:Positions",
    "risk": "risk:Risk",
    "backtests": "backtests:BacktestsPage",
    "log": "log:Log",
    "alerts": "alerts:Alerts",
    "help": "help:Help",
}


def build(name: str, hub: "Hub") -> "Page":
    """Return a new screen by its name."""
    module, _, kind = _WHERE[name].partition(":")
    page: Page = getattr(import_module(f"{__name__}.{module}"), kind)(hub)
    return page
