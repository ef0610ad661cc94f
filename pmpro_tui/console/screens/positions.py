"""The screen of positions: everything that is open on the account; close one, or some."""

from typing import ClassVar

from textual.app import ComposeResult

from engine.model.views.details import RecordOf
from engine.model.views.snapshot import PositionView, Snapshot
from pmpro_tui.console.context import Runs, known
from pmpro_tui.console.draw import panels
from pmpro_tui.console.draw.table import Table
from pmpro_tui.console.draw.text import gain
from pmpro_tui.console.facts import position_facts
from pmpro_tui.console.hub import Hub
from pmpro_tui.console.screens import position_rows
from pmpro_tui.console.screens.log_rows import RecordLine
from pmpro_tui.console.screens.page import Readable, Target
from pmpro_tui.console.screens.position_rows import EXTERNAL

_LISTED = 8
_NONE = "nothing is selected: j marks a row"


class PositionsPage(Readable):
    """The table of positions; enter shows one with the record of the order that opened it."""

    PANELS: ClassVar[dict[str, str]] = {"positions": "Positions"}
    FILTER: ClassVar[str] = "owner, symbol, side, ticket"

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self._columns = position_rows.columns(
            lambda: self.hub.shown.market_ns if self.hub.shown else 0
        )

    def compose(self) -> ComposeResult:
        """Lay out the table."""
        # Ours and others' part of one netted position have the same ticket.
        yield Table[PositionView](
            "Positions", self._columns, key=lambda p: (p.ticket, p.owner), id="positions"
        )
        yield self.record()

    def draw(self, now: Snapshot | None) -> None:
        """Draw the rows that match, in order."""
        if now is None:
            return
        rows = position_rows.matching(now.positions, self.words)
        self._rows.say(panels.why_no_positions(now, self.words))
        title = panels.counted("Positions", now, len(rows), len(now.positions))
        total = gain(sum(p.profit_ccy for p in rows)).text
        lots = sum(p.lots for p in rows)
        self._rows.title = f"{title} · {lots:,.2f} lots · {total}" if rows and known(now) else title
        self.fill(self._rows, rows)
        if self.opened:
            self.draw_record()

    def target(self) -> Target:
        """Return the owner of the marked position, unless it is nobody's here."""
        position, now = self._rows.selected, self.hub.shown
        if position is None or now is None or position.owner == EXTERNAL:
            return Target()
        name = position.owner
        return Target(name, next((str(s.state) for s in now.strategies if s.name == name), ""))

    def runs(self) -> Runs:
        """Return the actions that this screen runs itself."""
        return super().runs() | {"open": self.do_open, "pick": self.do_pick, "close": self.do_close}

    def why_not(self, name: str) -> str | None:
        """See Page."""
        if self.opened and name in ("open", "pick"):
            return "esc leaves the record first"
        if name in ("open", "pick") and self._rows.selected is None:
            return _NONE
        if name == "close":
            chosen = self._chosen()
            if not chosen:
                return _NONE
            if any(p.owner == EXTERNAL for p in chosen):
                return "EXTERNAL is nobody's here: `pmpro adopt` gives it to a book first"
        return super().why_not(name)

    def do_open(self) -> None:
        """Show the marked position whole, and how its order came about."""
        marked = self._rows.selected
        if marked is None:
            return

        def facts(width: int) -> list[RecordLine]:
            now = self.hub.shown
            if now is None:
                return []
            same = (
                p for p in now.positions if (p.ticket, p.owner) == (marked.ticket, marked.owner)
            )
            return position_facts(next(same, marked), now, self.hub.zone, width)

        ours = marked.owner != EXTERNAL
        self.read(facts, RecordOf(order=marked.ticket) if ours else None)

    def do_pick(self) -> None:
        """Pick the marked position, or let it go."""
        self._rows.pick()

    def do_close(self) -> None:
        """Ask once, with what is closed; the tickets are those of the question."""
        from pmpro_tui.console.draw.dialogs import Confirm

        chosen = self._chosen()
        n, lots = len(chosen), sum(p.lots for p in chosen)
        profit = gain(sum(p.profit_ccy for p in chosen)).text
        lines = [
            f"{p.ticket} {p.owner} {p.symbol} {p.direction} {p.lots:.2f} {gain(p.profit_ccy).text}"
            for p in chosen[:_LISTED]
        ]
        more = [f"and {n - _LISTED} more"] if n > _LISTED else []
        noun = "position" if n == 1 else "positions"
        body = "\n".join([f"{n} {noun}, {lots:,.2f} lots, {profit}", "", *lines, *more])
        tickets = " ".join(str(p.ticket) for p in chosen)

        def answer(yes: bool | None) -> None:
            if yes:
                self.hub.tell(self.hub.send("close", tickets))
                self._rows.unpick()

        self.app.push_screen(Confirm(f"Close {n} {noun}?", body, "Close"), answer)

    def _chosen(self) -> list[PositionView]:
        """Return what a close hits: the position that is read, else those that were picked."""
        marked = self._rows.selected
        if self.opened:
            return [] if marked is None else [marked]
        return list(self._rows.picked)

    @property
    def _rows(self) -> Table[PositionView]:
        return self.query_one("#positions", Table)
