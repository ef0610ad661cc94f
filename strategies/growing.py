"""A series of bars that grows at its end, shared by all windows that read it.

Bars are counted from the first one there ever was, so that a window keeps its place when the
oldest are forgotten. Only those are that no `Hold` needs any more: memory is bounded by the
longest window.
"""

import weakref

import numpy as np

from strategies.base import Columns


class Hold:
    """The bars from `first` on are kept as long as this lives."""

    def __init__(self, first: int) -> None:
        self.first = first


class GrowingSeries:
    """Bars `first` to `end`, as columns."""

    def __init__(self) -> None:
        self.first = 0
        self.end = 0
        self._times = np.empty((2, 0), np.int64)
        self._values = np.empty((6, 0))
        self._rows = (*self._times, *self._values)
        self._columns: Columns | None = None
        self._holds: weakref.WeakSet[Hold] = weakref.WeakSet()

    def hold(self) -> Hold:
        """Return what keeps all bars there are now, until it is moved on."""
        hold = Hold(self.first)
        self._holds.add(hold)
        return hold

    @property
    def held(self) -> bool:
        """Tell whether anyone reads it."""
        return bool(self._holds)

    def columns(self) -> Columns:
        """Return the bars, as views; what is appended later does not change them."""
        if self._columns is None:
            n = self.end - self.first
            self._columns = Columns(*self._times[:, :n], *self._values[:, :n])
        return self._columns

    def append(self, bars: Columns) -> None:
        """Add closed bars, later than all before."""
        if not bars.n:
            return
        n = self.end - self.first
        if n and bars.time_ns[0] <= self._times[0, n - 1]:
            raise ValueError("bars must be appended in order of time")
        if n + bars.n > self._times.shape[1]:
            first = self._needed()
            self._move(first, max(2 * (self.end - first + bars.n), 256))
            n = self.end - self.first
        stop = n + bars.n
        for row, column in zip(self._rows, bars, strict=True):
            row[n:stop] = column
        self.end += bars.n
        self._columns = None

    def trim(self) -> None:
        """Forget what nobody needs, if that is most of it."""
        first = self._needed()
        if 2 * (first - self.first) > self.end - self.first:
            self._move(first, self.end - first)

    def _needed(self) -> int:
        return min((hold.first for hold in self._holds), default=self.end)

    def _move(self, first: int, capacity: int) -> None:
        """Keep the bars from `first` on, in arrays of their own: a strategy may have kept views."""
        part = slice(first - self.first, self.end - self.first)
        times, values = self._times[:, part], self._values[:, part]
        self._times = np.empty((2, capacity), np.int64)
        self._values = np.empty((6, capacity))
        self._times[:, : self.end - first] = times
        self._values[:, : self.end - first] = values
        self._rows = (*self._times, *self._values)
        self.first = first
        self._columns = None
