"""The strategy host: a child process that alone runs strategies' code.

`Evaluator` is the same code without the process, for debugging and tests.
"""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from engine.child.printed import print_traceback
from engine.child.serve import serve
from engine.hosts.bounds import bound_strategies
from engine.hosts.memory import KB_PER_MB, Garbage, held_kb, limit_memory
from engine.hosts.protocol import (
    MEMORY_EXIT,
    Adopt,
    Evaluate,
    Evaluations,
    Feed,
    InputNeed,
    Load,
    Progress,
    Request,
    Warm,
    file_index,
    unpack_bars,
)
from engine.model.bars import BAR_DTYPE, Bars
from engine.model.errors import StrategyError
from engine.model.portfolio import StrategySpec
from engine.model.printable import described
from engine.model.server_clock import ServerClock
from engine.model.signals import StrategySignal
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE, Timeframe
from strategies.base import Columns, Strategy, as_columns
from strategies.growing import GrowingSeries
from strategies.loader import load_file
from strategies.registry import KINDS, create, is_built_in, parameters
from strategies.resample import Resampler, close_times
from strategies.windows import Window

_Input = tuple[str, Timeframe]
_Closed = dict[_Input, Columns]
_NO_BARS = as_columns(np.empty(0, BAR_DTYPE), np.empty(0, np.int64))
_encode = msgspec.msgpack.Encoder().encode


