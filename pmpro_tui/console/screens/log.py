"""The screen of the log: what the engine did, newest last."""

from typing import Any, ClassVar

from textual.app import ComposeResult

from engine.model.snapshot import Snapshot
from pmpro_tui.console import eventlog
from pmpro_tui.console.screens.page import Page
from pmpro_tui.console.table import Table


class Log(Page):
    """The events."""

    PANELS: ClassVar[dict[str, str]] = {"events": "Events"}
    FILTER: ClassVar[str] = "level, source, text"

    def compose(self) -> ComposeResult:
        """Lay out the table."""
        yield Table[Any](
            "Events", eventlog.columns(self.hub.zone), key=lambda e: e.seq, id="events", follow=True
        )

    def draw(self, now: Snapshot | None) -> None:  # noqa: ARG002
        """Draw the events that match."""
        table = self.query_one("#events", Table)
        table.say(
            "nothing has happened yet" if not self.words else "nothing matches: esc shows all"
        )
        self.fill(table, eventlog.matching(self.hub.history.rows, self.words))
