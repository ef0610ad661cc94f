"""One strategy: what it is, what it says, what its book thinks, what it has made."""

from collections.abc import Callable
from typing import Any, ClassVar

from textual.app import ComposeResult

from engine.model.snapshot import EventView, Snapshot, StrategyView
from pmpro_tui.console import eventlog, strategy_detail, strategy_table
from pmpro_tui.console.context import Context
from pmpro_tui.console.hub import Hub
from pmpro_tui.console.lines import Painted
from pmpro_tui.console.screens.page import Box, Page, Stack, Target
from pmpro_tui.console.table import Table
from pmpro_tui.console.text import Line


class Strategy(Page):
    """The strategy that is marked in its book, one step below the tables of strategies."""

    PARENT: ClassVar[str] = "strategies"
    PANELS: ClassVar[dict[str, str]] = {
        "about": "About",
        "members": "Book",
        "mentions": "Events",
    }
    DEFAULT_CSS = """
    Strategy #about { width: 46; }
    Strategy #right { margin-left: 1; }
    """

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self._strategy = ""
        self._came = False

    def compose(self) -> ComposeResult:
        """Lay out the panels."""
        with Box():
            yield Painted(self._paint_about, id="about", classes="panel")
            with Stack(id="right"):
                yield Table[StrategyView](
                    "Book", strategy_table.COLUMNS, key=lambda s: s.id, id="members"
                )
                columns = eventlog.columns(self.hub.zone)
                yield Table[EventView](
                    "Events", columns, key=lambda e: e.seq, id="mentions", follow=True
                )

    def come(self, asked: Context) -> None:
        """Show the strategy that was marked on the screen before."""
        if asked.target:
            self._strategy, self._came = asked.target, True

    def draw(self, now: Snapshot | None) -> None:
        """Draw the panels."""
        if now is None:
            return
        me = self._me()
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
        self.paint("about")

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
        return strategy_detail.about(now, me, width, titled=not self.narrow)
