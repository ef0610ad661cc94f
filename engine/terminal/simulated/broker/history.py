"""Orders that are done, and deals, searchable by time, ticket and position."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Generic, TypeVar

from engine.terminal.simulated.broker.state import Deal, SimOrder

T = TypeVar("T", SimOrder, Deal)

# Stops of one catch-up are written symbol by symbol, so times may step back within a minute.
_DISORDER_MS = 120_000
_ticket = attrgetter("ticket")


class SimHistory(Generic[T]):
    """An append-only list with its indexes. `order_of` gives the order ticket of an item.

    What is found comes in the order of tickets. Orders count by when they were done.
    """

    def __init__(self, order_of: Callable[[T], int], items: Iterable[T] = ()) -> None:
        self.items: list[T] = []
        self._order_of: Callable[[T], int] = order_of
        self._times_msc: list[int] = []
        self._by_order: dict[int, list[T]] = defaultdict(list)
        self._by_position: dict[int, list[T]] = defaultdict(list)
        for item in items:
            self.append(item)

    def append(self, item: T) -> None:
        """Add the newest item."""
        self.items.append(item)
        at_msc = item.closed_msc
        newest = self._times_msc[-1] if self._times_msc else at_msc
        self._times_msc.append(max(newest, at_msc))
        self._by_order[self._order_of(item)].append(item)
        self._by_position[item.position_id].append(item)

    def between(self, from_s: int, to_s: int) -> list[T]:
        """Return the items whose server time lies in [from_s, to_s] seconds."""
        first = bisect_left(self._times_msc, from_s * 1000)
        last = bisect_right(self._times_msc, to_s * 1000 + 999 + _DISORDER_MS)
        found = [i for i in self.items[first:last] if from_s <= i.closed_msc // 1000 <= to_s]
        found.sort(key=_ticket)
        return found

    def copy(self) -> "SimHistory[T]":
        """Return the history as it stands now."""
        return SimHistory(self._order_of, self.items)

    def of_order(self, ticket: int) -> list[T]:
        """Return the items of an order."""
        return list(self._by_order.get(ticket, ()))

    def of_position(self, position_id: int) -> list[T]:
        """Return the items of a position."""
        return sorted(self._by_position.get(position_id, ()), key=_ticket)
