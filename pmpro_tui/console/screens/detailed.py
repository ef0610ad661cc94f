"""A screen one of whose panels takes the place of the others: enter opens it, esc leaves it."""

from collections.abc import Callable, Sequence
from typing import ClassVar

from engine.model.details import RecordDetail, RecordOf
from pmpro_tui.console.hub import Hub
from pmpro_tui.console.record_table import TOLD, Told, record_lines
from pmpro_tui.console.screens.page import Page
from pmpro_tui.console.table import Table

FOREVER_S = 3600.0

Facts = Callable[[int], Sequence[Told]]
"""Tells a row whole, in lines of at most so many cells."""


class Detailed(Page):
    """A screen with a detail; `DETAIL` is its panel's id, beside those in `PANELS`."""

    DETAIL: ClassVar[str] = "detail"

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self.opened = False
        self._before = self.active

    def shows(self, panel: str) -> bool:
        """Show the detail alone, or all but the detail."""
        if self.opened or panel == self.DETAIL:
            return self.opened and panel == self.DETAIL
        return super().shows(panel)

    def note(self) -> str:
        """Say on a small screen, whose panels have no titles, how the detail is left."""
        return "esc leaves" if self.opened and self.narrow else super().note()

    def open_detail(self) -> None:
        """Let the detail take the place of the panels."""
        if not self.opened:
            self.opened, self._before, self.active = True, self.active, self.DETAIL
        self.place(narrow=self.narrow)
        self.draw(self.hub.shown)

    def back(self) -> bool:
        """Leave the detail, or let picked rows go."""
        if not self.opened:
            return super().back()
        self.opened, self.active = False, self._before
        return True

    def step_panel(self, step: int) -> None:
        """Give the keys to another panel, unless the detail has them."""
        if not self.opened:
            super().step_panel(step)


class Readable(Detailed):
    """A screen whose rows are read whole in its detail: what is known of one, then its record."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self._facts: Facts | None = None
        self._question: RecordOf | None = None

    def record(self) -> Table[Told]:
        """Return the panel that a row is read in."""
        return Table("Record", TOLD, key=lambda told: told.number, id=self.DETAIL)

    def read(self, facts: Facts | None = None, question: RecordOf | None = None) -> None:
        """Show a row whole: what `facts` tells, then the record that the engine has of it."""
        self._facts, self._question = facts, question
        self.query_one(f"#{self.DETAIL}", Table).set_rows(())
        self.open_detail()

    def draw_record(self) -> None:
        """Draw the row that is read."""
        table, width = self.query_one(f"#{self.DETAIL}", Table), self.size.width
        table.title = "Record, esc leaves"
        lines = list(self._facts(width)) if self._facts is not None else []
        if self._question is not None:
            known = self.hub.detail(self._question, every_s=FOREVER_S)
            waits = known.fault or "asking the engine …"
            if isinstance(known.answer, RecordDetail):
                told = record_lines(known.answer, self.hub.zone.stamp, width)
                lines += [Told(0, "")] * bool(lines) + told
            elif lines:
                lines += [Told(0, ""), Told(0, waits, "muted")]
            else:
                table.say(waits)
        self.fill(table, [one._replace(number=i) for i, one in enumerate(lines)])
