"""Which rule refused which slot's entries, from when to when: what a comparison asks for later."""

from collections import deque
from collections.abc import Iterable

import msgspec

from engine.model.compared import RefusedRun
from engine.model.times import NS_PER_MINUTE

RUNS_MAX = 10_000
# A slot that is not asked for so long is refused anew.
_GAP_NS = 15 * NS_PER_MINUTE


class Refusals:
    """The newest runs of refusals, one a slot and rule for as long as it goes on."""

    def __init__(self) -> None:
        self._runs: deque[RefusedRun] = deque(maxlen=RUNS_MAX)
        self._newest: dict[str, RefusedRun] = {}

    def note(self, batch_ns: int, refused: Iterable[tuple[str, str]]) -> None:
        """Take the slots that were refused at a batch, each with the rule."""
        for slot, rule in refused:
            run = self._newest.get(slot)
            if run is not None and run.rule == rule and batch_ns - run.to_ns <= _GAP_NS:
                run.to_ns = batch_ns
                continue
            run = RefusedRun(slot=slot, rule=rule, from_ns=batch_ns, to_ns=batch_ns)
            self._runs.append(run)
            self._newest[slot] = run

    def since(self, from_ns: int) -> tuple[RefusedRun, ...]:
        """Return copies of the runs that went on after a time, oldest first."""
        return tuple(msgspec.structs.replace(run) for run in self._runs if run.to_ns > from_ns)
