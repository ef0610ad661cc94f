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
from engine.model.signals import FLAT, HOLD
from engine.model.times import NS_PER_MINUTE, Timeframe
from strategies.base import (
    Columns,
    Directions,
    Floats,
    Signals,
    Strategy,
    as_columns,
    flat_signals,
)
from strategies.windows import evaluate_period, periods

Integers = npt.NDArray[np.int64]


EVENT = np.dtype(
    [
        ("confidence", "f8"),
        ("stop_distance", "f8"),
        ("target_distance", "f8"),
        ("member", "i4"),
        ("raw", "i1"),
        ("warming", "i1"),
    ],
    align=True,
)


class SignalFeed(NamedTuple):
    """A stretch's changes of signals, in the order of memory.

    A *series* is a symbol in a timeframe with the members whose primary input it is. An event is
    a member's signal at a closing unless it repeats the member's signal before it: same `raw` and
    `warming`, and HOLD or FLAT or equal confidence and distances (NaN equals NaN). The first
    closing of a series in a stretch has an event for each of its members.

    `events` (n,) EVENT: series after series, in each its closings in order, in each its members in
    order; closing i's are events[first_event[i]:first_event[i + 1]]. `close_ns` (n_closings,) are
    UTC, series after series. `next`, `stop`, `symbol`, `timeframe` (n_series,): the index of the
    next closing, which advances, and of the end; the symbol's index; the timeframe's number in the
    order of Timeframe, 0 = M1.
    """

    events: Records
    first_event: Integers
    close_ns: Integers
    next: Integers
    stop: Integers
    symbol: Integers
    timeframe: Integers


class Series(NamedTuple):
    """A symbol's closed bars of one timeframe and its anchor periods."""

    bars: Columns
    periods: list[tuple[int, int]]


def make_series(m1: Bars, timeframe: Timeframe, clock: ServerClock) -> Series:
    """Return the closed bars of a timeframe made from M1 bars.

    A higher bar is closed at the end of its cell: the core takes it at the first batch from then.
    """
    if not len(m1) or timeframe == Timeframe.M1:
        columns = as_columns(m1, m1["time_ns"] + NS_PER_MINUTE)
        return Series(columns, list(periods(columns.time_ns, timeframe)))
    first, last = int(m1["time_ns"][0]), int(m1["time_ns"][-1]) + NS_PER_MINUTE
    every_minute = np.arange(first, last + timeframe.ns + 1, NS_PER_MINUTE, dtype=np.int64)
    bars, close_ns = resample(m1, timeframe, clock, every_minute)
    columns = as_columns(bars, close_ns)
    return Series(columns, list(periods(columns.time_ns, timeframe)))


class SeriesStream:
    """The signals of one series' strategies in order; memory holds one anchor period of each.

    Signals of bars that close at or before `from_ns` are left out: they belong to the warm-up.
    `others` are the further inputs of each strategy.
    """

    def __init__(
        self,
        series: Series,
        strategies: Sequence[Strategy],
        others: Sequence[Sequence[Columns]],
        from_ns: int,
    ) -> None:
        self._series = series
        self._strategies = strategies
        self._others = others
        self._next = int(np.searchsorted(series.bars.close_ns, from_ns, side="right"))
        stops = [stop for _, stop in series.periods]
        self._period = int(np.searchsorted(stops, self._next, side="right"))
        self._evaluated: list[Signals | None] = []

    def closings(self, until_ns: int) -> Integers:
        """Return the closings up to `until_ns` that were not written yet."""
        close_ns = self._series.bars.close_ns
        return close_ns[self._next : np.searchsorted(close_ns, until_ns, side="right")]

    def write(self, out: Records) -> None:
        """Write the next bars' signals, bar after bar, into all rows of `out`.

        A period's rows are written for all strategies before the next one's: they stay in cache.
        """
        n = len(self._strategies)
        bars = self._series.bars
        end = self._next + len(out) // n
        at = 0
        while self._next < end:
            start, stop = self._series.periods[self._period]
            if not self._evaluated:
                self._evaluated = [
                    evaluate_period(strategy, bars, start, stop, *others)
                    for strategy, others in zip(self._strategies, self._others, strict=True)
                ]
            last = min(end, stop)
            for j, signals in enumerate(self._evaluated):
                arrays = _arrays(signals, stop - start)
                warming = signals is None
                pack(out[at + j :: n], *arrays, self._next - start, last - start, warming)
            at += (last - self._next) * n
            self._next = last
            if last == stop:
                self._period += 1
                self._evaluated = []


def _arrays(signals: Signals | None, n: int) -> tuple[Directions, Floats, Floats, Floats]:
    direction, confidence, *distances = flat_signals(n) if signals is None else signals
    stop, target = (d if isinstance(d, np.ndarray) else np.full(n, d) for d in distances)
    return direction, confidence, stop, target


@core_kernel
def pack(
    out: Records,
    direction: Directions,
    confidence: Floats,
    stop_distance: Floats,
    target_distance: Floats,
    start: int,
    stop: int,
    warming: bool,
) -> None:
    """Write signals `start` to `stop` as records into `out`; the first is no repetition."""
    for i in range(start, stop):
        row = out[i - start]
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


@core_kernel
def pack_events(
    out: Records,
    n: int,
    signals: Records,
    members: Integers,
    n_closings: int,
    first_event: Integers,
) -> int:
    """Write the changes among a series' signals into `out` from `n` on; return the next free row.

    Args:
        out: EVENT, room for every row of `signals`.
        n: first row to write.
        signals: (n_closings * n_members,) EVENT, closing after closing, members in order; the
            first closing is written whole.
        members: (n_members,) the core's member index of each.
        n_closings: how many closings.
        first_event: (n_closings,) written: the row of each closing's first event.
    """
    n_members = len(members)
    for i in range(n_closings):
        first_event[i] = n
        for j in range(n_members):
            at = i * n_members + j
            if i > 0 and _repeats(signals, at, at - n_members):
                continue
            out[n]["confidence"] = signals[at]["confidence"]
            out[n]["stop_distance"] = signals[at]["stop_distance"]
            out[n]["target_distance"] = signals[at]["target_distance"]
            out[n]["member"] = members[j]
            out[n]["raw"] = signals[at]["raw"]
            out[n]["warming"] = signals[at]["warming"]
            n += 1
    return n


@core_kernel
def _repeats(signals: Records, at: int, preceding: int) -> bool:
    row, before = signals[at], signals[preceding]
    if row["raw"] != before["raw"] or row["warming"] != before["warming"]:
        return False
    return (
        row["raw"] == HOLD
        or row["raw"] == FLAT
        or (
            row["confidence"] == before["confidence"]
            and _same(row["stop_distance"], before["stop_distance"])
            and _same(row["target_distance"], before["target_distance"])
        )
    )
