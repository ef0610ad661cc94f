"""Strategies' signals for the core, one anchor period at a time."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.decision.state import Records
from engine.model.bars import Bars
from engine.model.compiled import core_kernel
from engine.model.resample import resample
from engine.model.server_clock import ServerClock
from engine.model.times import NS_PER_MINUTE, Timeframe
from strategies.base import Directions, Floats, Signals, Strategy
from strategies.windows import evaluate_period, periods

Integers = npt.NDArray[np.int64]


class Series(NamedTuple):
    """A symbol's bars of one timeframe, the time each is closed, and its anchor periods."""

    bars: Bars
    close_ns: Integers
    periods: list[tuple[int, int]]


def make_series(m1: Bars, timeframe: Timeframe, clock: ServerClock) -> Series:
    """Return the closed bars of a timeframe made from M1 bars.

    A higher bar is closed at the end of its cell: the core takes it at the first batch from then.
    """
    if not len(m1) or timeframe == Timeframe.M1:
        close_ns = m1["time_ns"] + NS_PER_MINUTE
        return Series(m1, close_ns, list(periods(m1, timeframe)))
    first, last = int(m1["time_ns"][0]), int(m1["time_ns"][-1]) + NS_PER_MINUTE
    every_minute = np.arange(first, last + timeframe.ns + 1, NS_PER_MINUTE, dtype=np.int64)
    bars, close_ns = resample(m1, timeframe, clock, every_minute)
    return Series(bars, close_ns, list(periods(bars, timeframe)))


class SignalStream:
    """The signals of one strategy in order; memory holds one anchor period.

    Signals of bars that close at or before `from_ns` are left out: they belong to the warm-up.
    """

    def __init__(self, strategy: Strategy, series: Series, from_ns: int) -> None:
        self._strategy = strategy
        self._series = series
        self._next = int(np.searchsorted(series.close_ns, from_ns, side="right"))
        self._period = next(
            (i for i, (_, stop) in enumerate(series.periods) if stop > self._next), 0
        )
        self._evaluated: Signals | None = None

    def count(self, end_ns: int) -> int:
        """Return how many signals are due by `end_ns` that were not written yet."""
        return int(np.searchsorted(self._series.close_ns, end_ns, side="right")) - self._next

    def write(self, out: Records, at: int, n: int) -> None:
        """Write the next `n` signals into `out` from index `at`."""
        while n > 0:
            start, stop = self._series.periods[self._period]
            if self._evaluated is None:
                self._evaluated = evaluate_period(self._strategy, self._series.bars, start, stop)
            last = min(self._next + n, stop)
            pack(
                out[at : at + last - self._next],
                self._series.close_ns[self._next : last],
                *self._evaluated.part(self._next - start, last - start),
                start < self._strategy.warmup,
            )
            at += last - self._next
            n -= last - self._next
            self._next = last
            if last == stop:
                self._period += 1
                self._evaluated = None


@core_kernel
def pack(
    out: Records,
    due_ns: Integers,
    direction: Directions,
    confidence: Floats,
    stop_distance: Floats,
    target_distance: Floats,
    warming: bool,
) -> None:
    """Write signals as SIGNAL records."""
    for i in range(len(out)):
        row = out[i]
        row["due_ns"] = due_ns[i]
        row["raw"] = direction[i]
        row["confidence"] = confidence[i]
        row["stop_distance"] = stop_distance[i]
        row["target_distance"] = target_distance[i]
        row["warming"] = warming
