"""The screen of alerts."""

from pmpro_tui.console.hub import Hub
from pmpro_tui.console.screens.plain import Plain


class Alerts(Plain):
    """Says that there are none."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub, "no alerts")
