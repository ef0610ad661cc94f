"""Anchored windows: the bar at time t is judged on bars from `warmup` bars before its anchor.

The anchor is decided by the calendar alone (`engine.model.times.anchor_ns`), so a window so far,
bar by bar (`Window`), and a whole anchor period in one call (`evaluate_period`) give the same
bits, whenever a process was started. With fewer than `warmup` bars before the anchor a strategy
is WARMING: FLAT for that entire period.
"""

from collections.abc import Iterator

import numpy as np

from engine.model.bars import BAR_DTYPE, Bars
from engine.model.errors import StrategyError
from engine.model.signals import StrategySignal
from engine.model.times import NS_PER_DAY, Timeframe, anchor_ns
from strategies.base import Signals, Strategy, flat_signals
from strategies.contract import check_signals

WARMING = StrategySignal(0, 0.0, float("nan"), float("nan"), warming=True)


def periods(bars: Bars, timeframe: Timeframe) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of every anchor period of the bars, in order."""
    if not len(bars):
        return
    days = bars["time_ns"] // NS_PER_DAY  # every anchor is a UTC midnight
    first_of_day = np.flatnonzero(np.diff(days)) + 1
    start, anchor = 0, anchor_ns(timeframe, int(bars["time_ns"][0]))
    for index in first_of_day.tolist():
        if (next_anchor := anchor_ns(timeframe, int(bars["time_ns"][index]))) != anchor:
            yield start, index
            start, anchor = index, next_anchor
    yield start, len(bars)


def evaluate_period(strategy: Strategy, bars: Bars, start: int, stop: int) -> Signals:
    """Return the checked signals of `bars[start:stop]`, an anchor period or its beginning."""
    first = start - strategy.warmup
    if first < 0:
        return flat_signals(stop - start)
    return _evaluate(strategy, bars[first:stop]).part(strategy.warmup)


def _evaluate(strategy: Strategy, window: Bars) -> Signals:
    signals = strategy.evaluate(window)
    if fault := check_signals(signals, len(window)):
        raise StrategyError(f"strategy {strategy.name!r}: {fault}")
    return signals


class Window:
    """The bars one strategy needs now: its warm-up and the anchor period so far.

    Memory is bounded: bars before that are dropped when the anchor moves.
    """

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy
        self._bars = np.empty(0, BAR_DTYPE)
        self._n = 0  # bars in use
        self._anchor_index = 0  # of the first bar at or after the anchor

    def __len__(self) -> int:
        return self._n

    @property
    def warming(self) -> bool:
        """Tell whether too few bars precede the anchor."""
        return self._n == 0 or self._anchor_index < self.strategy.warmup

    def append(self, bars: Bars) -> None:
        """Add closed bars, later than all before."""
        if not len(bars):
            return
        if self._n and bars["time_ns"][0] <= self._bars["time_ns"][self._n - 1]:
            raise ValueError("bars must be appended in order of time")
        self._reserve(len(bars))
        self._bars[self._n : self._n + len(bars)] = bars
        self._n += len(bars)
        self._move_anchor()

    def evaluate(self) -> StrategySignal:
        """Return the checked signal of the newest bar."""
        if self.warming:
            return WARMING
        first = self._anchor_index - self.strategy.warmup
        signals = _evaluate(self.strategy, self._bars[first : self._n])
        return StrategySignal(
            int(signals.direction[-1]),
            float(signals.confidence[-1]),
            float(signals.stop_distance[-1]),
            float(signals.target_distance[-1]),
        )

    def _reserve(self, n: int) -> None:
        if self._n + n > len(self._bars):
            grown = np.empty(max(2 * (self._n + n), 256), BAR_DTYPE)
            grown[: self._n] = self._bars[: self._n]
            self._bars = grown

    def _move_anchor(self) -> None:
        times = self._bars["time_ns"][: self._n]
        anchor = anchor_ns(self.strategy.timeframe, int(times[-1]))
        if times[self._anchor_index] >= anchor and self._anchor_index == 0:
            return
        index = int(np.searchsorted(times, anchor))
        drop = max(0, index - self.strategy.warmup)
        if drop:
            self._bars = self._bars[drop : self._n].copy()
            self._n -= drop
        self._anchor_index = index - drop