class Evaluator:
    """Strategies with their windows; a faulty one is dropped, the others go on."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._windows: dict[str, Window] = {}
        self._index: dict[str, int] = {}
        self._n_loaded = 0
        self._fresh: list[str] = []  # loaded, not fed
        self._fed: _Closed = {}  # of the inputs of the fresh ones
        # Built-in kinds loaded together share the series of an input, and so does each of a
        # user's kinds: should it write into its bars, all others are unharmed.
        self._fresh_series: dict[tuple[str, _Input], GrowingSeries] = {}
        self._series: dict[_Input, list[GrowingSeries]] = {}
        self._first: dict[str, _Input] = {}
        self._resamplers: dict[_Input, Resampler] = {}
        self._clock = ServerClock("UTC")
        self._grown_kb: dict[str, int] = {}
        self.memory_max_mb = 0

    def load(self, request: Load) -> Evaluations:
        """Create strategies; return their inputs and the faults of those that cannot be."""
        self._clock = ServerClock(request.server_clock)
        out = Evaluations(file_faults=dict(request.bad_files))
        self._progress.start_request()
        for place, (path, source) in enumerate(request.files.items()):
            began_s = self._progress.begin(file_index(place))
            if path not in request.bad_files:
                try:
                    out.kinds[path] = load_file(Path(path), source)
                except BaseException as error:  # border: code of others
                    out.file_faults[path] = _describe(error)
            self._progress.end(file_index(place), began_s)
        for spec in request.strategies:
            self._create(spec, request.points, out)
        return out

    def _create(self, spec: StrategySpec, points: Mapping[str, float], out: Evaluations) -> None:
        self._index[spec.name] = index = self._n_loaded
        self._n_loaded += 1
        began_s = self._progress.begin(index)
        try:
            if out.file_faults and spec.kind not in KINDS:
                raise StrategyError("; ".join(out.file_faults.values()))
            window = self._window(spec, points)
            needs = [
                InputNeed(need.symbol, need.timeframe.name, need.warmup) for need in window.inputs
            ]
            _encode(needs)  # what cannot travel is its own fault
        except BaseException as error:  # border: code of others
            out.faults[spec.name] = _describe(error)
        else:
            out.inputs[spec.name] = needs
            self._windows[spec.name] = window
            self._first[spec.name] = window.inputs[0][:2]
            self._fresh.append(spec.name)
        self._progress.end(index, began_s)

    def _window(self, spec: StrategySpec, points: Mapping[str, float]) -> Window:
        if spec.symbol not in points:
            raise StrategyError(f"strategy {spec.name!r}: symbol {spec.symbol!r} is unknown")
        point = points[spec.symbol]
        strategy = create(
            spec.kind, spec.params, spec.symbol, spec.timeframe, point, spec.name, spec.others
        )
        owner = "" if is_built_in(strategy) else spec.kind
        shared = self._fresh_series
        keys = [(owner, (need.symbol, need.timeframe)) for need in strategy.inputs]
        return Window(strategy, [shared.setdefault(key, GrowingSeries()) for key in keys])

    def feed(self, batch_ns: int, history: Mapping[str, Bars], *, last: bool = True) -> Evaluations:
        """Fill the windows of the strategies loaded last; after the `last` part try each once."""
        inputs = {key for name in self._fresh for key in self._inputs(name)}
        inputs = {key for key in inputs if last or key[0] in history}
        new = inputs - self._fed.keys()
        # Made anew from the same bars, a resampler shared with older strategies is as it was.
        self._resamplers.update({key: Resampler(key[1], self._clock) for key in new})
        self._fed |= self._resample(batch_ns, history, new)
        if not last:
            return Evaluations()
        bars, self._fed = self._fed, {}
        names, self._fresh = self._fresh, []
        series, self._fresh_series = self._fresh_series, {}
        for (_, key), one in series.items():
            if key in inputs and one.held:
                one.append(bars[key])
                self._series.setdefault(key, []).append(one)
        due = {}
        for name in names:
            n = bars[self._first[name]].n
            self._windows[name].take(max(n - 1, 0))
            due[name] = min(n, 1)
        answer = self._evaluate(due)
        # One kind after the other: its code, and then the bars, are still in the processor's cache.
        self._windows = dict(sorted(self._windows.items(), key=_place))
        return answer

    def adopt(self, names: Sequence[str], batch_ns: int, missed: Mapping[str, Bars]) -> Evaluations:
        """Keep these strategies alone; take bars that were missed, without evaluating."""
        self._windows = {name: w for name, w in self._windows.items() if name in names}
        inputs = {key for name in self._windows for key in self._inputs(name)}
        bars = self._resample(batch_ns, missed, inputs)
        self._resamplers = {key: self._resamplers[key] for key in inputs}
        self._series = {key: [s for s in self._series[key] if s.held] for key in inputs}
        self._append(bars)
        for name, window in self._windows.items():
            window.take(bars[self._first[name]].n)
        return Evaluations()

    def evaluate(self, batch_ns: int, closed: Mapping[str, Bars]) -> Evaluations:
        """Take closed M1 bars; return the signals of the strategies whose bar has closed."""
        try:
            bars = self._resample(batch_ns, closed, self._resamplers)
            self._append(bars)
        except MemoryError:
            self._end_if_not_its_own("")
            raise
        n_new = {key: new.n for key, new in bars.items()}
        answer = self._evaluate(
            {name: n for name in self._windows if (n := n_new[self._first[name]])}
        )
        answer.batch_ns = batch_ns
        return answer

    def _append(self, bars: _Closed) -> None:
        for key, new in bars.items():
            for series in self._series[key]:
                series.append(new)

    def _inputs(self, name: str) -> tuple[_Input, ...]:
        return tuple((need.symbol, need.timeframe) for need in self._windows[name].inputs)

    def _resample(
        self, batch_ns: int, closed: Mapping[str, Bars], inputs: Iterable[_Input]
    ) -> _Closed:
        none = np.empty(0, BAR_DTYPE)
        out: _Closed = {}
        for symbol, timeframe in inputs:
            resampler = self._resamplers[symbol, timeframe]
            bars = resampler.update(batch_ns, closed.get(symbol, none))
            out[symbol, timeframe] = (
                as_columns(bars, close_times(bars, timeframe, self._clock))
                if len(bars)
                else _NO_BARS
            )
        return out

    def _evaluate(self, due: Mapping[str, int]) -> Evaluations:
        out = Evaluations()
        self._progress.start_request()
        kb = held_kb()
        for name, n in due.items():
            began_s = self._progress.begin(self._index[name])
            try:
                *earlier, newest = _take(self._windows[name], n)
                _encode(newest)  # what cannot travel is its own fault
            except BaseException as error:  # border; what it holds is held as long as the error is
                kb = self._note_growth(name, kb)
                if isinstance(error, MemoryError):
                    self._end_if_not_its_own(name)
                out.faults[name] = _describe(error)
                del self._windows[name]
            else:
                kb = self._note_growth(name, kb)
                out.signals[name] = newest
                if earlier:
                    out.earlier[name] = earlier
            self._progress.end(self._index[name], began_s)
        return out

    def _note_growth(self, name: str, before_kb: int) -> int:
        """Note what a strategy holds more than before it; return what all hold now."""
        kb = held_kb()
        if kb != before_kb:
            self._grown_kb[name] = self._grown_kb.get(name, 0) + kb - before_kb
        return kb

    def _end_if_not_its_own(self, name: str) -> None:
        """End the host if another strategy holds most of the memory that this one lacks.

        That one may be out by now, and still hold it: then this end is nobody's fault.
        """
        worst = max(self._grown_kb, key=self._grown_kb.__getitem__, default=name)
        if worst != name and 2 * self._grown_kb[worst] > KB_PER_MB * self.memory_max_mb:
            self._progress.blame(self._index[worst])
            os._exit(MEMORY_EXIT)


def _take(window: Window, n: int) -> list[StrategySignal]:
    out = []
    for _ in range(n):
        window.take(1)
        out.append(window.evaluate())
    return out or [window.evaluate()]  # at a first start without history


def _place(named: tuple[str, Window]) -> tuple[str, str, Timeframe]:
    strategy = named[1].strategy
    return strategy.kind, strategy.symbol, strategy.timeframe


def _describe(error: BaseException) -> str:
    """Return an error in one line; the log has where it was raised."""
    print_traceback(error)
    return described(error, bare=(StrategyError,))


def warm() -> None:
    """Run every built-in kind in each of its modes: its kernels are compiled and in memory."""
    bars = np.zeros(4096, BAR_DTYPE)
    bars["time_ns"] = 3 * NS_PER_DAY + np.arange(len(bars)) * NS_PER_MINUTE
    for name in ("open", "high", "low", "close"):
        bars[name] = 1.0
    columns = as_columns(bars, bars["time_ns"] + NS_PER_MINUTE)
    for kind, cls in KINDS.items():
        others = [str(i) for i in range(cls.n_symbols - 1)]
        for params in _modes(cls):
            strategy = create(kind, params, "", Timeframe.M1, 1e-5, others=others)
            strategy.evaluate(*[columns for _ in strategy.inputs])
    Resampler(Timeframe.M5, ServerClock("UTC")).update(int(bars["time_ns"][-1]), bars)


def _modes(cls: type[Strategy]) -> list[dict[str, str]]:
    """Return parameters that choose each of a kind's choices once."""
    choices = [(p.name, choice) for p in parameters(cls.params_type) for choice in p.choices]
    return [{name: choice} for name, choice in choices] or [{}]


