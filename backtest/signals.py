"""A strategy's signals for the core, one anchor period at a time."""

from collections.abc import Iterator

import numpy as np

from backtest.loop import SIGNAL
from engine.decision.state import Records
from engine.model.bars import Bars
from strategies.base import Strategy
from strategies.windows import evaluate_period, periods


class SignalStream:
    """The signals of one strategy in order; memory holds one anchor period.

    A bar's signal is due at its close: the first batch at or after its open + timeframe.
    """

    def __init__(self, strategy: Strategy, bars: Bars, from_ns: int) -> None:
        self._strategy = strategy
        self._bars = bars
        self._times = bars["time_ns"]
        self._first = int(np.searchsorted(self._times, from_ns))
        self._periods: Iterator[tuple[int, int]] = iter(
            [p for p in periods(bars, strategy.timeframe) if p[1] > self._first]
        )
        self._next = next(self._periods, None)
        self._pending = np.empty(0, SIGNAL)

    def until(self, end_ns: int) -> Records:
        """Return the signals due before `end_ns` that were not returned yet."""
        while self._next is not None and self._times[self._next[0]] < end_ns:
            self._pending = np.concatenate([self._pending, self._evaluate(*self._next)])
            self._next = next(self._periods, None)
        cut = int(np.searchsorted(self._pending["due_ns"], end_ns))
        due, self._pending = self._pending[:cut], self._pending[cut:]
        return due

    def _evaluate(self, start: int, stop: int) -> Records:
        signals = evaluate_period(self._strategy, self._bars, start, stop)
        first = max(start, self._first)
        signals = signals.part(first - start)
        out = np.empty(stop - first, SIGNAL)
        out["due_ns"] = self._times[first:stop] + self._strategy.timeframe.ns
        out["raw"] = signals.direction
        out["confidence"] = signals.confidence
        out["stop_distance"] = signals.stop_distance
        out["target_distance"] = signals.target_distance
        out["warming"] = start < self._strategy.warmup
        return out
