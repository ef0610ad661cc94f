"""Anchored windows: the bar at time t is judged on bars from `warmup` bars before its anchor.

The anchor is decided by the calendar alone (`engine.model.times.anchor_ns`), so a window so far,
bar by bar (`Window`), and a whole anchor period in one call (`evaluate_period`) give the same
bits, whenever a process was started. A further input has an anchor of its own: that of its
timeframe at or before the first input's. Its window begins `warmup` bars before the first one
that closes after that anchor, and ends with the last one closed by the first input's last bar.
Where an input has fewer bars than that a strategy is WARMING for the entire period.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np

from engine.model.errors import StrategyError
from engine.model.signals import StrategySignal
from engine.model.times import NS_PER_DAY, Timeframe, anchor_ns
from strategies.base import Columns, Floats, Input, Signals, Strategy, Times
from strategies.contract import check_signals
from strategies.growing import GrowingSeries


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
    # Every anchor is a UTC midnight.
    first, last = int(time_ns[0]) // NS_PER_DAY, int(time_ns[-1]) // NS_PER_DAY
    midnights_ns = np.arange(first + 1, last + 1, dtype=np.int64) * NS_PER_DAY
    start, anchor = 0, anchor_ns(timeframe, int(time_ns[0]))
    for index in np.unique(time_ns.searchsorted(midnights_ns)).tolist():
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
    signals = _checked(strategy, warmup, bars, start, stop, *others)
    return None if signals is None else signals.part(warmup)


def _checked(
    strategy: Strategy, warmup: int, bars: Columns, start: int, stop: int, *others: Closed
) -> Signals | None:
    """Return what `evaluate_window` does, checked."""
    signals = evaluate_window(strategy, warmup, bars, start, stop, *others)
    if signals is not None and (fault := check_signals(signals, stop - start + warmup)):
        raise StrategyError(f"strategy {strategy.name!r}: {fault}")
    return signals


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

    They lie in `series`, one an input, which other windows may share. Bars before those are
    given up when the anchor moves: memory is bounded.
    """

    def __init__(self, strategy: Strategy, series: Sequence[GrowingSeries] = ()) -> None:
        self.strategy = strategy
        self.inputs = strategy.inputs
        self._series = tuple(series) or tuple(GrowingSeries() for _ in self.inputs)
        self._holds = [each.hold() for each in self._series]
        self._anchor = self._day = -1
        self._start = 0  # the first bar at or after the anchor
        self._stop = self._holds[0].first  # the first bar that was not taken

    def __len__(self) -> int:
        return self._stop - self._holds[0].first

    def append(self, bars: Columns, which: int = 0) -> None:
        """Add closed bars of an input, later than all before.

        Those of the further inputs first: bars that close after the first input's are kept.
        """
        self._series[which].append(bars)
        if which == 0:
            self.take(bars.n)

    def take(self, n: int) -> None:
        """Move on by the next `n` bars of the first input, which its series has by now."""
        if n:
            self._stop += n
            first = self._series[0]
            day = int(first.columns().time_ns[self._stop - first.first - 1]) // NS_PER_DAY
            if day != self._day:  # every anchor is a UTC midnight
                self._day = day
                self._move_anchor(_anchor_of_day(self.strategy.timeframe, day))

    def evaluate(self) -> StrategySignal:
        """Return the checked signal of the newest bar."""
        if not len(self):
            return WARMING
        bars, *others = [series.columns() for series in self._series]
        n_gone = self._series[0].first
        start, stop = self._start - n_gone, self._stop - n_gone
        signals = _checked(self.strategy, self.inputs[0].warmup, bars, start, stop, *others)
        if signals is None:
            return WARMING
        direction, confidence, stop_distance, target_distance = signals
        return StrategySignal(
            int(direction[-1]),
            float(confidence[-1]),
            _newest(stop_distance),
            _newest(target_distance),
        )

    def _move_anchor(self, anchor: int) -> None:
        if anchor == self._anchor:
            return
        self._anchor = anchor
        bars, *others = [series.columns() for series in self._series]
        self._start = self._series[0].first + int(bars.time_ns.searchsorted(anchor))
        firsts = [self._start - self.inputs[0].warmup]
        for need, series, other in zip(self.inputs[1:], self._series[1:], others, strict=True):
            firsts.append(series.first + _first_of_other(need, other.close_ns, anchor))
        for hold, series, first in zip(self._holds, self._series, firsts, strict=True):
            hold.first = max(hold.first, first)
            series.trim()


def _newest(distance: Floats | float) -> float:
    return float(distance[-1] if isinstance(distance, np.ndarray) else distance)
