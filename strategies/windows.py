"""Anchored windows: the bar at time t is judged on bars from `warmup` bars before its anchor.

The anchor is decided by the calendar alone (`engine.model.times.anchor_ns`), so a window so far,
bar by bar (`Window`), and a whole anchor period in one call (`evaluate_period`) give the same
bits, whenever a process was started. A further input has an anchor of its own: that of its
timeframe at or before the first input's. Its window begins `warmup` bars before the first one
that closes after that anchor, and ends with the last one closed by the first input's last bar.
Where an input has fewer bars than that a strategy is WARMING for the entire period.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Protocol

import numpy as np

from engine.model.errors import StrategyError
from engine.model.signals import StrategySignal
from engine.model.times import NS_PER_DAY, Timeframe, anchor_ns
from strategies.base import Columns, Floats, Input, Signals, Strategy, Times
from strategies.contract import check_signals


class Closed(Protocol):
    """The whole series of a further input: `Columns`, or what makes them of the bars asked for."""

    @property
    def close_ns(self) -> Times:
        """When each bar counts as closed, UTC."""

    def part(self, start: int, stop: int, /) -> Columns:
        """Return bars `start` to `stop`."""


WARMING = StrategySignal(0, 0.0, float("nan"), float("nan"), warming=True)


def periods(time_ns: Times, timeframe: Timeframe) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of every anchor period of bars that open at `time_ns`, in order."""
    if not len(time_ns):
        return
    days = time_ns // NS_PER_DAY  # every anchor is a UTC midnight
    first_of_day = np.flatnonzero(np.diff(days)) + 1
    start, anchor = 0, anchor_ns(timeframe, int(time_ns[0]))
    for index in first_of_day.tolist():
        if (next_anchor := anchor_ns(timeframe, int(time_ns[index]))) != anchor:
            yield start, index
            start, anchor = index, next_anchor
    yield start, len(time_ns)


def evaluate_period(
    strategy: Strategy, bars: Columns, start: int, stop: int, *others: Closed
) -> Signals | None:
    """Return the checked signals of bars `start` to `stop`, an anchor period or its beginning.

    None where the strategy is WARMING. `others` are the whole series of its further inputs.
    """
    warmup = strategy.warmup
    signals = evaluate_window(strategy, warmup, bars, start, stop, *others)
    if signals is None:
        return None
    if fault := check_signals(signals, stop - start + warmup):
        raise StrategyError(f"strategy {strategy.name!r}: {fault}")
    return signals.part(warmup)


def evaluate_window(
    strategy: Strategy, warmup: int, bars: Columns, start: int, stop: int, *others: Closed
) -> Signals | None:
    """Return what `evaluate_period` does, unchecked, and the `warmup` bars before it as well."""
    first = start - warmup
    if first < 0:
        return None
    if not others:
        return _evaluated(strategy, bars.part(first, stop))
    spans = window_spans(strategy, bars, start, stop, *others)
    if spans is None:
        return None
    own, *further = spans
    windows = (series.part(*span) for series, span in zip(others, further, strict=True))
    return _evaluated(strategy, bars.part(*own), *windows)


def _evaluated(strategy: Strategy, *windows: Columns) -> Signals:
    """Return what a strategy says; nothing at all must not be taken for WARMING."""
    signals: object = strategy.evaluate(*windows)
    if not isinstance(signals, Signals):
        fault = check_signals(signals, windows[0].n)
        raise StrategyError(f"strategy {strategy.name!r}: {fault}")
    return signals


def window_spans(
    strategy: Strategy, bars: Columns, start: int, stop: int, *others: Closed
) -> list[tuple[int, int]] | None:
    """Return where in each input the window of bars `start` to `stop` begins and ends.

    None where the strategy is WARMING.
    """
    spans = [(start - strategy.warmup, stop)]
    if others:
        anchor = anchor_ns(strategy.timeframe, int(bars.time_ns[start]))
        for need, other in zip(strategy.inputs[1:], others, strict=True):
            end = int(other.close_ns.searchsorted(bars.close_ns[stop - 1], side="right"))
            spans.append((_first_of_other(need, other.close_ns, anchor), end))
    return None if min(first for first, _ in spans) < 0 else spans


