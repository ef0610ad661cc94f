"""The strategy host: a child process that alone runs strategies' code.

`Evaluator` is the same code without the process, for debugging and tests.
"""

import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec
import numpy as np

from engine.child.serve import serve
from engine.model.bars import BAR_DTYPE, Bars
from engine.model.errors import StrategyError
from engine.model.portfolio import Strategy as StrategySpec
from engine.model.resample import Resampler
from engine.model.server_clock import ServerClock
from engine.model.signals import StrategySignal
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE, Timeframe
from engine.runtime.host_protocol import (
    Evaluate,
    Evaluations,
    Feed,
    Load,
    Progress,
    Request,
    Warm,
    unpack_bars,
)
from strategies.loader import load_file
from strategies.registry import KINDS, create
from strategies.windows import Window

_Input = tuple[str, Timeframe]
# What user code may raise without ending the host.
_RAISED = (Exception, SystemExit)


class Evaluator:
    """Strategies with their windows; a faulty one is dropped, the others go on."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._windows: dict[str, Window] = {}
        self._index: dict[str, int] = {}
        self._fresh: list[str] = []  # loaded, not fed
        self._resamplers: dict[_Input, Resampler] = {}
        self._clock = ServerClock("UTC")

    def load(self, request: Load) -> Evaluations:
        """Create strategies; return their warm-ups and the faults of those that cannot be."""
        self._clock = ServerClock(request.server_clock)
        out = Evaluations()
        self._progress.start_request()
        file_faults = [fault for path in request.files if (fault := _load_file(path))]
        for spec in request.strategies:
            self._index[spec.name] = index = len(self._index)
            began_s = self._progress.begin(index)
            try:
                if file_faults and spec.kind not in KINDS:
                    raise StrategyError("; ".join(file_faults))
                window = _window(spec, request.points)
                out.warmups[spec.name] = window.strategy.warmup
            except _RAISED as error:
                out.faults[spec.name] = _describe(error)
            else:
                self._windows[spec.name] = window
                self._fresh.append(spec.name)
            self._progress.end(index, began_s)
        return out

    def feed(self, batch_ns: int, history: Mapping[str, Bars]) -> Evaluations:
        """Fill the windows of the strategies loaded last, and try each one once."""
        names, self._fresh = self._fresh, []
        inputs = {self._input(name) for name in names}
        # Made anew from the same bars, a resampler shared with older strategies is as it was.
        self._resamplers.update({key: Resampler(key[1], self._clock) for key in inputs})
        bars = self._resample(batch_ns, history, inputs)
        for name in names:
            self._windows[name].append(bars[self._input(name)][:-1])
        return self._evaluate({name: bars[self._input(name)][-1:] for name in names})

    def evaluate(self, batch_ns: int, closed: Mapping[str, Bars]) -> Evaluations:
        """Evaluate the strategies whose timeframe's bar closed at this batch."""
        bars = self._resample(batch_ns, closed, self._resamplers)
        new = {name: bars[self._input(name)] for name in self._windows}
        return self._evaluate({name: part for name, part in new.items() if len(part)})

    def _input(self, name: str) -> _Input:
        return self._windows[name].strategy.inputs[0]

    def _resample(
        self, batch_ns: int, closed: Mapping[str, Bars], inputs: Iterable[_Input]
    ) -> dict[_Input, Bars]:
        none = np.empty(0, BAR_DTYPE)
        return {
            key: self._resamplers[key].update(batch_ns, closed.get(key[0], none)) for key in inputs
        }

    def _evaluate(self, due: Mapping[str, Bars]) -> Evaluations:
        out = Evaluations()
        self._progress.start_request()
        for name, bars in due.items():
            began_s = self._progress.begin(self._index[name])
            try:
                *earlier, out.signals[name] = _take(self._windows[name], bars)
                if earlier:
                    out.earlier[name] = earlier
            except _RAISED as error:
                out.faults[name] = _describe(error)
                del self._windows[name]
            out.durations_s[name] = self._progress.end(self._index[name], began_s)
        return out


def _take(window: Window, bars: Bars) -> Iterator[StrategySignal]:
    for i in range(len(bars)):
        window.append(bars[i : i + 1])
        yield window.evaluate()
    if not len(bars):  # a first start without history
        yield window.evaluate()


def _load_file(path: str) -> str:
    try:
        load_file(Path(path))
    except _RAISED as error:
        return _describe(error)
    return ""


def _window(spec: StrategySpec, points: Mapping[str, float]) -> Window:
    if spec.symbol not in points:
        raise StrategyError(f"strategy {spec.name!r}: symbol {spec.symbol!r} is unknown")
    return Window(
        create(spec.kind, spec.params, spec.symbol, spec.timeframe, points[spec.symbol], spec.name)
    )


def _describe(error: BaseException) -> str:
    traceback.print_exception(error)
    if isinstance(error, StrategyError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def warm() -> None:
    """Run every built-in kind once, so that its kernels are compiled and in memory."""
    bars = np.zeros(4096, BAR_DTYPE)
    bars["time_ns"] = 3 * NS_PER_DAY + np.arange(len(bars)) * NS_PER_MINUTE
    for name in ("open", "high", "low", "close"):
        bars[name] = 1.0
    for kind in KINDS:
        window = Window(create(kind, {}, "", Timeframe.M1, 1e-5))
        window.append(bars)
        window.evaluate()
    Resampler(Timeframe.M5, ServerClock("UTC")).update(int(bars["time_ns"][-1]), bars)


def _answer(evaluator: Evaluator, request: Request) -> Evaluations:
    match request:
        case Warm():
            warm()
            return Evaluations()
        case Load():
            return evaluator.load(request)
        case Feed():
            return evaluator.feed(request.batch_ns, unpack_bars(request.history))
        case Evaluate():
            return evaluator.evaluate(request.batch_ns, unpack_bars(request.closed))


def main(progress_path: str) -> None:
    """Serve one engine until its pipe closes."""
    evaluator = Evaluator(Progress(Path(progress_path)))
    decoder = msgspec.msgpack.Decoder(Request)
    encoder = msgspec.msgpack.Encoder()

    def handle(body: bytes) -> bytes:
        return encoder.encode(_answer(evaluator, decoder.decode(body)))

    serve(handle)


if __name__ == "__main__":
    main(sys.argv[1])
