"""What a strategy is: a pure function of a window of bars, with typed parameters.

Arrays in, arrays out, one value a bar; no state, clock or I/O. The contract of the values is
`engine.model.signals`; how windows are laid is `strategies.windows`.
"""

import abc
from typing import Annotated, Any, ClassVar, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from engine.model.bars import Bars
from engine.model.signals import FLAT
from engine.model.times import Timeframe

Floats = npt.NDArray[np.float64]
Directions = npt.NDArray[np.int8]

BARS = {"unit": "bars"}
POINTS = {"unit": "points"}


class Signals(NamedTuple):
    """A strategy's output over a window: four arrays, (n,), one value a bar.

    `direction` LONG, FLAT, SHORT or HOLD; `confidence` 0..1 (on a HOLD bar: of what is held);
    distances in price units > 0, NaN for none.
    """

    direction: Directions
    confidence: Floats
    stop_distance: Floats
    target_distance: Floats

    def part(self, start: int, stop: int | None = None) -> "Signals":
        """Return the values of bars `start` to `stop`, as views."""
        cut = slice(start, stop)
        direction, confidence, stops, targets = self
        return Signals(direction[cut], confidence[cut], stops[cut], targets[cut])


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters common to all kinds. A subclass's `__post_init__` refuses contradictions."""

    stop_points: Annotated[
        float, Meta(ge=0, le=1e7, description="stop distance, 0 for none", extra=POINTS)
    ] = 200.0
    target_points: Annotated[
        float, Meta(ge=0, le=1e7, description="target distance, 0 for none", extra=POINTS)
    ] = 0.0


class Strategy(abc.ABC):
    """One kind with parameters on a symbol and timeframe.

    A subclass sets `kind` and `params_type`, declares `warmup` and implements `evaluate`.
    """

    kind: ClassVar[str]
    params_type: ClassVar[type[Params]]

    def __init__(
        self, params: Params, *, symbol: str, timeframe: Timeframe, point: float, name: str = ""
    ) -> None:
        self.params: Any = params
        self.name = name or self.kind
        self.symbol = symbol
        self.timeframe = timeframe
        self._stop_distance = _distance(params.stop_points, point)
        self._target_distance = _distance(params.target_points, point)

    @property
    def inputs(self) -> tuple[tuple[str, Timeframe], ...]:
        """Return what it reads; it is evaluated at the close of the first one."""
        return ((self.symbol, self.timeframe),)

    @property
    @abc.abstractmethod
    def warmup(self) -> int:
        """Return how many bars come before the first one with a valid output."""

    @abc.abstractmethod
    def evaluate(self, bars: Bars) -> Signals:
        """Return the signals of a window; the first `warmup` are FLAT with confidence 0.

        The value at bar i depends on `bars[:i + 1]` alone, to the last bit.
        """

    def signals(self, direction: Directions, confidence: Floats) -> Signals:
        """Add the stop and target distances of the parameters."""
        n = len(direction)
        return Signals(
            direction,
            confidence,
            np.full(n, self._stop_distance),
            np.full(n, self._target_distance),
        )


def flat_signals(n: int) -> Signals:
    """Return `n` bars of nothing: FLAT, confidence 0, no stop, no target."""
    none = np.full(n, np.nan)
    return Signals(np.full(n, FLAT, np.int8), np.zeros(n), none, none.copy())


def column(bars: Bars, name: str) -> Floats:
    """Return one field of the bars as a contiguous array."""
    return np.ascontiguousarray(bars[name])


def ohlc(bars: Bars) -> Floats:
    """Return open, high, low and close as the contiguous rows of a (4, n) array."""
    rows = np.empty((4, len(bars)))
    for row, name in zip(rows, ("open", "high", "low", "close"), strict=True):
        row[:] = bars[name]
    return rows


def _distance(points: float, point: float) -> float:
    return points * point if points > 0 else float("nan")
