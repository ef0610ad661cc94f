"""The screen of backtests."""

from pmpro_tui.console.hub import Hub
from pmpro_tui.console.screens.plain import Plain


class Backtests(Plain):
    """Says where backtests are had."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub, "`pmpro backtest run` runs one, `pmpro backtest list` shows results")