def _first_of_other(need: Input, close_ns: Times, anchor: int) -> int:
    """Return where a further input's window begins; negative for too few bars.

    Counted by closes: a bar that is open at the anchor may be unknown for hours.
    """
    own_anchor = _anchor_of_day(need.timeframe, anchor // NS_PER_DAY)
    return int(close_ns.searchsorted(own_anchor, side="right")) - need.warmup


@lru_cache(maxsize=4096)
def _anchor_of_day(timeframe: Timeframe, day: int) -> int:
    """Return the anchor of a UTC day's times: kept, as a backtest asks once a strategy and day."""
    return anchor_ns(timeframe, day * NS_PER_DAY)


class Window:
    """The bars one strategy needs now: of each input its warm-up and the anchor period so far.

    Memory is bounded: bars before that are dropped when the anchor moves.
    """

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy
        self.inputs = strategy.inputs
        self._series = [_Series() for _ in self.inputs]
        self._anchor = -1
        self._start = 0  # index of the first bar at or after the anchor

    def __len__(self) -> int:
        return self._series[0].n

    def append(self, bars: Columns, which: int = 0) -> None:
        """Add closed bars of an input, later than all before.

        Those of the further inputs first: bars that close after the first input's are kept.
        """
        if bars.n:
            self._series[which].append(bars)
            if which == 0:
                self._move_anchor(int(bars.time_ns[-1]))

    def evaluate(self) -> StrategySignal:
        """Return the checked signal of the newest bar."""
        n = self._series[0].n
        if n == 0:
            return WARMING
        bars, *others = (series.columns() for series in self._series)
        signals = evaluate_period(self.strategy, bars, self._start, n, *others)
        if signals is None:
            return WARMING
        direction, confidence, stop, target = signals
        return StrategySignal(
            int(direction[-1]), float(confidence[-1]), _newest(stop), _newest(target)
        )

    def _move_anchor(self, newest_ns: int) -> None:
        anchor = anchor_ns(self.strategy.timeframe, newest_ns)
        if anchor == self._anchor:
            return
        self._anchor = anchor
        times = self._series[0].columns().time_ns
        first = int(np.searchsorted(times, anchor)) - self.inputs[0].warmup
        self._series[0].drop(first)
        self._start = self.inputs[0].warmup + min(first, 0)
        for need, other in zip(self.inputs[1:], self._series[1:], strict=True):
            other.drop(_first_of_other(need, other.columns().close_ns, anchor))


class _Series:
    """Columns that grow."""

    def __init__(self) -> None:
        self.n = 0
        self._times = np.empty((2, 0), np.int64)
        self._values = np.empty((6, 0))

    def columns(self) -> Columns:
        return Columns(*self._times[:, : self.n], *self._values[:, : self.n])

    def append(self, bars: Columns) -> None:
        if self.n and bars.time_ns[0] <= self._times[0, self.n - 1]:
            raise ValueError("bars must be appended in order of time")
        end = self.n + bars.n
        if end > self._times.shape[1]:
            self._move(0, max(2 * end, 256))
        for row, column in zip((*self._times, *self._values), bars, strict=True):
            row[self.n : end] = column
        self.n = end

    def drop(self, n: int) -> None:
        """Forget the oldest `n` bars."""
        if n > 0:
            self._move(n, self.n - n)

    def _move(self, first: int, capacity: int) -> None:
        times, values = self._times[:, first : self.n], self._values[:, first : self.n]
        self.n -= first
        self._times = np.empty((2, capacity), np.int64)
        self._values = np.empty((6, capacity))
        self._times[:, : self.n] = times
        self._values[:, : self.n] = values


def _newest(distance: Floats | float) -> float:
    return float(distance[-1] if isinstance(distance, np.ndarray) else distance)
