"""Strategies in the caller's own process, for debugging and tests: a hang or a crash is its own."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec

from engine.hosts.child import Evaluator
from engine.hosts.contract import Prepared
from engine.hosts.history import History, m1_bars_kept, m1_bars_needed
from engine.hosts.protocol import Evaluations, InputNeed, Load, Progress
from engine.model.bars import Bars
from engine.model.portfolio import StrategySpec


class InProcessHosts:
    """The same as `StrategyHosts` without processes."""

    def __init__(
        self,
        strategies: Sequence[StrategySpec],
        points: Mapping[str, float],
        server_clock: str,
        files: Sequence[Path] = (),
    ) -> None:
        self.quarantined: dict[str, str] = {}
        self.files = {str(path): path.read_bytes() for path in files}
        self._load = Load(list(strategies), dict(points), server_clock, self.files)
        self._evaluator = Evaluator(Progress())
        self._inputs: dict[str, list[InputNeed]] = {}
        self._history = History()
        self._batch_ns = 0
        self._version = 0

    def load(self) -> dict[str, str]:
        """Create the strategies; return the faults."""
        loaded = self._evaluator.load(self._load)
        self._inputs |= loaded.inputs
        return self._note(loaded).faults

    def m1_bars_needed(self, now_ns: int) -> dict[str, int]:
        """Return how many closed M1 bars a symbol needs for no strategy to be warming."""
        return m1_bars_needed(self._inputs.values(), now_ns)

    def start(self, history: Mapping[str, Bars], since_ns: int = 0) -> dict[str, str]:
        """Fill the windows with closed M1 bars and the higher ones that ended by `since_ns`."""
        for symbol, bars in history.items():
            self._history.append(symbol, bars, len(bars))
        self._batch_ns = max(self._history.last_close_ns(), since_ns)
        return self._note(self._evaluator.feed(self._batch_ns, history)).faults

    def kept(self, symbol: str) -> Bars:
        """Return the closed M1 bars of a symbol that are in memory, the newest last."""
        return self._history.all(symbol)

    def evaluate(self, batch_ns: int, closed: Mapping[str, Bars]) -> Evaluations:
        """Return the signals of the strategies due at a batch, and the newly quarantined."""
        needed = m1_bars_kept(self._inputs.values(), batch_ns)
        for symbol, bars in closed.items():
            self._history.append(symbol, bars, needed.get(symbol, 0))
        self._batch_ns = batch_ns
        return self._note(self._evaluator.evaluate(batch_ns, closed))

    def begin(self, batch_ns: int, closed: Mapping[str, Bars]) -> Callable[[], Evaluations]:
        """Return what evaluates the strategies due at a batch."""
        return partial(self.evaluate, batch_ns, closed)

    def prepare(
        self,
        strategies: Sequence[StrategySpec] | None = None,
        points: Mapping[str, float] | None = None,
        *,
        files: Mapping[str, bytes] | None = None,
        again: Collection[str] = (),
    ) -> Prepared:
        """Note what is to be changed; nothing is tried before it is installed."""
        now = {spec.name: spec for spec in self._load.strategies}
        new = now if strategies is None else {spec.name: spec for spec in strategies}
        return Prepared(
            version=self._version,
            strategies=list(new.values()),
            points=self._load.points if points is None else dict(points),
            files=self._load.files if files is None else dict(files),
            fresh=frozenset(n for n, s in new.items() if n in again or now.get(n) != s),
            names={},
            built={},
            inputs={},
            faults={},
        )

    def fits(self, prepared: Prepared) -> bool:
        """Tell whether nothing else came in between."""
        return prepared.version == self._version

    def install(self, prepared: Prepared) -> dict[str, str]:
        """Have the prepared strategies evaluated from the next batch on; return the faults."""
        self._version += 1
        self._load = msgspec.structs.replace(
            self._load,
            strategies=list(prepared.strategies),
            points=dict(prepared.points),
            files=dict(prepared.files),
        )
        fresh = [spec for spec in prepared.strategies if spec.name in prepared.fresh]
        kept = {spec.name for spec in prepared.strategies} - prepared.fresh
        self.quarantined = {n: why for n, why in self.quarantined.items() if n in kept}
        self._evaluator.adopt(sorted(kept), self._batch_ns, {})
        loaded = self._evaluator.load(msgspec.structs.replace(self._load, strategies=fresh))
        inputs = {name: needs for name, needs in self._inputs.items() if name in kept}
        self._inputs = inputs | loaded.inputs
        needed = m1_bars_needed(loaded.inputs.values(), self._batch_ns)
        fed = self._evaluator.feed(self._batch_ns, self._history.last(needed))
        return self._note(loaded).faults | self._note(fed).faults

    def discard(self, prepared: Prepared) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def _note(self, evaluations: Evaluations) -> Evaluations:
        self.quarantined.update(evaluations.faults)
        return evaluations
