"""A screen that says one thing."""

from textual.app import ComposeResult

from engine.model.snapshot import Snapshot
from pmpro_tui.console.hub import Hub
from pmpro_tui.console.lines import Painted
from pmpro_tui.console.screens.page import Page
from pmpro_tui.console.text import Line, Span, line


class Plain(Page):
    """One line of text."""

    def __init__(self, hub: Hub, text: str) -> None:
        super().__init__(hub)
        self._text = text

    def compose(self) -> ComposeResult:
        """Lay out the line."""
        yield Painted(self._paint, id="plain")

    def draw(self, now: Snapshot | None) -> None:  # noqa: ARG002
        """Draw the line."""
        self.paint()

    def _paint(self, _width: int, _height: int) -> list[Line]:
        return [Line(), line(Span(f"  {self._text}", "muted"))]
