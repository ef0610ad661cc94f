"""The screen of the whole: equity, risk, today by strategy, exposure, and what all depends on."""

from typing import ClassVar

from textual.app import ComposeResult

from engine.model.views.snapshot import Snapshot, StrategyView
from pmpro_tui.console.context import Runs
from pmpro_tui.console.draw import panels
from pmpro_tui.console.draw.curve import Paced
from pmpro_tui.console.draw.lines import Painted
from pmpro_tui.console.draw.table import Table
from pmpro_tui.console.draw.text import Line
from pmpro_tui.console.screens import strategy_rows
from pmpro_tui.console.screens.page import Box, Page, Stack, Target

_DRAWN = ("brief", "risk", "exposure", "health", "recent")


class OverviewPage(Page):
    """Everything at a glance."""

    PANELS: ClassVar[dict[str, str]] = {
        "today": "Today",
        "equity": "Equity",
        "risk": "Risk",
        "exposure": "Exposure",
        "health": "Health",
    }
    FILTER: ClassVar[str] = "name, kind, symbol, book, state"
    DEFAULT_CSS = """
    OverviewPage #brief { height: 2; }
    OverviewPage #recent { height: 3; }
    OverviewPage #side { width: 48; margin-left: 1; }
    OverviewPage #equity { height: 17; }
    OverviewPage #risk { height: 15; }
    OverviewPage #health { height: 9; }
    OverviewPage.-wide #side { width: 72; }
    OverviewPage.-wide #recent { display: block; height: 9; }
    OverviewPage.-wide #equity { height: 21; }
    """

    def compose(self) -> ComposeResult:
        """Lay out the panels."""
        yield Painted(self._paint_brief, id="brief", classes="small-only")
        with Box():
            with Stack():
                yield Paced(self._paint_curve, id="equity", classes="panel")
                yield Table[StrategyView](
                    "Today", strategy_rows.COLUMNS, key=lambda s: s.id, id="today"
                )
            with Stack(id="side"):
                yield Painted(self._paint_risk, id="risk", classes="panel")
                yield Painted(self._paint_exposure, id="exposure", classes="panel")
                yield Painted(self._paint_health, id="health", classes="panel")
        yield Painted(self._paint_recent, id="recent", classes="small-only")

    def draw(self, now: Snapshot | None) -> None:
        """Draw the panels."""
        if now is None:
            return
        table = self.query_one("#today", Table)
        rows = strategy_rows.matching(now.strategies, self.words)
        table.say(panels.why_no_strategies(now, self.words, self.hub.history.rows))
        table.title = panels.counted("Today", now, len(rows), len(now.strategies))
        self.fill(table, rows)
        self._fit_health()
        self.paint(*_DRAWN)
        point = now.equity_points[-1] if now.equity_points else None
        self.query_one("#equity", Paced).offer(point, self.hub.monotonic_ns())

    def _fit_health(self) -> None:
        """Give the panel of health as many lines as it has to say."""
        panel = self.query_one("#health")
        lines = max(9, len(self._paint_health(panel.size.width, 0)))
        panel.styles.height = None if self.narrow else lines

    def set_quiet(self, quiet: bool) -> None:
        """Let nothing be called well by an engine that has fallen silent."""
        super().set_quiet(quiet)
        if quiet:
            self.paint("brief", "health")

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
        chosen: StrategyView | None = self.query_one("#today", Table).selected
        return Target(chosen.name, chosen.state) if chosen is not None else Target()

    def _paint_brief(self, width: int, _: int) -> list[Line]:
        hub = self.hub
        return panels.brief(hub.shown, hub.data_age_s, width, silence=hub.link.silence)

    def _paint_risk(self, width: int, _: int) -> list[Line]:
        return panels.risk(self.hub.shown, width, titled=not self.narrow)

    def _paint_exposure(self, width: int, _: int) -> list[Line]:
        return panels.exposure(self.hub.shown, width, titled=not self.narrow)

    def _paint_health(self, width: int, _: int) -> list[Line]:
        hub = self.hub
        return panels.health(
            hub.shown,
            hub.data_age_s,
            width,
            titled=not self.narrow,
            silence=hub.link.silence,
        )

    def _paint_curve(self, width: int, height: int) -> list[Line]:
        hub = self.hub
        return panels.equity(hub.shown, hub.zone, width, height, titled=not self.narrow)

    def _paint_recent(self, width: int, height: int) -> list[Line]:
        return panels.recent(self.hub.history.rows, self.hub.zone, width, height)
