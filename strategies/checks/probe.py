"""A strategy on the bars it is checked on: every anchor period with its window, and evaluations.

Each evaluation gets copies of its own, so that a strategy that writes into its input spoils its
own answer alone, and so that nothing outside the window can be reached through an array's base.
"""

import contextlib
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.model.errors import StrategyError
from engine.model.printable import described, printable_name
from strategies.base import Columns, Directions, Floats, Signals, Strategy
from strategies.checks.watch import CodeWatch
from strategies.contract import check_signals
from strategies.windows import periods, window_spans

Spans = list[tuple[int, int]]


class ProbedSignals(NamedTuple):
    """What a strategy said over a window, warm-up included; (n,) each, distances never scalars."""

    direction: Directions
    confidence: Floats
    stop_distance: Floats
    target_distance: Floats

    def part(self, start: int, stop: int | None = None) -> "ProbedSignals":
        """Return the values of bars `start` to `stop`, as views."""
        direction, confidence, stops, targets = self
        cut = slice(start, stop)
        return ProbedSignals(direction[cut], confidence[cut], stops[cut], targets[cut])


class ProbedPeriod(NamedTuple):
    """One anchor period: bars `start` to `stop`, its window in each input, what was said."""

    start: int
    stop: int
    spans: Spans
    output: ProbedSignals


class Probe:
    """Evaluates one strategy on parts of its inputs, always on copies, and watches it.

    Periods that end before `from_ns` are history alone. `written` names what it wrote into,
    `reused` which array it returned twice; "" for nothing.
    """

    def __init__(
        self,
        strategy: Strategy,
        series: Sequence[Columns],
        from_ns: int,
        watch: CodeWatch | None = None,
    ) -> None:
        self.strategy = strategy
        self.watch = watch or CodeWatch()
        self.written = self.reused = ""
        self._returned: tuple[Signals, ProbedSignals] | None = None
        self._twin: Strategy | None = None
        self._is_slow: Callable[[], bool] = lambda: False
        self.watch.run(lambda: (strategy.warmup, strategy.inputs))
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

    def evaluate(self, spans: Spans) -> ProbedSignals:
        """Return what the strategy says over a window."""
        windows = self.copies(spans)
        output = self.run(windows)
        self._note_writes(windows, spans)
        return output

    @contextlib.contextmanager
    def slowly(self, now_s: Callable[[], float], spend_s: float) -> Iterator[None]:
        """Hear every call of evaluations in the block, until the time is spent."""
        until_s = now_s() + spend_s
        self._is_slow = lambda: now_s() < until_s
        try:
            yield
        finally:
            self._is_slow = lambda: False

    def run(self, windows: Sequence[Columns]) -> ProbedSignals:
        """Return what the strategy says over windows that nobody else reads.

        Raises:
            StrategyError: it raised, or broke the output contract, at which window.
        """
        bars = windows[0]
        run = self.watch.run_slowly if self._is_slow() else self.watch.run
        try:
            signals = run(self.strategy.evaluate, *windows)
            fault = check_signals(signals, bars.n)
        except BaseException as error:  # border: code of others
            fault = raised(error)
        if fault:
            raise StrategyError(f"{fault}, in a window of {bars.n} bars")
        output = _widened(signals, bars.n)
        self._note_reuse()
        self._returned = signals, output
        return output

    def run_twin(self, windows: Sequence[Columns]) -> None:
        """Have the same kind evaluate windows of another symbol, as it would live beside it.

        Raises:
            StrategyError: it raised.
        """
        try:
            if self._twin is None:
                self._twin = self.watch.run(_twin_of, self.strategy)
            self.watch.run(self._twin.evaluate, *windows)
        except BaseException as error:  # border: code of others
            raise StrategyError(raised(error)) from None

    def _note_writes(self, windows: Sequence[Columns], spans: Spans) -> None:
        """Note an array that it was given and that is not what it was."""
        for which, (window, series, (start, stop)) in enumerate(
            zip(windows, self.series, spans, strict=True)
        ):
            for name, now, whole in zip(window._fields, window, series, strict=True):
                if now.tobytes() != whole[start:stop].tobytes():
                    self.written = self.written or f"{name!r} of input {which}"

    def _note_reuse(self) -> None:
        """Note an array that was returned before and has changed since."""
        if self._returned is None:
            return
        signals, output = self._returned
        values: list[tuple[str, Any, Any]] = list(
            zip(Signals._fields, signals, output, strict=True)
        )
        for name, now, then in values:
            if isinstance(now, np.ndarray) and now.tobytes() != then.tobytes():
                self.reused = self.reused or name


def _copy(series: Columns, start: int, stop: int) -> Columns:
    columns: list[Any] = [column[start:stop].copy() for column in series]
    return Columns(*columns)


def _twin_of(strategy: Strategy) -> Strategy:
    symbol, *others = strategy.symbols
    return type(strategy)(
        strategy.params,
        symbol="GBPUSD" if symbol != "GBPUSD" else "EURUSD",
        timeframe=strategy.timeframe,
        point=1e-5,
        name=f"{strategy.name}-twin",
        **({"others": others} if others else {}),
    )


def raised(error: BaseException) -> str:
    """Return what user code raised, and in which line of its file."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename.rpartition('/')[2]}, line {frames[-1].lineno}"
    return f"raised {described(error)}{printable_name(where)}"


def _widened(signals: Signals, n: int) -> ProbedSignals:
    direction, confidence, stop, target = signals
    stops, targets = (
        distance if isinstance(distance, np.ndarray) else np.full(n, distance)
        for distance in (stop, target)
    )
    # Copies: what was returned may be the strategy's own memory.
    return ProbedSignals(direction.copy(), confidence.copy(), stops.copy(), targets.copy())
