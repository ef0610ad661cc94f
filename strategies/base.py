"""What a strategy is: a pure function of windows of bars, with typed parameters.

Arrays in, arrays out, one value a bar; no state, clock or I/O. The contract of the values is
`engine.model.signals`; how windows are laid is `strategies.windows`.
"""

import abc
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from engine.model.bars import Bars
from engine.model.signals import FLAT
from engine.model.times import Timeframe

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]
Directions = npt.NDArray[np.int8]

BARS = {"unit": "bars"}
POINTS = {"unit": "points"}
NONE = float("nan")


class Columns(NamedTuple):
    """Closed bars as contiguous columns, (n,) each, oldest first. Not to be written to.

    `time_ns` is the open, `close_ns` when the bar counts as closed (the end of its cell), UTC.
    Prices are bid; `volume` is 0 where unknown; `spread` a price, NaN where unknown.
    """

    time_ns: Times
    close_ns: Times
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    spread: Floats

    @property
    def n(self) -> int:
        """Return how many bars there are (`len` of a tuple counts its columns)."""
        return len(self.close)

    def part(self, start: int, stop: int) -> "Columns":
        """Return bars `start` to `stop`, as views."""
        cut = slice(start, stop)
        time, close_time, opens, high, low, close, volume, spread = self
        return Columns(
            time[cut],
            close_time[cut],
            opens[cut],
            high[cut],
            low[cut],
            close[cut],
            volume[cut],
            spread[cut],
        )


class Input(NamedTuple):
    """A series that a strategy reads, and how many of its bars before the anchor it needs."""

    symbol: str
    timeframe: Timeframe
    warmup: int


class Signals(NamedTuple):
    """A strategy's output over a window of its primary input, one value a bar, (n,).

    `direction` LONG, FLAT, SHORT or HOLD; `confidence` 0..1 (on a HOLD bar: of what is held);
    distances in price units > 0, NaN for none; a single number is the same at every bar.
    """

    direction: Directions
    confidence: Floats
    stop_distance: Floats | float
    target_distance: Floats | float

    def part(self, start: int, stop: int | None = None) -> "Signals":
        """Return the values of bars `start` to `stop`, as views."""
        cut = slice(start, stop)
        direction, confidence, stops, targets = self
        return Signals(
            direction[cut],
            confidence[cut],
            stops[cut] if isinstance(stops, np.ndarray) else stops,
            targets[cut] if isinstance(targets, np.ndarray) else targets,
        )


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters common to all kinds. A subclass's `__post_init__` refuses contradictions."""

    stop_points: Annotated[
        float, Meta(ge=0, le=1e7, description="stop distance, 0 for none", extra=POINTS)
    ] = 200.0
    target_points: Annotated[
        float, Meta(ge=0, le=1e7, description="target distance, 0 for none", extra=POINTS)
    ] = 0.0


class Strategy(abc.ABC):
    """One kind with parameters on a symbol and timeframe, and perhaps on other symbols.

    A subclass sets `kind` and `params_type`, declares `warmup` and implements `evaluate`; one
    that reads more than its own bars sets `n_symbols` or extends `inputs`.
    """

    kind: ClassVar[str]
    params_type: ClassVar[type[Params]]
    n_symbols: ClassVar[int] = 1
    """How many symbols it reads, the one it trades first."""

    def __init__(
        self,
        params: Params,
        *,
        symbol: str,
        timeframe: Timeframe,
        point: float,
        name: str = "",
        others: Sequence[str] = (),
    ) -> None:
        self.params: Any = params
        self.name = name or self.kind
        self.symbol = symbol
        self.symbols = (symbol, *others)
        self.timeframe = timeframe
        self._stop_distance = _distance(params.stop_points, point)
        self._target_distance = _distance(params.target_points, point)

    @property
    def inputs(self) -> tuple[Input, ...]:
        """Return what it reads; it is evaluated at the close of the first one.

        No other input's timeframe is below the first one's.
        """
        return tuple(Input(symbol, self.timeframe, self.warmup) for symbol in self.symbols)

    @property
    @abc.abstractmethod
    def warmup(self) -> int:
        """Return how many bars of the first input come before the first valid output."""

    @abc.abstractmethod
    def evaluate(self, bars: Columns, *others: Columns) -> Signals:
        """Return the signals of a window; the first `warmup` are FLAT with confidence 0.

        The value at a bar depends on the bars closed by then alone, to the last bit. `others` are
        the windows of the further inputs, see `last_closed`.
        """

    def signals(self, direction: Directions, confidence: Floats) -> Signals:
        """Add the stop and target distances of the parameters."""
        return Signals(direction, confidence, self._stop_distance, self._target_distance)


def flat_signals(n: int) -> Signals:
    """Return `n` bars of nothing: FLAT, confidence 0, no stop, no target."""
    return Signals(np.full(n, FLAT, np.int8), np.zeros(n), NONE, NONE)


def as_columns(bars: Bars, close_ns: Times) -> Columns:
    """Return bars and the times they count as closed as columns: made once a series."""
    # A bar is eight bytes a field, the time first and then as in Columns: one copy for them all.
    values = np.ascontiguousarray(bars).view(np.float64).reshape(-1, 7).T[1:].copy()
    return Columns(np.ascontiguousarray(bars["time_ns"]), close_ns, *values)


def last_closed(close_ns: Times, other_close_ns: Times) -> Times:
    """Return, for each bar, the index of the other series' last bar closed by then, -1 for none.

    Both are (n,) UTC, increasing; so is the result, (n,) int64.
    """
    return np.searchsorted(other_close_ns, close_ns, side="right") - 1


def _distance(points: float, point: float) -> float:
    return points * point if points > 0 else NONE
