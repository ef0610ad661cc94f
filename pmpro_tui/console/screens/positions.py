"""The screen of positions: everything that is open on the account."""

from typing import ClassVar

from textual.app import ComposeResult

from engine.model.snapshot import PositionView, Snapshot
from pmpro_tui.console import panels, position_table
from pmpro_tui.console.hub import Hub
from pmpro_tui.console.screens.page import Page, Target
from pmpro_tui.console.table import Table


class Positions(Page):
    """The table of positions."""

    PANELS: ClassVar[dict[str, str]] = {"positions": "Positions"}
    FILTER: ClassVar[str] = "owner, symbol, side, ticket"

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self._columns = position_table.columns(
            lambda: self.hub.shown.market_ns if self.hub.shown else 0
        )

    def compose(self) -> ComposeResult:
        """Lay out the table."""
        yield Table[PositionView](
            "Positions", self._columns, key=lambda p: p.ticket, id="positions"
        )

    def draw(self, now: Snapshot | None) -> None:
        """Draw the rows that match, in order."""
        if now is None:
            return
        table = self.query_one("#positions", Table)
        rows = position_table.matching(now.positions, self.words)
        table.say(panels.why_no_positions(now, self.words))
        table.title = panels.counted("Positions", now, len(rows), len(now.positions))
        self.fill(table, rows)

    def target(self) -> Target:
        """Return the owner of the marked position, unless it is nobody's here."""
        position: PositionView | None = self.query_one("#positions", Table).selected
        now = self.hub.shown
        if position is None or now is None or position.owner == position_table.EXTERNAL:
            return Target()
        name = position.owner
        return Target(name, next((str(s.state) for s in now.strategies if s.name == name), ""))
