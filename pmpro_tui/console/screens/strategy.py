"""One strategy: what it is, what it says, what its book thinks, what it has made."""

from collections.abc import Callable
from typing import Any, ClassVar

from textual.app import ComposeResult

from engine.model.parity import Gap
from engine.model.views.details import (
    RecordOf,
    SignalView,
    StrategyDetail,
    StrategyOf,
    TradeView,
    VoteView,
)
from engine.model.views.snapshot import EventView, Snapshot, StrategyView
from pmpro_tui.console import facts
from pmpro_tui.console.context import Context, Runs
from pmpro_tui.console.draw.curve import Paced
from pmpro_tui.console.draw.lines import Painted
from pmpro_tui.console.draw.table import Table
from pmpro_tui.console.draw.text import Line
from pmpro_tui.console.hub import Hub
from pmpro_tui.console.inquiries import Known
from pmpro_tui.console.screens import event_rows, log_rows, strategy_lines
from pmpro_tui.console.screens.page import Box, Readable, Stack, Target

DETAIL_EVERY_S = 5.0


class StrategyPage(Readable):
    """The strategy that is marked in its book, one step below the tables of strategies.

    Enter shows the marked trade with its order's record, or the marked row of another panel whole.
    """

    PARENT: ClassVar[str] = "strategies"
    PANELS: ClassVar[dict[str, str]] = {
        "about": "About",
        "settings": "Parameters",
        "members": "Book",
        "trades": "Trades",
        "gaps": "Parity",
        "signals": "Signals",
        "mentions": "Events",
        "made": "Made",
    }
    DEFAULT_CSS = """
    StrategyPage #left { width: 46; }
    StrategyPage #about { height: 20; }
    StrategyPage #right { margin-left: 1; }
    StrategyPage #made { height: 8; }
    StrategyPage #members { height: 9; }
    StrategyPage #gaps { height: 5; }
    StrategyPage #below { height: 9; }
    StrategyPage #signals { width: 30; }
    StrategyPage #mentions { margin-left: 1; }
    """

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self._strategy = ""
        self._came = False
        self._known = Known()

    def compose(self) -> ComposeResult:
        """Lay out the panels."""
        zone = self.hub.zone
        with Box():
            with Stack(id="left"):
                yield Painted(self._paint_about, id="about", classes="panel")
                yield Painted(self._paint_settings, id="settings", classes="panel")
                yield Paced(self._paint_made, id="made", classes="panel")
            with Stack(id="right"):
                columns = strategy_lines.member_columns(self._vote)
                yield Table[StrategyView]("Book", columns, key=lambda s: s.id, id="members")
                yield Table[TradeView](
                    "Trades",
                    strategy_lines.trade_columns(zone),
                    key=lambda t: (t.order, t.entry_ns),
                    id="trades",
                )
                yield Table[Gap](
                    "Parity",
                    strategy_lines.gap_columns(zone),
                    key=lambda g: (g.time_ns, g.what),
                    id="gaps",
                )
                with Box(id="below"):
                    yield Table[SignalView](
                        "Signals",
                        strategy_lines.signal_columns(zone),
                        key=lambda s: s.time_ns,
                        id="signals",
                    )
                    yield Table[EventView](
                        "Events",
                        event_rows.columns(zone),
                        key=lambda e: e.seq,
                        id="mentions",
                        follow=True,
                    )
        yield self.record()

    def come(self, asked: Context) -> None:
        """Show the strategy that was marked on the screen before."""
        if asked.target:
            self._strategy, self._came = asked.target, True
        self.back()  # out of the record of another one

    def draw(self, now: Snapshot | None) -> None:
        """Draw what the picture says, and what was told beside it."""
        if now is None:
            return
        me = self._me()
        if me is not None:
            self._known = self.hub.detail(StrategyOf(name=me.name), every_s=DETAIL_EVERY_S)
        members = [s for s in now.strategies if me is not None and s.book == me.book]
        book = self.query_one("#members", Table)
        book.title = f"Book {me.book}: {len(members)} members" if me is not None else "Book"
        book.say(f"{self._strategy} is no longer in the portfolio")
        self.fill(book, members)
        if self._came and me is not None:
            book.mark(me)
            self._came = False
        events = self.query_one("#mentions", Table)
        events.say("nothing of it has happened since this console came")
        self.fill(events, self._mentions(me))
        self._draw_told()
        self.paint("about", "settings")
        if self.opened:
            self.draw_record()

    def _draw_told(self) -> None:
        told = self._told
        for name, rows, nothing in (
            ("trades", told.trades[::-1] if told else (), "no trades yet"),
            ("signals", told.signals[::-1] if told else (), "no signals yet"),
        ):
            table = self.query_one(f"#{name}", Table)
            table.say(self._known.fault or ("asking the engine …" if told is None else nothing))
            self.fill(table, rows)
        self._draw_gaps(told)
        made = told.equity if told else ()
        subject = self._strategy, told is None
        self.query_one("#made", Paced).offer(made[-1:], self.hub.monotonic_ns(), subject)

    def _draw_gaps(self, told: StrategyDetail | None) -> None:
        table = self.query_one("#gaps", Table)
        nothing = "all trades were alike" if told and told.parity else "no server day has ended yet"
        table.say(self._known.fault or ("asking the engine …" if told is None else nothing))
        gaps = strategy_lines.gaps(told) if told else []
        table.title = f"Parity: {len(gaps)} gaps to the backtest" if gaps else "Parity"
        self.fill(table, gaps)

    def runs(self) -> Runs:
        """Return the actions that this screen runs itself."""
        return super().runs() | {"open": self.do_open}

    def why_not(self, name: str) -> str | None:
        """See Page."""
        if name == "open":
            if self.opened:
                return "esc leaves the record first"
            table = self.table
            if self._me() is None or (table is not None and self._row(table) is None):
                return "nothing is selected"
        return super().why_not(name)

    def do_open(self) -> None:
        """Show the marked row whole: a trade down to its order's signals, else the row's facts."""
        table, zone = self.table, self.hub.zone
        row = None if table is None else self._row(table)
        if isinstance(row, TradeView):
            trade = row
            self.read(
                lambda width: facts.trade_facts(trade, zone, width),
                RecordOf(order=trade.order) if trade.order else None,
            )
        elif isinstance(row, Gap):
            gap = row
            self.read(lambda width: facts.gap_facts(gap, zone, width))
        elif isinstance(row, SignalView):
            signal = row
            self.read(lambda width: facts.signal_facts(signal, zone, width))
        elif isinstance(row, EventView):
            event = row
            self.read(lambda width: log_rows.event_lines(event, zone.stamp, width))
        else:
            self.read(self._facts_of_me)

    def _row(self, table: Table[Any]) -> Any:
        """Return the row that enter opens: a log that follows has its last one marked."""
        return table.selected or (table.rows[-1] if table.follows and table.rows else None)

    def _facts_of_me(self, width: int) -> list[log_rows.RecordLine]:
        now, me = self.hub.shown, self._me()
        return [] if now is None or me is None else facts.strategy_facts(me, now.currency, width)

    def target(self) -> Target:
        """Return the strategy that is shown."""
        me = self._me()
        return Target(me.name, me.state) if me is not None else Target()

    def moved(self, move: Callable[[Table[Any]], None]) -> None:
        """Show the member that is marked."""
        super().moved(move)
        if self.active == "members" and (marked := self.query_one("#members", Table).selected):
            self._strategy = marked.name
            self.draw(self.hub.shown)

    @property
    def _told(self) -> StrategyDetail | None:
        answer = self._known.answer
        return answer if isinstance(answer, StrategyDetail) else None

    def _vote(self, name: str) -> VoteView | None:
        votes = self._told.votes if self._told else ()
        return next((vote for vote in votes if vote.strategy == name), None)

    def _me(self) -> StrategyView | None:
        views = self.hub.shown.strategies if self.hub.shown is not None else ()
        return next((s for s in views if s.name == self._strategy), None)

    def _mentions(self, me: StrategyView | None) -> list[EventView]:
        names = {self._strategy} if me is None else {self._strategy, str(me.book)}
        return [e for e in self.hub.history.rows if e.source in names or self._strategy in e.text]

    def _paint_about(self, width: int, _: int) -> list[Line]:
        now, me = self.hub.shown, self._me()
        if now is None or me is None:
            return []
        titled = not self.narrow
        return strategy_lines.about(now, me, self._told, self.hub.zone, width, titled=titled)

    def _paint_settings(self, width: int, _: int) -> list[Line]:
        titled = not self.narrow
        return strategy_lines.settings(self._told, self._known.fault, width, titled=titled)

    def _paint_made(self, width: int, height: int) -> list[Line]:
        told, titled = self._told, not self.narrow
        return strategy_lines.made(told, self.hub.zone, width, height, titled=titled)
