"""A table that follows: the cursor stays on its row's key, whatever moves around it."""

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

from textual import events

from pmpro_tui.console.draw.columns import Column, fitted
from pmpro_tui.console.draw.lines import Lines
from pmpro_tui.console.draw.ordering import Ordering
from pmpro_tui.console.draw.text import Line, Span, line, spread

T = TypeVar("T")


class Table(Lines, Generic[T]):
    """Rows under a title and headers; only rows in view are made into text.

    Args:
        title: the panel's name.
        columns: all columns; those that fit are shown.
        key: a row's identity over snapshots.
        follow: keep the last row in view until the cursor leaves it (a log).
    """

    def __init__(
        self,
        title: str,
        columns: Sequence[Column[T]],
        *,
        key: Callable[[T], Hashable],
        id: str,  # noqa: A002
        follow: bool = False,
    ) -> None:
        super().__init__(id=id, classes="panel")
        self.title = title
        self.note = ""
        self.ordering = Ordering(columns, key=key)
        self._empty: tuple[str, ...] = ("not known yet",)
        self.active = False
        self.titled = True
        self._columns = columns
        self._key = key
        self._follow = follow
        self._given: Sequence[T] = ()
        self._rows: Sequence[T] = ()
        self._cursor: Hashable = None
        self._place = 0
        self._top = 0
        self._picked: set[Hashable] = set()

    @property
    def selected(self) -> T | None:
        """The row under the cursor, None while there is none."""
        index = self._index()
        return None if index is None else self._rows[index]

    @property
    def picked(self) -> list[T]:
        """The rows that were picked, in order; the selected one where none were."""
        rows = [row for row in self._rows if self._key(row) in self._picked]
        return rows or ([] if self.selected is None else [self.selected])

    def pick(self) -> None:
        """Pick the selected row or let it go, and move on."""
        if self.selected is not None:
            self._picked ^= {self._key(self.selected)}
            self.move(1)

    def unpick(self) -> bool:
        """Let all picked rows go; False if there were none."""
        there, self._picked = bool(self._picked), set()
        self.draw()
        return there

    def say(self, *texts: str) -> None:
        """Set what is shown while there are no rows."""
        self._empty = texts

    def set_rows(self, rows: Sequence[T], *, hold: bool = False, pick: bool = False) -> None:
        """Show these rows in order.

        `hold` keeps the places they have; `pick` moves a cursor whose row is gone to the first one.
        """
        first = not self._rows
        self._given = rows
        self._rows = rows = self.ordering.apply(rows, hold=hold)
        if self._picked:
            self._picked &= {self._key(row) for row in rows}
        if rows and self._index() is None and (pick or first) and not self._follow:
            self._cursor = self._key(rows[0])
        self.draw()

    def reorder(self) -> None:
        """Take the order that was chosen, at once."""
        self.set_rows(self._given)

    def move(self, step: int) -> None:
        """Move the cursor; a log leaves following when moved up and resumes at its end.

        Where its row is gone, a step goes to the row that took the place.
        """
        if not self._rows:
            return
        index = self._index()
        last = len(self._rows) - 1
        if index is None:
            index = last if self._follow else self._place - (step > 0)
        index = max(0, min(last, index + step))
        at_end = self._follow and index == last
        self._cursor = None if at_end else self._key(self._rows[index])
        self.draw()

    @property
    def rows(self) -> Sequence[T]:
        """The rows in order."""
        return self._rows

    @property
    def follows(self) -> bool:
        """Whether a log's end is kept in view."""
        return self._follow and self._cursor is None

    def toggle_follow(self) -> None:
        """Hold a log at its last row, or follow its end again."""
        self._cursor = self._key(self._rows[-1]) if self.follows and self._rows else None
        self.draw()

    def mark(self, row: T) -> None:
        """Put the cursor on a row."""
        self._cursor = self._key(row)
        self.draw()

    def page(self, pages: int) -> None:
        """Move the cursor by what is in view."""
        self.move(pages * max(1, self._room() - 1))

    def draw(self) -> None:
        """Make the visible lines anew; unchanged ones are not drawn."""
        width = self.size.width
        if width <= 0:
            return
        lines = [self._title_line(width)] if self.titled else []
        shape = fitted(self._columns, width, self._rows)
        if not self._rows:
            self.show([*lines, Line(), *(line(Span(f"  {text}", "muted")) for text in self._empty)])
            return
        room = self._room()
        index = self._index()
        if index is not None:
            self._place = index
        self._scroll(index, room)
        lines.append(shape.header(self.ordering.name))
        lines += [
            shape.row(
                self._rows[i],
                marked=i == index,
                active=self.active,
                picked=self._key(self._rows[i]) in self._picked,
            )
            for i in range(self._top, min(self._top + room, len(self._rows)))
        ]
        self.show(lines)

    def on_resize(self) -> None:
        """Fit the columns to the new width."""
        super().on_resize()
        self.draw()

    def on_click(self, event: events.Click) -> None:
        """Mark the row under the pointer; a header orders by its column, again turns it round."""
        y = event.y - int(self.titled)
        if y == 0 and self._rows:
            header = fitted(self._columns, self.size.width, self._rows).at(event.x)
            if header in self.ordering.names:
                self.ordering.take(header)
                self.reorder()
        elif 0 < y <= len(self._rows) - self._top:
            self.mark(self._rows[self._top + y - 1])

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Move the cursor with the wheel."""
        event.stop()
        self.move(1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Move the cursor with the wheel."""
        event.stop()
        self.move(-1)

    def _index(self) -> int | None:
        if self._cursor is None:
            return None
        return next((i for i, row in enumerate(self._rows) if self._key(row) == self._cursor), None)

    def _room(self) -> int:
        return max(1, self.size.height - 1 - int(self.titled))

    def _scroll(self, index: int | None, room: int) -> None:
        last_top = max(0, len(self._rows) - room)
        if index is None:
            self._top = last_top if self._follow else min(self._top, last_top)
        else:
            self._top = max(index - room + 1, min(self._top, index, last_top))

    def _title_line(self, width: int) -> Line:
        hidden = len(self._rows) > self._room()
        place = (
            f" {self._top + 1}–{self._top + self._room()} of {len(self._rows)}" if hidden else ""
        )
        note = f" {self.note}" if self.note else ""
        return title_line(self.title, (note + place).strip(), width, active=self.active)


def title_line(title: str, note: str, width: int, *, active: bool) -> Line:
    """Return a panel's title; the one that keys go to is marked by glyph and colour."""
    mark = Span("▌", "accent") if active else Span("─", "rule")
    right = line(Span(f" {note}", "muted")) if note else Line()
    return spread(line(mark, Span(f"{title} ", "title")), right, width, "─", "rule")
