"""What every screen is: panels over the hub's picture, one of which has the keys.

A screen is made when it is first shown and drawn only while it is shown. On a small terminal one
panel is shown at a time. Where an action needs the screen, `runs` has what runs it and `why_not`
says why it cannot.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

from textual import events
from textual.containers import Horizontal, Vertical

from engine.model.views.details import RecordDetail, RecordOf
from engine.model.views.snapshot import Snapshot
from pmpro_tui.console.context import Context, Runs
from pmpro_tui.console.draw.lines import Lines, Painted
from pmpro_tui.console.draw.table import Table
from pmpro_tui.console.hub import Hub
from pmpro_tui.console.screens.log_rows import TOLD, RecordLine, record_lines


class Target(NamedTuple):
    """The name that kill, enable and disable hit, and its state; "" for nothing."""

    name: str = ""
    state: str = ""


class Box(Horizontal):
    """Panels side by side; gone while none of them is shown."""


class Stack(Vertical):
    """Panels one above the other; gone while none of them is shown."""


class Page(Vertical):
    """One screen. Subclasses compose panels (class "panel", ids as in `PANELS`) and draw them.

    `PANELS`: names by id, in the order of the keys `[` and `]`; the first one has the keys first.
    `PARENT`: the screen of which this is a detail; esc leads back to where one came from.
    `FILTER`: what the filter looks through, in words; "" for a screen without one.
    """

    PANELS: ClassVar[dict[str, str]] = {}
    PARENT: ClassVar[str] = ""
    FILTER: ClassVar[str] = ""
    DEFAULT_CSS = """
    Page { height: 1fr; }
    Page Box, Page Stack, Page .panel { width: 1fr; height: 1fr; }
    Page .small-only { display: none; }
    """

    def __init__(self, hub: Hub) -> None:
        super().__init__(classes="page")
        self.hub = hub
        self.active = next(iter(self.PANELS), "")
        self.narrow = False
        self.words = ""

    # -- what a screen answers ------------------------------------------------------------

    def come(self, asked: Context) -> None:
        """Note what was shown before this screen."""

    def draw(self, now: Snapshot | None) -> None:
        """Draw the picture; called when it changed, or what is shown of it did."""
        raise NotImplementedError

    def target(self) -> Target:
        """Return what commands hit."""
        return Target()

    def runs(self) -> Runs:
        """Return the actions that this screen runs itself."""
        return {"sort": self.do_sort, "reverse": self.do_reverse}

    def why_not(self, name: str) -> str | None:
        """Return why this screen cannot run an action now."""
        if name == "filter" and not self.FILTER:
            return "nothing to filter here"
        if name in ("sort", "reverse") and (self.table is None or not self.table.ordering.names):
            return "nothing to sort here"
        if name == "open" and name not in self.runs():
            return "nothing to open here"
        return None

    def counts(self, now: Snapshot) -> dict[str, int]:  # noqa: ARG002
        """Return the numbers beside the panels' names."""
        return {}

    def note(self) -> str:
        """Return why the engine does not trade freely, the filter and the order, as they apply."""
        now, table = self.hub.shown, self.table
        why = now.state_reason if now is not None and now.state != "ACTIVE" else ""
        filtered = f"/{self.words}" if self.words.strip() else ""
        ordered = table.ordering.note if table is not None else ""
        return " ".join(part for part in (why, filtered, ordered) if part)

    def back(self) -> bool:
        """Leave a detail or let picked rows go; False if there is nothing to leave."""
        return self.table is not None and self.table.unpick()

    # -- panels ---------------------------------------------------------------------------

    @property
    def table(self) -> Table[Any] | None:
        """The table that has the keys."""
        found = self.query(f"#{self.active}").results(Table) if self.active else ()
        return next(iter(found), None)

    def moved(self, move: Callable[[Table[Any]], None]) -> None:
        """Move the cursor of the table that has the keys."""
        if self.table is not None:
            move(self.table)

    def on_click(self, event: events.Click) -> None:
        """Give the keys to the table that was clicked."""
        if isinstance(event.widget, Table) and event.widget.id in self.PANELS:
            self.active = event.widget.id
            self.moved(lambda _: None)
            self.place(narrow=self.narrow)

    def do_sort(self) -> None:
        """Order the table that has the keys by its next column."""
        if self.table is not None:
            self.table.ordering.cycle()
            self.table.reorder()
            self.draw(self.hub.shown)

    def do_reverse(self) -> None:
        """Turn the order of the table that has the keys round."""
        if self.table is not None:
            self.table.ordering.reverse()
            self.table.reorder()
            self.draw(self.hub.shown)

    def fill(self, table: Table[Any], rows: Sequence[Any]) -> None:
        """Give a table its rows; they keep their places while the operator's hands are on."""
        table.note = self.note() if table.id == self.active else ""
        table.set_rows(rows, hold=self.hub.hands_on, pick=bool(self.words.strip()))

    def step_panel(self, step: int) -> None:
        """Give the keys to another panel; those without rows are skipped while all are shown."""
        choice = list(self.PANELS) if self.narrow else self._tables()
        if choice:
            at = choice.index(self.active) if self.active in choice else -1
            self.active = choice[(at + step) % len(choice)]
            self.place(narrow=self.narrow)

    def shows(self, panel: str) -> bool:
        """Tell whether a panel has room."""
        return not self.narrow or panel == self.active

    def place(self, *, narrow: bool) -> None:
        """Show the panels that have room, and mark the one that has the keys."""
        self.narrow = narrow
        if not narrow and self.table is None:
            self.active = next(iter(self._tables()), self.active)
        for panel in self.query(".panel"):
            panel.display = self.shows(panel.id or "")
        for box in reversed(self.query("Box, Stack")):
            box.display = any(child.display for child in box.children)
        for table in self.query(Table):
            table.active = self.active == table.id
            table.titled = not narrow
            table.draw()
        self.paint()

    def _tables(self) -> list[str]:
        return [name for name in self.PANELS if isinstance(self.query_one(f"#{name}"), Table)]

    def paint(self, *names: str) -> None:
        """Draw painted panels anew, all or by id."""
        for panel in self.query(Painted):
            if not names or panel.id in names:
                panel.draw()

    def set_quiet(self, quiet: bool) -> None:
        """Draw without colours while the numbers have stopped moving."""
        for lines in self.query(Lines):
            lines.set_quiet(quiet)


FOREVER_S = 3600.0

Facts = Callable[[int], Sequence[RecordLine]]
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

    def record(self) -> Table[RecordLine]:
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
                lines += [RecordLine(0, "")] * bool(lines) + told
            elif lines:
                lines += [RecordLine(0, ""), RecordLine(0, waits, "muted")]
            else:
                table.say(waits)
        self.fill(table, [one._replace(number=i) for i, one in enumerate(lines)])
