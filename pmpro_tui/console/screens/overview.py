"""The screen of the whole: equity, risk, today by strategy."""

from typing import ClassVar

from textual.app import ComposeResult

from engine.model.snapshot import Snapshot, StrategyView
from pmpro_tui.console import panels, strategy_table
from pmpro_tui.console.curve import Paced
from pmpro_tui.console.lines import Painted
from pmpro_tui.console.screens.page import Box, Page, Stack, Target
from pmpro_tui.console.table import Table
from pmpro_tui.console.text import Line


class Overview(Page):
    """Everything at a glance."""

    PANELS: ClassVar[dict[str, str]] = {"today": "Today", "risk": "Risk", "equity": "Equity"}
    FILTER: ClassVar[str] = "name, kind, symbol, book, state"
    DEFAULT_CSS = """
    Overview #brief { height: 1; }
    Overview #recent { height: 4; }
    Overview #side { width: 44; margin-left: 1; }
    Overview #risk { height: 13; }
    """

    def compose(self) -> ComposeResult:
        """Lay out the panels."""
        yield Painted(self._paint_brief, id="brief", classes="small-only")
        with Box():
            yield Table[StrategyView](
                "Today", strategy_table.COLUMNS, key=lambda s: s.id, id="today"
            )
            with Stack(id="side"):
                yield Painted(self._paint_risk, id="risk", classes="panel")
                yield Paced(self._paint_curve, id="equity", classes="panel")
        yield Painted(self._paint_recent, id="recent", classes="small-only")

    def draw(self, now: Snapshot | None) -> None:
        """Draw the panels."""
        if now is None:
            return
        table = self.query_one("#today", Table)
        rows = strategy_table.matching(now.strategies, self.words)
        table.say(panels.why_no_strategies(now, self.words, self.hub.history.rows))
        table.title = panels.counted("Today", now, len(rows), len(now.strategies))
        self.fill(table, rows)
        self.paint("brief", "risk", "recent")
        point = now.equity_points[-1] if now.equity_points else None
        self.query_one("#equity", Paced).offer(point, self.hub.monotonic_ns())

    def target(self) -> Target:
        """Return the marked strategy."""
        chosen: StrategyView | None = self.query_one("#today", Table).selected
        return Target(chosen.name, chosen.state) if chosen is not None else Target()

    def _paint_brief(self, width: int, _: int) -> list[Line]:
        return panels.brief(self.hub.shown, width)

    def _paint_risk(self, width: int, _: int) -> list[Line]:
        return panels.risk(self.hub.shown, width, titled=not self.narrow)

    def _paint_curve(self, width: int, height: int) -> list[Line]:
        return panels.equity(self.hub.shown, width, height, titled=not self.narrow)

    def _paint_recent(self, width: int, height: int) -> list[Line]:
        return panels.recent(self.hub.history.rows, width, height)
