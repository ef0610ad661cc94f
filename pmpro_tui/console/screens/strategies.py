"""The screen of strategies: every one of them, in any order."""

from typing import ClassVar

from textual.app import ComposeResult

from engine.model.views.snapshot import Snapshot, StrategyView
from pmpro_tui.console.context import Runs
from pmpro_tui.console.draw import panels
from pmpro_tui.console.draw.table import Table
from pmpro_tui.console.screens import strategy_rows
from pmpro_tui.console.screens.page import Page, Target


class StrategiesPage(Page):
    """The table of strategies."""

    PANELS: ClassVar[dict[str, str]] = {"strategies": "Strategies"}
    FILTER: ClassVar[str] = "name, kind, symbol, book, state"

    def compose(self) -> ComposeResult:
        """Lay out the table."""
        yield Table[StrategyView](
            "Strategies", strategy_rows.COLUMNS, key=lambda s: s.id, id="strategies"
        )

    def draw(self, now: Snapshot | None) -> None:
        """Draw the rows that match, in order."""
        if now is None:
            return
        table = self.query_one("#strategies", Table)
        rows = strategy_rows.matching(now.strategies, self.words)
        table.say(panels.why_no_strategies(now, self.words, self.hub.history.rows))
        table.title = panels.counted("Strategies", now, len(rows), len(now.strategies))
        self.fill(table, rows)

    def runs(self) -> Runs:
        """Return the actions that this screen runs itself."""
        return super().runs() | {"open": self.do_open}

    def why_not(self, name: str) -> str | None:
        """See Page."""
        if name == "open" and not self.target().name:
            return "nothing is selected"
        return super().why_not(name)

    def do_open(self) -> str:
        """Lead to the marked strategy."""
        return "strategy"

    def target(self) -> Target:
        """Return the marked strategy."""
        chosen: StrategyView | None = self.query_one("#strategies", Table).selected
        return Target(chosen.name, chosen.state) if chosen is not None else Target()