def _answer(evaluator: Evaluator, request: Request) -> Evaluations:
    match request:
        case Warm():
            warm()
            bound_strategies([Path(request.scratch)], map(Path, request.hidden))
            limit_memory(request.memory_max_mb)
            evaluator.memory_max_mb = request.memory_max_mb
            return Evaluations(kinds={"": list(KINDS)})
        case Load():
            return evaluator.load(request)
        case Feed():
            bars = unpack_bars(request.history)
            return evaluator.feed(request.batch_ns, bars, last=request.last)
        case Adopt():
            return evaluator.adopt(request.names, request.batch_ns, unpack_bars(request.missed))
        case Evaluate():
            return evaluator.evaluate(request.batch_ns, unpack_bars(request.closed))


def main(progress_path: str) -> None:
    """Serve one engine until its pipe closes."""
    evaluator = Evaluator(Progress(Path(progress_path)))
    decoder = msgspec.msgpack.Decoder(Request)
    garbage = Garbage()
    of_a_batch = False

    def handle(body: bytes) -> bytes:
        nonlocal of_a_batch
        request = decoder.decode(body)
        of_a_batch = isinstance(request, Evaluate)
        return _encode(_answer(evaluator, request))

    serve(handle, after=lambda: garbage.collect(of_a_batch=of_a_batch))


if __name__ == "__main__":
    main(sys.argv[1])
