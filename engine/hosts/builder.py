"""Hosts made ready on threads of their own: started, warm, their strategies loaded and fed.

A strategy or a file that ends a host while it is made ready is left out of the next try.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

import structlog

from engine.hosts.protocol import Evaluations, InputNeed
from engine.hosts.worker import FORGED, Worker, WorkerLost
from engine.model.bars import Bars
from engine.model.portfolio import StrategySpec

Inputs = Mapping[str, Sequence[InputNeed]]
HistoryOf = Callable[[Inputs], tuple[int, dict[str, Bars]]]
"""The last batch, and the M1 bars up to it that such inputs need."""

# A host that ends so often while it is made ready, no strategy being on, is given up.
MAX_DEATHS = 3

_log = structlog.get_logger(__name__)


class Plan(NamedTuple):
    """What a host is to have; without `history` it is loaded only."""

    strategies: Sequence[StrategySpec]
    points: Mapping[str, float]
    files: Mapping[str, bytes]
    history: HistoryOf | None = None


class Built(NamedTuple):
    """A host that is ready, or None; and what was found while it was made so."""

    worker: Worker | None
    found: Evaluations


class Builder:
    """Makes hosts; `close` ends those that are not ready yet. `fault` is why none may start."""

    def __init__(
        self,
        log_dir: Path,
        server_clock: str,
        memory_max_mb: int,
        hidden: Sequence[Path],
        fault: Callable[[], str] = lambda: "",
    ) -> None:
        self._fault = fault
        self._log_dir = log_dir
        self._server_clock = server_clock
        self._memory_max_mb = memory_max_mb
        self._hidden = hidden
        self._lock = threading.Lock()
        self._making: set[Worker] = set()
        self._n_workers = 0
        self._closed = False

    def begin(self, plan: Plan) -> "Future[Built]":
        """Make a host on a thread of its own."""
        future: Future[Built] = Future()

        def run() -> None:
            try:
                future.set_result(self.build(plan))
            except Exception as error:  # border: the thread's result is its future
                _log.exception("strategy_host_not_ready")
                future.set_exception(error)

        threading.Thread(target=run, name="strategy-host-builder", daemon=True).start()
        return future

    def build(self, plan: Plan) -> Built:
        """Make a host; several tries if strategies or files end it."""
        found = Evaluations()
        left = {spec.name: spec for spec in plan.strategies}
        bad_files: dict[str, str] = {}
        n_deaths = 0
        while n_deaths < MAX_DEATHS and not self._closed:
            worker = None
            try:
                worker = self._start()
                rest = plan._replace(strategies=list(left.values()))
                self._make_ready(worker, rest, bad_files, found)
            except WorkerLost as lost:
                if worker is not None:
                    worker.close()
                if lost.forged:
                    bad_files |= {file: f"strategy file {file}: {lost}" for file in plan.files}
                    n_deaths += 1
                elif lost.culprit in left:
                    found.faults[lost.culprit] = str(lost)
                    del left[lost.culprit]
                elif lost.file and lost.file not in bad_files:
                    bad_files[lost.file] = f"strategy file {lost.file}: {lost}"
                else:
                    n_deaths += 1
                if not self._closed:
                    _log.error("strategy_host_failed", error=str(lost), culprit=lost.culprit)
            else:
                return Built(worker, found)
            finally:
                with self._lock:
                    self._making -= {worker}
        return Built(None, found)

    def close(self) -> None:
        """End the hosts that are being made, and make no more."""
        with self._lock:
            self._closed = True
            for worker in self._making:
                worker.child.kill()

    def _start(self) -> Worker:
        with self._lock:
            if self._closed:
                raise WorkerLost("the engine is stopping")
            if fault := self._fault():
                raise WorkerLost(fault)
            self._n_workers += 1
            worker = Worker(self._n_workers, self._log_dir, self._memory_max_mb, self._hidden)
            self._making.add(worker)
            return worker

    def _make_ready(
        self, worker: Worker, plan: Plan, bad_files: Mapping[str, str], found: Evaluations
    ) -> None:
        worker.warm()
        loaded = worker.load(
            plan.strategies, plan.points, self._server_clock, plan.files, bad_files
        )
        names = {spec.name for spec in plan.strategies}
        if not names.issuperset(loaded.faults.keys() | loaded.inputs.keys()):
            raise WorkerLost(f"{worker.child.name}: {FORGED}", forged=True)
        found.faults |= loaded.faults
        found.kinds, found.file_faults = loaded.kinds, loaded.file_faults
        if plan.history is not None:
            found.faults |= worker.feed(*plan.history(worker.inputs)).faults
        found.inputs = dict(worker.inputs)
