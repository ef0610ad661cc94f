"""Columns of a table: which of them fit, how wide, and the lines they make. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from rich.cells import cell_len

from pmpro_tui.console.draw.text import Align, Line, Span, fit, shown

T = TypeVar("T")

MARK_WIDTH = 2
UNBOUND = 1000
# So many cells show most texts whole.
PLENTY = 72


@dataclass(frozen=True, kw_only=True)
class Column(Generic[T]):
    """A column: `least` cells, up to `most`; lower `rank` is kept longer when room is short.

    `measured`: no wider than its longest text; for texts that seldom change, so that columns
    do not jump. `need`: such a column has up to so many cells before one of higher rank is shown
    at all; for names and reasons. `roomy`: up to so wide where a text without bound has plenty
    already. `order`: what rows are sorted by; what is wanted first is least.
    """

    header: str
    cell: Callable[[T], Span]
    least: int
    most: int
    rank: int = 0
    align: Align = "left"
    measured: bool = False
    need: int = 0
    roomy: int = 0
    order: Callable[[T], Any] | None = None

    def longest(self, rows: Sequence[T]) -> int:
        """Return the widest that `rows` make this column; without a bound unless it is measured."""
        if not self.measured:
            return UNBOUND
        return max((cell_len(shown(self.cell(row).text)) for row in rows), default=0)


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
    longest = [column.longest(rows) for column in columns]
    by_rank = sorted(range(len(columns)), key=lambda i: columns[i].rank)
    for i in by_rank:
        least = columns[i].least
        if columns[i].need:
            least = max(least, min(columns[i].need, longest[i], left - 1))
        if least == longest[i] == 0:  # it says nothing of these rows
            continue
        if least + 1 > left:
            break
        widths[i] = least
        left -= least + 1
    # A text without bound takes what the others leave; of plenty it gives names that were cut.
    for limit in (_bounded, _enough, _roomy, _most):
        for i in by_rank:
            if i in widths:
                more = min(limit(columns[i]), longest[i], widths[i] + left) - widths[i]
                widths[i] += max(0, more)
                left -= max(0, more)
    return Fitted(tuple((columns[i], widths[i]) for i in sorted(widths)))


def _bounded(column: Column[Any]) -> int:
    return column.most if column.most < UNBOUND else 0


def _enough(column: Column[Any]) -> int:
    return min(column.most, PLENTY)


def _roomy(column: Column[Any]) -> int:
    return max(column.roomy, _enough(column))


def _most(column: Column[Any]) -> int:
    return max(column.roomy, column.most)
