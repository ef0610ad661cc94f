"""The screen of risk: gauges against their limits."""

from typing import ClassVar

from textual.app import ComposeResult

from engine.model.snapshot import Snapshot
from pmpro_tui.console import panels
from pmpro_tui.console.lines import Painted
from pmpro_tui.console.screens.page import Page
from pmpro_tui.console.text import Line


class Risk(Page):
    """The gauges."""

    PANELS: ClassVar[dict[str, str]] = {"risk": "Risk"}

    def compose(self) -> ComposeResult:
        """Lay out the panel."""
        yield Painted(self._paint, id="risk", classes="panel")

    def draw(self, now: Snapshot | None) -> None:  # noqa: ARG002
        """Draw the gauges."""
        self.paint()

    def _paint(self, width: int, _: int) -> list[Line]:
        return panels.risk(self.hub.shown, min(width, 60), titled=not self.narrow)
