"""A strategy on the bars it is checked on: every anchor period with its window, and evaluations.

Each evaluation gets copies of its own, so that a strategy that writes into its input spoils its
own answer alone, and so that nothing outside the window can be reached through an array's base.
"""

import traceback
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.model.errors import StrategyError
from engine.model.printable import described, printable_name
from strategies.base import Columns, Directions, Floats, Signals, Strategy
from strategies.contract import check_signals
from strategies.windows import periods, window_spans

Spans = list[tuple[int, int]]


class Output(NamedTuple):
    """What a strategy said over a window, warm-up included; (n,) each, distances never scalars."""

    direction: Directions
    confidence: Floats
    stop_distance: Floats
    target_distance: Floats

    def part(self, start: int, stop: int | None = None) -> "Output":
        """Return the values of bars `start` to `stop`, as views."""
        direction, confidence, stops, targets = self
        cut = slice(start, stop)
        return Output(direction[cut], confidence[cut], stops[cut], targets[cut])


class Period(NamedTuple):
    """One anchor period: bars `start` to `stop`, its window in each input, what was said."""

    start: int
    stop: int
    spans: Spans
    output: Output


class Probe:
    """Evaluates one strategy on parts of its inputs, always on copies.

    Periods that end before `from_ns` are history alone.
    """

    def __init__(self, strategy: Strategy, series: Sequence[Columns], from_ns: int) -> None:
        self.strategy = strategy
        self.bars, *others = self.series = tuple(series)
        self.others = tuple(others)
        times = self.bars.time_ns
        every = [(a, b) for a, b in periods(times, strategy.timeframe) if times[b - 1] >= from_ns]
        spans = [(a, b, self.spans(a, b)) for a, b in every]
        self.windows = [(a, b, s) for a, b, s in spans if s is not None]
        self.n_warming = sum(b - a for a, b, s in spans if s is None)
        self.n_periods = len(every)

    def spans(self, start: int, stop: int) -> Spans | None:
        """Return the window of bars `start` to `stop` in each input; None: WARMING."""
        return window_spans(self.strategy, self.bars, start, stop, *self.others)

    def copies(self, spans: Spans) -> list[Columns]:
        """Return the bars of a window in arrays of their own."""
        return [_copy(series, *span) for series, span in zip(self.series, spans, strict=True)]

    def evaluate(self, spans: Spans) -> Output:
        """Return what the strategy says over a window."""
        return self.run(self.copies(spans))

    def run(self, windows: Sequence[Columns]) -> Output:
        """Return what the strategy says over windows that nobody else reads.

        Raises:
            StrategyError: it raised, or broke the output contract, at which window.
        """
        bars = windows[0]
        try:
            signals = self.strategy.evaluate(*windows)
            fault = check_signals(signals, bars.n)
        except BaseException as error:  # border: code of others
            fault = raised(error)
        if fault:
            raise StrategyError(f"{fault}, in a window of {bars.n} bars")
        return _widened(signals, bars.n)


def _copy(series: Columns, start: int, stop: int) -> Columns:
    columns: list[Any] = [column[start:stop].copy() for column in series]
    return Columns(*columns)


def raised(error: BaseException) -> str:
    """Return what user code raised, and in which line of its file."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename.rpartition('/')[2]}, line {frames[-1].lineno}"
    return f"raised {described(error)}{printable_name(where)}"


def _widened(signals: Signals, n: int) -> Output:
    direction, confidence, stop, target = signals
    stops, targets = (
        distance if isinstance(distance, np.ndarray) else np.full(n, distance)
        for distance in (stop, target)
    )
    # Copies: what was returned may be the strategy's own memory.
    return Output(direction.copy(), confidence.copy(), stops.copy(), targets.copy())
