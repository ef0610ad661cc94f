"""Supervised strategy hosts: bars in, signals out, and no fault of one strategy reaches another.

The engine's process never imports strategy code. Strategies are shared out over child processes;
one that raises, breaks the output contract, misses the deadline or ends its host is quarantined
alone. Its host is then replaced by a warm spare, fed the history kept here, and the other
strategies of the batch are evaluated there: they are pure, so nothing is lost.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from engine.child.parent import Child, ChildError, ChildTimeout
from engine.model.bars import Bars
from engine.model.errors import StrategyError
from engine.model.portfolio import Strategy
from engine.model.times import NS_PER_DAY
from engine.runtime.host_history import History, m1_bars_needed
from engine.runtime.host_protocol import (
    Evaluate,
    Evaluations,
    Feed,
    Load,
    Progress,
    Request,
    Warm,
    pack_bars,
)

START_TIMEOUT_S = 300.0
"""A first start may have to compile every kernel."""

LOG_NAME = "strategy-hosts.log"

# Creating strategies and filling their windows, all of a host's.
_LOAD_TIMEOUT_S = 30.0
# A host that ends so often in one request, no strategy being on, is given up with all of them.
_MAX_DEATHS = 3

_log = structlog.get_logger(__name__)
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Evaluations).decode


class Hosts(Protocol):
    """What the engine needs of its strategies, in processes or not.

    First `load`, then `start` with the history that `m1_bars_needed` asks for.
    """

    quarantined: dict[str, str]
    """Strategies that are out, and why."""

    def load(self) -> dict[str, str]:
        """Create the strategies; return the faults of those that cannot be."""

    def m1_bars_needed(self, now_ns: int) -> dict[str, int]:
        """Return how many closed M1 bars a symbol needs for no strategy to be warming."""

    def start(self, history: Mapping[str, Bars]) -> dict[str, str]:
        """Fill the windows with closed M1 bars; return the faults found in doing so."""

    def evaluate(self, batch_ns: int, closed: Mapping[str, Bars]) -> Evaluations:
        """Return the signals of the strategies due at a batch, and the newly quarantined."""

    def restore(self, name: str) -> str:
        """Take a quarantined strategy back in; return its fault, "" for none."""

    def close(self) -> None:
        """End the processes."""


class _Worker:
    """A host process that is being made ready on a thread of its own."""

    def __init__(self, number: int, log_dir: Path) -> None:
        path = log_dir / f"strategy-host-{number}.progress"
        self.progress = Progress(path, create=True)
        self._path = path
        self._ready = threading.Event()
        self.child = Child(
            "engine.runtime.strategy_host",
            [str(path)],
            name=f"strategy-host-{number}",
            log_path=log_dir / LOG_NAME,
        )
        threading.Thread(target=self._warm, name=f"{self.child.name}-warm", daemon=True).start()

    def _warm(self) -> None:
        try:
            self.child.call(_encode(Warm()), timeout_s=START_TIMEOUT_S)
        except ChildError as error:
            _log.error("strategy_host_not_ready", error=str(error))
        self._ready.set()

    def wait_ready(self, timeout_s: float) -> bool:
        return self._ready.wait(timeout_s) and self.child.alive

    def close(self) -> None:
        self.child.kill()  # it holds nothing that a gentle end would save
        self.child.close()
        self.progress.close()
        self._path.unlink(missing_ok=True)


class _Shard:
    """Strategies that share a host; `order` is how the host numbers them."""

    def __init__(self, specs: Sequence[Strategy]) -> None:
        self.specs = {spec.name: spec for spec in specs}
        self.order: list[str] = []
        self.worker: _Worker | None = None
        self.n_deaths = 0


class StrategyHosts:
    """Strategies in `n_hosts` processes and a warm spare. Called from one thread.

    `deadline_s` is for a host's whole batch; the strategy that used most of it is the one to
    blame. Replacing a host and evaluating again may take `recovery_s` more; what is not there by
    then is absent from the result (HOLD), not faulty.
    """

    def __init__(
        self,
        strategies: Sequence[Strategy],
        points: Mapping[str, float],
        server_clock: str,
        *,
        n_hosts: int = 1,
        deadline_s: float = 5.0,
        recovery_s: float = 5.0,
        log_dir: Path,
        files: Sequence[Path] = (),
    ) -> None:
        self.quarantined: dict[str, str] = {}
        self._specs = {spec.name: spec for spec in strategies}
        self._points = dict(points)
        self._server_clock = server_clock
        self._files = [str(path) for path in files]
        self._deadline_s = deadline_s
        self._recovery_s = recovery_s
        self._log_dir = log_dir
        self._n_workers = 0
        self._spare: _Worker | None = None
        n = max(1, min(n_hosts, len(strategies)))
        self._shards = [_Shard(strategies[i::n]) for i in range(n)] if strategies else []
        self._warmups: dict[str, int] = {}
        self._history = History()
        self._batch_ns = 0
        self._needed: dict[str, int] = {}
        self._started = False

    def load(self) -> dict[str, str]:
        """Start the processes and create the strategies; return the faults."""
        self._log_dir.mkdir(parents=True, exist_ok=True)
        for shard in self._shards:
            shard.worker = self._new_worker()
        out = Evaluations()
        for shard in self._shards:
            assert shard.worker is not None
            if not shard.worker.wait_ready(START_TIMEOUT_S):
                log = self._log_dir / LOG_NAME
                raise StrategyError(f"a strategy host does not start: see {log}")
            if not self._load(shard, out):
                self._recover(shard, None, out)
        return out.faults

    def m1_bars_needed(self, now_ns: int) -> dict[str, int]:
        """Return how many closed M1 bars a symbol needs for no strategy to be warming."""
        return m1_bars_needed(self._specs.values(), self._warmups, now_ns)

    def start(self, history: Mapping[str, Bars]) -> dict[str, str]:
        """Fill the windows with closed M1 bars; return the faults found in doing so."""
        for symbol, bars in history.items():
            self._history.append(symbol, bars, len(bars))
        self._batch_ns = self._history.last_close_ns()
        self._started = True
        out = Evaluations()
        for shard in self._shards:
            if shard.worker is None or not self._feed(shard, out):
                self._recover(shard, None, out)
        if self._shards and self._spare is None:
            self._spare = self._new_worker()
        return out.faults

    def evaluate(self, batch_ns: int, closed: Mapping[str, Bars]) -> Evaluations:
        """Return the signals of the strategies due at a batch, and the newly quarantined."""
        out = Evaluations()
        request = _encode(Evaluate(batch_ns, pack_bars(closed)))
        deadline_s = time.monotonic() + self._deadline_s
        waiting = [shard for shard in self._shards if self._send(shard, request, out)]
        done = [shard for shard in waiting if self._collect(shard, deadline_s, out)]
        for shard in self._shards:
            if shard not in done:
                self._recover(shard, request, out)
            shard.n_deaths = 0
        self._keep(batch_ns, closed)
        return out

    def restore(self, name: str) -> str:
        """Take a quarantined strategy back in; return its fault, "" for none."""
        if self.quarantined.pop(name, None) is None:
            return ""
        shard = min(self._shards, key=lambda shard: len(shard.specs))
        shard.specs[name] = self._specs[name]
        self._drop_worker(shard)  # a new host is fed for all of them
        out = Evaluations()
        self._recover(shard, None, out)
        return out.faults.get(name, "")

    def close(self) -> None:
        """End the processes."""
        workers = [shard.worker for shard in self._shards] + [self._spare]
        for worker in workers:
            if worker is not None:
                worker.close()
        for shard in self._shards:
            shard.worker = None
        self._spare = None

    def _keep(self, batch_ns: int, closed: Mapping[str, Bars]) -> None:
        if batch_ns // NS_PER_DAY != self._batch_ns // NS_PER_DAY or not self._needed:
            self._needed = self.m1_bars_needed(batch_ns + NS_PER_DAY)
        for symbol, bars in closed.items():
            if symbol in self._needed:
                self._history.append(symbol, bars, self._needed[symbol])
        self._batch_ns = batch_ns

    def _load(self, shard: _Shard, out: Evaluations) -> bool:
        shard.order = list(shard.specs)
        specs = list(shard.specs.values())
        return self._call(shard, Load(specs, self._points, self._server_clock, self._files), out)

    def _feed(self, shard: _Shard, out: Evaluations) -> bool:
        known = [spec for name, spec in shard.specs.items() if name in self._warmups]
        needed = m1_bars_needed(known, self._warmups, self._batch_ns)
        tried = Evaluations()  # its signals are of a bar that is past
        request = Feed(self._batch_ns, pack_bars(self._history.last(needed)))
        try:
            return self._call(shard, request, tried)
        finally:
            out.faults.update(tried.faults)

    def _call(self, shard: _Shard, request: Request, out: Evaluations) -> bool:
        timeout_s = max(_LOAD_TIMEOUT_S, self._deadline_s)
        return self._send(shard, _encode(request), out) and self._collect(
            shard, time.monotonic() + timeout_s, out
        )

    def _send(self, shard: _Shard, body: bytes, out: Evaluations) -> bool:
        if shard.worker is None:
            return False
        try:
            shard.worker.child.send(body, timeout_s=max(_LOAD_TIMEOUT_S, self._deadline_s))
        except ChildError as error:
            self._blame(shard, error, out)
            return False
        return True

    def _collect(self, shard: _Shard, deadline_s: float, out: Evaluations) -> bool:
        assert shard.worker is not None
        try:
            body = shard.worker.child.collect(timeout_s=deadline_s - time.monotonic())
        except ChildError as error:
            self._blame(shard, error, out)
            return False
        reply = _decode(body)
        for name, reason in reply.faults.items():
            self._quarantine(shard, name, reason, out)
        self._warmups.update(reply.warmups)
        out.signals.update(reply.signals)
        out.earlier.update(reply.earlier)
        out.durations_s.update(reply.durations_s)
        return True

    def _recover(self, shard: _Shard, request: bytes | None, out: Evaluations) -> None:
        """Bring the shard up on the spare and repeat the request, until done or out of time.

        Every try has its full deadline: too little time left is no strategy's fault.
        """
        until_s = time.monotonic() + self._recovery_s
        while shard.specs and time.monotonic() < until_s:
            shard.worker = self._take_spare(until_s)
            if shard.worker is None:
                break
            if not self._load(shard, out) or (self._started and not self._feed(shard, out)):
                continue
            if request is None or (
                self._send(shard, request, out)
                and self._collect(shard, time.monotonic() + self._deadline_s, out)
            ):
                return
        if shard.specs:
            _log.warning("strategies_left_out", strategies=list(shard.specs))

    def _blame(self, shard: _Shard, error: ChildError, out: Evaluations) -> None:
        """Quarantine the strategy at which the host failed, and end the host."""
        assert shard.worker is not None
        timed_out = isinstance(error, ChildTimeout)
        progress = shard.worker.progress
        index = progress.slowest(time.monotonic()) if timed_out else progress.running()
        self._drop_worker(shard)
        _log.error("strategy_host_failed", error=str(error))
        if index >= 0:
            self._quarantine(shard, shard.order[index], str(error), out)
            return
        shard.n_deaths += 1
        if shard.n_deaths >= _MAX_DEATHS:
            for name in list(shard.specs):
                self._quarantine(shard, name, str(error), out)

    def _quarantine(self, shard: _Shard, name: str, reason: str, out: Evaluations) -> None:
        shard.specs.pop(name, None)
        self.quarantined[name] = out.faults[name] = reason
        out.signals.pop(name, None)
        out.earlier.pop(name, None)
        _log.error("strategy_quarantined", strategy=name, reason=reason)

    def _new_worker(self) -> _Worker:
        self._n_workers += 1
        return _Worker(self._n_workers, self._log_dir)

    def _take_spare(self, until_s: float) -> _Worker | None:
        """Return a warm host; None when there is none yet, or it ended."""
        spare = self._spare or self._new_worker()
        self._spare = spare
        if spare.wait_ready(max(0.0, until_s - time.monotonic())):
            self._spare = self._new_worker()
            return spare
        if not spare.child.alive:
            spare.close()
            self._spare = None
        return None

    @staticmethod
    def _drop_worker(shard: _Shard) -> None:
        if shard.worker is not None:
            shard.worker.close()
            shard.worker = None


class InProcessHosts:
    """The same without processes, for debugging and tests: nothing stops a hang or a crash."""

    def __init__(
        self,
        strategies: Sequence[Strategy],
        points: Mapping[str, float],
        server_clock: str,
        files: Sequence[Path] = (),
    ) -> None:
        from engine.runtime.strategy_host import Evaluator

        self.quarantined: dict[str, str] = {}
        self._specs = {spec.name: spec for spec in strategies}
        self._load = Load(
            list(strategies), dict(points), server_clock, [str(path) for path in files]
        )
        self._evaluator = Evaluator(Progress())
        self._warmups: dict[str, int] = {}

    def load(self) -> dict[str, str]:
        """Create the strategies; return the faults."""
        loaded = self._evaluator.load(self._load)
        self._warmups = loaded.warmups
        return self._note(loaded).faults

    def m1_bars_needed(self, now_ns: int) -> dict[str, int]:
        """Return how many closed M1 bars a symbol needs for no strategy to be warming."""
        return m1_bars_needed(self._specs.values(), self._warmups, now_ns)

    def start(self, history: Mapping[str, Bars]) -> dict[str, str]:
        """Fill the windows with closed M1 bars; return the faults found in doing so."""
        kept = History()
        for symbol, bars in history.items():
            kept.append(symbol, bars, len(bars))
        return self._note(self._evaluator.feed(kept.last_close_ns(), history)).faults

    def evaluate(self, batch_ns: int, closed: Mapping[str, Bars]) -> Evaluations:
        """Return the signals of the strategies due at a batch, and the newly quarantined."""
        return self._note(self._evaluator.evaluate(batch_ns, closed))

    def restore(self, name: str) -> str:
        """Refuse: the history is not kept here."""
        return self.quarantined.get(name, "")

    def close(self) -> None:
        """Do nothing."""

    def _note(self, evaluations: Evaluations) -> Evaluations:
        self.quarantined.update(evaluations.faults)
        return evaluations
