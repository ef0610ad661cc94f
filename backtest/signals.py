"""Strategies' signals for the core, one anchor period at a time."""

from collections.abc import Sequence
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
    """The signals of one strategy in order; memory holds one anchor period."""

    def __init__(self, strategy: Strategy, series: Series, first: int) -> None:
        self._strategy = strategy
        self._warmup = strategy.warmup
        self._series = series
        self._next = first
        self._period = next((i for i, (_, stop) in enumerate(series.periods) if stop > first), 0)
        self._evaluated: Signals | None = None

    def write(self, out: Records) -> None:
        """Write the next signals, one for each row of `out`."""
        at = 0
        while at < len(out):
            start, stop = self._series.periods[self._period]
            if self._evaluated is None:
                self._evaluated = evaluate_period(self._strategy, self._series.bars, start, stop)
            last = min(self._next + len(out) - at, stop)
            pack(out, at, *self._evaluated, self._next - start, last - start, start < self._warmup)
            at += last - self._next
            self._next = last
            if last == stop:
                self._period += 1
                self._evaluated = None


class SeriesStream:
    """The strategies of one series, and how far their signals were written.

    Signals of bars that close at or before `from_ns` are left out: they belong to the warm-up.
    """

    def __init__(self, series: Series, strategies: Sequence[Strategy], from_ns: int) -> None:
        self._close_ns = series.close_ns
        self._next = int(np.searchsorted(series.close_ns, from_ns, side="right"))
        self._streams = [SignalStream(s, series, self._next) for s in strategies]

    def closings(self, until_ns: int) -> Integers:
        """Return the closings up to `until_ns` that were not written yet."""
        return self._close_ns[self._next : np.searchsorted(self._close_ns, until_ns, side="right")]

    def write(self, out: Records) -> None:
        """Write the next bars' signals, bar after bar, into all rows of `out`."""
        n = len(self._streams)
        for j, stream in enumerate(self._streams):
            stream.write(out[j::n])
        self._next += len(out) // n


@core_kernel
def pack(
    out: Records,
    at: int,
    direction: Directions,
    confidence: Floats,
    stop_distance: Floats,
    target_distance: Floats,
    start: int,
    stop: int,
    warming: bool,
) -> None:
    """Write signals `start` to `stop` as records from `out[at]`; the first is no repetition."""
    for i in range(start, stop):
        row = out[at + i - start]
        row["raw"] = direction[i]
        row["confidence"] = confidence[i]
        row["stop_distance"] = stop_distance[i]
        row["target_distance"] = target_distance[i]
        row["warming"] = warming
        row["repeats"] = (
            i > start
            and direction[i] == direction[i - 1]
            and confidence[i] == confidence[i - 1]
            and _same(stop_distance[i], stop_distance[i - 1])
            and _same(target_distance[i], target_distance[i - 1])
        )


@core_kernel
def _same(one: float, other: float) -> bool:
    return one == other or (one != one and other != other)
