"""What the engine needs of its strategies, wherever they are evaluated."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from engine.hosts.builder import Built, Inputs
from engine.hosts.protocol import Evaluations
from engine.model.bars import Bars
from engine.model.portfolio import StrategySpec

Fetch = Callable[[Mapping[str, int], int], Mapping[str, Bars]]
"""Closed M1 bars that opened before a moment, so many of each symbol."""


class Prepared(NamedTuple):
    """Hosts that are ready to take the place of others; `fresh` strategies are made anew in them.

    `faults` of strategies are reasons to `discard` it.
    """

    version: int
    strategies: Sequence[StrategySpec]
    points: Mapping[str, float]
    files: Mapping[str, bytes]
    fresh: frozenset[str]
    names: Mapping[int, Sequence[str]]
    built: Mapping[int, Built]
    inputs: Inputs
    faults: dict[str, str]


class Hosts(Protocol):
    """What the engine needs of its strategies, in processes or not.

    First `load`, then `start` with the history that `m1_bars_needed` asks for. `prepare` may take
    seconds and is for any thread; all others are for one thread, between batches.
    """

    quarantined: dict[str, str]
    """Strategies that are out, and why."""
    files: dict[str, bytes]
    """Users' files as they were loaded, content by path."""

    def load(self) -> dict[str, str]:
        """Create the strategies; return the faults of those that cannot be."""

    def m1_bars_needed(self, now_ns: int) -> dict[str, int]:
        """Return how many closed M1 bars a symbol needs for no strategy to be warming."""

    def start(self, history: Mapping[str, Bars], since_ns: int = 0) -> dict[str, str]:
        """Fill the windows with closed M1 bars; return the faults found in doing so.

        Higher bars that ended by `since_ns`, where batches begin, are history too, whether or not
        their last minutes have bars.
        """

    def kept(self, symbol: str) -> Bars:
        """Return the closed M1 bars of a symbol that are in memory, the newest last; any thread."""

    def evaluate(self, batch_ns: int, closed: Mapping[str, Bars]) -> Evaluations:
        """Return the signals of the strategies due at a batch, and the newly quarantined."""

    def begin(self, batch_ns: int, closed: Mapping[str, Bars]) -> Callable[[], Evaluations]:
        """Have the strategies due at a batch evaluated; return what waits for their signals.

        That is for any thread, once, and before anything else is asked.
        """

    def prepare(
        self,
        strategies: Sequence[StrategySpec] | None = None,
        points: Mapping[str, float] | None = None,
        *,
        files: Mapping[str, bytes] | None = None,
        again: Collection[str] = (),
    ) -> Prepared:
        """Make ready what is new, changed or to be made `again`; None leaves things as they are.

        `files` define users' kinds, content by path.
        """

    def fits(self, prepared: Prepared) -> bool:
        """Tell whether no other change came in between."""

    def install(self, prepared: Prepared) -> dict[str, str]:
        """Have the prepared strategies evaluated from the next batch on; return the faults.

        Raises:
            Refused: it does not fit any more.
        """

    def discard(self, prepared: Prepared) -> None:
        """Give up what was prepared."""

    def close(self) -> None:
        """End the processes."""
