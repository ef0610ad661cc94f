"""Columns of a table: which of them fit, how wide, and the lines they make. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from rich.cells import cell_len

from pmpro_tui.console.text import Align, Line, Span, fit

T = TypeVar("T")

MARK_WIDTH = 2
UNBOUND = 1000


@dataclass(frozen=True, kw_only=True)
class Column(Generic[T]):
    """A column: `least` cells, up to `most`; lower `rank` is kept longer when room is short.

    `measured`: no wider than its longest text; for texts that seldom change, so that columns
    do not jump. `order`: what rows are sorted by; what is wanted first is least.
    """

    header: str
    cell: Callable[[T], Span]
    least: int
    most: int
    rank: int = 0
    align: Align = "left"
    measured: bool = False
    order: Callable[[T], Any] | None = None

    def most_for(self, rows: Sequence[T]) -> int:
        """Return the widest this column may become over `rows`."""
        if not self.measured:
            return self.most
        longest = max((cell_len(self.cell(row).text) for row in rows), default=0)
        return min(self.most, max(self.least, longest))


@dataclass(frozen=True)
class Fitted(Generic[T]):
    """The columns that fit a width, with theirs."""

    columns: tuple[tuple[Column[T], int], ...]

    def header(self, ordered: str = "") -> Line:
        """Return the line of column headers; the one that orders the rows stands out."""
        parts = [Span(" " * MARK_WIDTH)]
        for column, width in self.columns:
            tone = "accent" if column.header == ordered else "header"
            parts += [Span(fit(column.header, width, column.align), tone), Span(" ")]
        return Line(tuple(parts[:-1]))

    def at(self, x: int) -> str:
        """Return the header over a cell, "" for none."""
        left = MARK_WIDTH
        for column, width in self.columns:
            if left <= x < left + width:
                return column.header
            left += width + 1
        return ""

    def row(self, item: T, *, marked: bool, active: bool, picked: bool = False) -> Line:
        """Return one row; the marked one carries a glyph, and a ground where keys go to it."""
        parts = [Span(("▸" if marked else " ") + ("●" if picked else " "), "accent")]
        for column, width in self.columns:
            cell = column.cell(item)
            # The gap is of the same tone: one piece less to send.
            parts.append(Span(fit(cell.text, width, column.align) + " ", cell.tone))
        last = parts[-1]
        parts[-1] = Span(last.text[:-1], last.tone)
        return Line(tuple(parts), "cursor" if marked and active else "")


def fitted(columns: Sequence[Column[T]], width: int, rows: Sequence[T]) -> Fitted[T]:
    """Choose columns by rank while they fit `width`, then let them grow in rank order."""
    left = width - MARK_WIDTH + 1
    widths: dict[int, int] = {}
    by_rank = sorted(range(len(columns)), key=lambda i: columns[i].rank)
    for i in by_rank:
        if columns[i].most_for(rows) == 0:  # it says nothing of these rows
            continue
        if columns[i].least + 1 <= left:
            widths[i] = columns[i].least
            left -= columns[i].least + 1
        else:
            break
    # A text without bound takes what the others leave.
    for i in sorted(by_rank, key=lambda i: columns[i].most >= UNBOUND):
        if i in widths and left > 0:
            more = min(columns[i].most_for(rows) - widths[i], left)
            widths[i] += more
            left -= more
    return Fitted(tuple((columns[i], widths[i]) for i in sorted(widths)))
