"""Supervised strategy hosts: bars in, signals out, and no fault of one strategy reaches another.

The engine's process never imports strategy code. Strategies are shared out over child processes;
one that raises, breaks the output contract, misses the deadline, takes too much memory or ends its
host is quarantined alone. Its host is then replaced by a spare that has the same strategies, fed
with the same bars, and the others of the batch are evaluated there: they are pure, so nothing is
lost.
"""

import itertools
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import structlog

from engine.hosts.builder import MAX_DEATHS, Builder, Built, Inputs, Plan
from engine.hosts.contract import Fetch, Prepared
from engine.hosts.files import read_files
from engine.hosts.history import History, m1_bars_kept, m1_bars_needed
from engine.hosts.protocol import Evaluate, Evaluations, pack_bars
from engine.hosts.spares import Spares
from engine.hosts.worker import FORGED, LOG_NAME, Worker, WorkerLost, encoded
from engine.model.bars import Bars
from engine.model.errors import StrategyError, TryAgain
from engine.model.portfolio import StrategySpec
from engine.model.printable import printable
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE

_log = structlog.get_logger(__name__)


class _Asked(NamedTuple):
    """A batch as hosts are asked for it."""

    batch_ns: int
    body: bytes


class _Shard:
    """Strategies that share a host."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self.worker: Worker | None = None
        self.n_deaths = 0


class StrategyHosts:
    """Strategies in `n_hosts` processes, and `n_spares` more that could stand in for any of them.

    `deadline_s` is for a host's whole batch; the strategy that used most of it is the one to
    blame. Evaluating again on spares may take `recovery_s` more; what is not there by then is
    absent from the result (HOLD), not faulty. No host reads the `hidden` places. `fetch` gets bars
    that added strategies need and that were not kept. `fault` tells why no process may be started
    now, "" where one may.
    """

    def __init__(
        self,
        strategies: Sequence[StrategySpec],
        points: Mapping[str, float],
        server_clock: str,
        *,
        n_hosts: int = 1,
        n_spares: int = 2,
        deadline_s: float = 0.5,
        recovery_s: float = 5.0,
        memory_max_mb: int = 0,
        log_dir: Path,
        files: Sequence[Path] = (),
        hidden: Sequence[Path] = (),
        fetch: Fetch | None = None,
        fault: Callable[[], str] = lambda: "",
    ) -> None:
        self.quarantined: dict[str, str] = {}
        self._specs = {spec.name: spec for spec in strategies}
        self._points = dict(points)
        self.files = read_files(files)
        """Users' files as they are in the hosts, content by path."""
        self.kinds: dict[str, list[str]] = {}
        """The kinds that they define."""
        self._built_in: frozenset[str] = frozenset()
        self._deadline_s = deadline_s
        self._recovery_s = recovery_s
        self._log_dir = log_dir
        self._fetch = fetch
        self._builder = Builder(log_dir, server_clock, memory_max_mb, hidden, fault)
        names = list(self._specs)
        self._shards = [_Shard(names[i::n_hosts]) for i in range(n_hosts)]
        self._spares = Spares(self._builder, n_spares)
        # Guards what builders read: the bars, up to which batch, and who needs how many.
        self._lock = threading.Lock()
        self._history = History()
        self._batch_ns = 0
        self._inputs: Inputs = {}
        self._needed: dict[str, int] = {}
        self._version = 0

    # ---- life

    def load(self) -> dict[str, str]:
        """Start the processes and create the strategies; return the faults."""
        building = [(s, self._builder.begin(self._plan(s.names))) for s in self._shards if s.names]
        out = Evaluations()
        for shard, future in building:
            self._begin(shard, future.result(), out)
        return out.faults

    def m1_bars_needed(self, now_ns: int) -> dict[str, int]:
        """Return how many closed M1 bars a symbol needs for no strategy to be warming."""
        return m1_bars_needed(self._inputs.values(), now_ns)

    def start(self, history: Mapping[str, Bars], since_ns: int = 0) -> dict[str, str]:
        """Fill the windows with closed M1 bars and the higher ones that ended by `since_ns`."""
        for symbol, bars in history.items():
            self._history.append(symbol, bars, len(bars))
        self._batch_ns = max(self._history.last_close_ns(), since_ns)
        self._needed = m1_bars_kept(self._inputs.values(), self._batch_ns)
        out = Evaluations()
        for shard in self._shards:
            if shard.names:
                self._feed(shard, out)
        self._spares.fill(self._everything())
        return out.faults

    def kept(self, symbol: str) -> Bars:
        """Return the closed M1 bars of a symbol that are in memory, the newest last; any thread."""
        with self._lock:
            return self._history.all(symbol)

    def close(self) -> None:
        """End the processes."""
        self._builder.close()
        self._spares.drop()
        for shard in self._shards:
            self._drop_worker(shard)

    def _begin(self, shard: _Shard, built: Built, out: Evaluations) -> None:
        if built.worker is None:
            raise StrategyError(f"a strategy host does not start: see {self._log_dir / LOG_NAME}")
        shard.worker = built.worker
        self._inputs = {**self._inputs, **built.found.inputs}
        self.kinds = built.found.kinds
        self._built_in = built.worker.built_in
        for file in built.found.file_faults:  # who watches the files will tell
            self.files.pop(file, None)
        for name, reason in built.found.faults.items():
            self._quarantine(shard, name, reason, out)

    def _feed(self, shard: _Shard, out: Evaluations) -> None:
        assert shard.worker is not None
        try:
            faults = shard.worker.feed(*self._history_of(shard.worker.inputs)).faults
        except WorkerLost as lost:
            self._blame(shard, lost, out)
            self._begin(shard, self._builder.build(self._plan(shard.names, fed=True)), out)
        else:
            for name, reason in faults.items():
                self._quarantine(shard, name, reason, out)

    # ---- a batch

    def evaluate(self, batch_ns: int, closed: Mapping[str, Bars]) -> Evaluations:
        """Return the signals of the strategies due at a batch, and the newly quarantined."""
        return self.begin(batch_ns, closed)()

    def begin(self, batch_ns: int, closed: Mapping[str, Bars]) -> Callable[[], Evaluations]:
        """Have the strategies due at a batch evaluated; return what waits for their signals."""
        out = Evaluations()
        request = _Asked(batch_ns, encoded(Evaluate(batch_ns, pack_bars(closed))))
        deadline_s = time.monotonic() + self._deadline_s
        shards = [shard for shard in self._shards if shard.names]
        waiting = [shard for shard in shards if self._send(shard, request, out)]

        def finish() -> Evaluations:
            done = [shard for shard in waiting if self._collect(shard, request, deadline_s, out)]
            for shard in shards:
                if shard not in done:
                    self._recover(shard, request, out)
                shard.n_deaths = 0
            self._keep(batch_ns, closed)
            return out

        return finish

    def _send(self, shard: _Shard, request: _Asked, out: Evaluations) -> bool:
        if shard.worker is None:
            return False
        try:
            shard.worker.send(request.body, self._deadline_s)
        except WorkerLost as lost:
            self._blame(shard, lost, out)
            return False
        return True

    def _collect(self, shard: _Shard, request: _Asked, deadline_s: float, out: Evaluations) -> bool:
        assert shard.worker is not None
        try:
            reply = shard.worker.collect(deadline_s)
            self._refuse_forged(shard, request, reply)
        except WorkerLost as lost:
            self._blame(shard, lost, out)
            return False
        out.signals.update(reply.signals)
        out.earlier.update(reply.earlier)
        for name, reason in reply.faults.items():
            self._quarantine(shard, name, reason, out)
        return True

    def _refuse_forged(self, shard: _Shard, request: _Asked, reply: Evaluations) -> None:
        """Take an answer for this batch and this host's strategies alone.

        Raises:
            WorkerLost: it is not that.
        """
        assert shard.worker is not None
        said = reply.signals.keys() | reply.earlier.keys() | reply.faults.keys()
        if not said.issubset(shard.names) or reply.batch_ns != request.batch_ns:
            raise WorkerLost(f"{shard.worker.child.name}: {FORGED}", forged=True)
        signals = [*reply.signals.values(), *itertools.chain(*reply.earlier.values())]
        if not all(signal.is_allowed for signal in signals):
            raise WorkerLost(f"{shard.worker.child.name}: {FORGED}", forged=True)

    def _keep(self, batch_ns: int, closed: Mapping[str, Bars]) -> None:
        with self._lock:
            if batch_ns // NS_PER_DAY != self._batch_ns // NS_PER_DAY:
                self._needed = m1_bars_kept(self._inputs.values(), batch_ns)
            for symbol, bars in closed.items():
                if symbol in self._needed:
                    self._history.append(symbol, bars, self._needed[symbol])
            self._batch_ns = batch_ns

    # ---- faults

    def _recover(self, shard: _Shard, request: _Asked, out: Evaluations) -> None:
        """Bring the shard up on spares and repeat the request, until done or out of time.

        Every try has its full deadline: too little time left is no strategy's fault.
        """
        until_s = time.monotonic() + self._recovery_s
        while shard.names and time.monotonic() < until_s:
            spare = self._spares.take(self._everything(), until_s)
            if spare is None:
                break
            if (
                self._move_in(shard, spare, out)
                and self._send(shard, request, out)
                and self._collect(shard, request, time.monotonic() + self._deadline_s, out)
            ):
                return
        if shard.names:
            _log.warning("strategies_left_out", strategies=shard.names)
            out.left_out += shard.names

    def _move_in(self, shard: _Shard, built: Built, out: Evaluations) -> bool:
        """Have a host that was made ready take a shard over; first it takes the bars since then."""
        shard.worker = worker = built.worker
        assert worker is not None
        for name in [name for name in shard.names if name not in worker.inputs]:
            self._quarantine(shard, name, built.found.faults.get(name, "cannot be made anew"), out)
        with self._lock:
            missed, batch_ns = self._history.since(worker.fed_until_ns()), self._batch_ns
        return self._adopt(shard, batch_ns, missed, out)

    def _adopt(
        self, shard: _Shard, batch_ns: int, missed: Mapping[str, Bars], out: Evaluations
    ) -> bool:
        assert shard.worker is not None
        try:
            shard.worker.adopt(shard.names, batch_ns, missed)
        except WorkerLost as lost:
            self._blame(shard, lost, out)
            return False
        return True

    def _blame(self, shard: _Shard, lost: WorkerLost, out: Evaluations) -> None:
        """Quarantine the strategy at which the host failed.

        Whose code forged an answer cannot be told: all of the user's in that host are out.
        """
        self._drop_worker(shard)
        _log.error("strategy_host_failed", error=str(lost), culprit=lost.culprit)
        if lost.forged and (suspects := self._of_the_user(shard.names)):
            for name in suspects:
                self._quarantine(shard, name, f"its host was ended: {lost}", out)
            return
        if lost.culprit in shard.names:
            self._quarantine(shard, lost.culprit, str(lost), out)
            return
        shard.n_deaths += 1
        if shard.n_deaths >= MAX_DEATHS:
            for name in list(shard.names):
                self._quarantine(shard, name, str(lost), out)

    def _of_the_user(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if self._specs[name].kind not in self._built_in]

    def _quarantine(self, shard: _Shard, name: str, reason: str, out: Evaluations) -> None:
        if name in shard.names:
            shard.names.remove(name)
        reason = printable(reason)
        self.quarantined[name] = out.faults[name] = reason
        out.signals.pop(name, None)
        out.earlier.pop(name, None)
        _log.error("strategy_quarantined", strategy=name, reason=reason)

    # ---- parts

    @property
    def strategies(self) -> list[StrategySpec]:
        """The strategies there are, those in quarantine too."""
        return list(self._specs.values())

    @staticmethod
    def _drop_worker(shard: _Shard) -> None:
        if shard.worker is not None:
            shard.worker.close()
            shard.worker = None

    def _plan(self, names: Sequence[str], *, fed: bool = False) -> Plan:
        specs = [self._specs[name] for name in names]
        return Plan(specs, self._points, self.files, self._history_of if fed else None)

    def _everything(self) -> Plan:
        return self._plan([name for shard in self._shards for name in shard.names], fed=True)

    def _history_of(self, inputs: Inputs) -> tuple[int, dict[str, Bars]]:
        """Return the last batch and the bars up to it; what was not kept is fetched. Any thread."""
        batch_ns = self._batch_ns
        needed = m1_bars_kept(inputs.values(), batch_ns)
        short = {s: n for s, n in needed.items() if n > self._needed.get(s, 0)}
        fetched = self._fetch(short, batch_ns) if short and self._fetch is not None else {}
        with self._lock:
            for symbol, bars in fetched.items():
                self._history.put_before(symbol, bars)
                self._needed[symbol] = needed[symbol]
            return self._batch_ns, self._history.last(needed)

    # ---- other strategies

    def prepare(
        self,
        strategies: Sequence[StrategySpec] | None = None,
        points: Mapping[str, float] | None = None,
        *,
        files: Mapping[str, bytes] | None = None,
        again: Collection[str] = (),
    ) -> Prepared:
        """Make hosts ready for what is new, changed or to be made `again`; any thread."""
        version = self._version
        specs = dict(self._specs) if strategies is None else {s.name: s for s in strategies}
        fresh = {n for n, s in specs.items() if n in again or self._specs.get(n) != s}
        names = self._shared_out(specs, fresh)
        plan = Plan(
            (),
            self._points if points is None else dict(points),
            self.files if files is None else dict(files),
            self._history_of,
        )
        building = {
            i: self._builder.begin(plan._replace(strategies=[specs[n] for n in shard_names]))
            for i, shard_names in names.items()
            if fresh & set(shard_names)
        }
        built = {i: future.result() for i, future in building.items()}
        prepared = Prepared(
            version=version,
            strategies=list(specs.values()),
            points=plan.points,
            files=plan.files,
            fresh=frozenset(fresh),
            names=names,
            built=built,
            inputs={n: needs for b in built.values() for n, needs in b.found.inputs.items()},
            faults={n: fault for b in built.values() for n, fault in b.found.faults.items()},
        )
        for name in fresh - prepared.inputs.keys():
            prepared.faults.setdefault(name, f"its host does not start: see {LOG_NAME}")
        return prepared

    def _shared_out(
        self, specs: Mapping[str, StrategySpec], fresh: set[str]
    ) -> dict[int, list[str]]:
        """Return each shard's strategies: where they are, new ones where there are fewest."""
        now = [list(shard.names) for shard in self._shards]
        names = {i: [n for n in part if n in specs] for i, part in enumerate(now)}
        for name in (n for n in specs if n in fresh and not any(n in part for part in now)):
            names[min(names, key=lambda i: len(names[i]))].append(name)
        return names

    def fits(self, prepared: Prepared) -> bool:
        """Tell whether no other change came in between."""
        return prepared.version == self._version

    def install(self, prepared: Prepared) -> dict[str, str]:
        """Have the prepared strategies evaluated from the next batch on; return the faults.

        Raises:
            TryAgain: it does not fit any more.
        """
        if not self.fits(prepared):
            self.discard(prepared)
            raise TryAgain("other strategies were changed at the same time: try again")
        self._version += 1
        kept = {spec.name for spec in prepared.strategies}
        self._specs = {spec.name: spec for spec in prepared.strategies}
        self._points, self.files = dict(prepared.points), dict(prepared.files)
        self._catch_up(prepared.inputs)
        inputs = {**self._inputs, **prepared.inputs}
        self._inputs = {name: needs for name, needs in inputs.items() if name in kept}
        for name in self.quarantined.keys() - (kept - prepared.fresh):
            del self.quarantined[name]
        out = Evaluations()
        for i, names in prepared.names.items():
            shard = self._shards[i]
            shard.names = [name for name in names if name not in self.quarantined]
            self._renew(shard, prepared.built.get(i), out)
        self._spares.drop()
        self._spares.fill(self._everything())
        return out.faults

    def _renew(self, shard: _Shard, built: Built | None, out: Evaluations) -> None:
        """Give a shard the host that was made ready for it, or have it drop what it lost."""
        if built is not None or not shard.names:
            self._drop_worker(shard)
        if built is not None and built.worker is not None:
            self._move_in(shard, built, out)
        elif shard.worker is not None:
            self._adopt(shard, self._batch_ns, {}, out)

    def _catch_up(self, inputs: Inputs) -> None:
        """Get the bars of symbols that are read from now on, up to the last batch."""
        with self._lock:
            read = {need.symbol for needs in self._inputs.values() for need in needs}
            for symbol in {need.symbol for needs in inputs.values() for need in needs} - read:
                bars = self._history.all(symbol)
                if self._fetch is None or not len(bars):
                    continue
                last_ns = int(bars["time_ns"][-1])
                missed = max(0, (self._batch_ns - last_ns) // NS_PER_MINUTE)
                newest = self._fetch({symbol: missed + 1}, self._batch_ns)[symbol]
                newest = newest[newest["time_ns"] > last_ns]
                self._history.append(symbol, newest, self._needed[symbol])

    def discard(self, prepared: Prepared) -> None:
        """Give up what was prepared."""
        for built in prepared.built.values():
            if built.worker is not None:
                built.worker.close()

    def probe(self, files: Mapping[str, bytes]) -> Evaluations:
        """Return the kinds that files define and what is wrong with them; any thread, seconds."""
        built = self._builder.build(Plan((), {}, files))
        if built.worker is not None:
            built.worker.close()
        return built.found
