"""The order of a table's rows, held still while the operator's hands are on the keys."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar

from pmpro_tui.console.draw.columns import Column

T = TypeVar("T")


class Ordering(Generic[T]):
    """Rows by any column that has an order, or as they come."""

    def __init__(self, columns: Sequence[Column[T]], *, key: Callable[[T], Hashable]) -> None:
        # Numbers first: they are what tables are sorted by.
        turns = sorted(columns, key=lambda column: (column.align == "left", column.rank))
        self._orders: dict[str, Callable[[T], Any]] = {
            column.header: column.order for column in turns if column.order is not None
        }
        self._key = key
        self._ranks: dict[Hashable, int] = {}
        self.name = ""
        self.down = False

    @property
    def names(self) -> list[str]:
        """The headers of the columns that have an order."""
        return list(self._orders)

    @property
    def note(self) -> str:
        """The order in words."""
        turned = "reversed" if self.down else ""
        return f"by {self.name} {turned}".strip() if self.name else turned

    def cycle(self) -> None:
        """Take the next column, at once; after the last, rows as they come."""
        names = ["", *self._orders]
        self.by(names[(names.index(self.name) + 1) % len(names)])

    def by(self, name: str) -> None:
        """Take a column's order, at once."""
        self.name, self.down = name, False
        self._ranks.clear()

    def take(self, name: str) -> None:
        """Take a column's order, or turn it round where it is taken already."""
        if name == self.name:
            self.reverse()
        else:
            self.by(name)

    def reverse(self) -> None:
        """Turn the order round, at once."""
        self.down = not self.down
        self._ranks.clear()

    def apply(self, rows: Sequence[T], *, hold: bool) -> list[T]:
        """Return rows in order; `hold` keeps the places they have, new rows go last."""
        if not self.name:
            return list(reversed(rows)) if self.down else list(rows)
        if hold and self._ranks:
            return sorted(rows, key=lambda row: self._ranks.get(self._key(row), len(self._ranks)))
        ordered = sorted(rows, key=self._orders[self.name], reverse=self.down)
        self._ranks = {self._key(row): rank for rank, row in enumerate(ordered)}
        return ordered
