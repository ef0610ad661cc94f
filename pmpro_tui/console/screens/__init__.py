"""The console's screens, one file each; loaded when they are first shown."""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pmpro_tui.console.hub import Hub
    from pmpro_tui.console.screens.page import Page

# Module and class by the name of the action that shows the screen.
_WHERE: Final = {
    "overview": "overview:OverviewPage",
    "strategies": "strategies:StrategiesPage",
    "strategy": "strategy:StrategyPage",
    "positions": "positions:PositionsPage",
    "risk": "risk:RiskPage",
    "backtests": "backtests:BacktestsPage",
    "log": "log:LogPage",
    "alerts": "alerts:AlertsPage",
    "help": "help:HelpPage",
}


def build(name: str, hub: "Hub") -> "Page":
    """Return a new screen by its name."""
    module, _, kind = _WHERE[name].partition(":")
    page: Page = getattr(import_module(f"{__name__}.{module}"), kind)(hub)
    return page
