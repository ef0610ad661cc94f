"""Trend over several timeframes: with a higher timeframe's trend, where its own bars agree.

higher trend = SMA(`fast`) − SMA(`slow`) of the closes of the symbol's `higher` bars, those closed
by then; own side = close − SMA(`entry`) of its own bars.
LONG while both are above 0, SHORT while both are below, else FLAT.
Confidence is 0.5 + 0.5 × gap / (gap + |close − fast|) with gap = |fast − slow|: high where price
runs along the higher timeframe's fast average.
Fails at turns, which the higher averages see late, and in ranges longer than the slow one.

Source: Alexander Elder (1993), "Trading for a Living", the triple screen.
"""

from functools import cached_property
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from engine.kernels.compiled import kernel
from engine.model.signals import FLAT, LONG, SHORT
from engine.model.times import Timeframe
from strategies.base import (
    BARS,
    Columns,
    Directions,
    Floats,
    Input,
    Params,
    Signals,
    Strategy,
    Times,
)
from strategies.indicators import sma
from strategies.ties import EQUAL_FRAC

HIGHER_BARS = {"unit": "higher bars"}


class MtfTrendParams(Params, frozen=True, kw_only=True):
    """The higher timeframe, not below the strategy's own, and the lengths of all averages."""

    higher: Annotated[
        Literal["M5", "M15", "M30", "H1", "H4", "D1"], Meta(description="higher timeframe")
    ] = "H1"
    fast: Annotated[int, Meta(ge=2, le=200, description="fast average", extra=HIGHER_BARS)] = 8
    slow: Annotated[int, Meta(ge=3, le=400, description="slow average", extra=HIGHER_BARS)] = 24
    entry: Annotated[int, Meta(ge=2, le=2000, description="own average", extra=BARS)] = 30

    def __post_init__(self) -> None:
        """Refuse averages in the wrong order."""
        if self.fast >= self.slow:
            raise ValueError(f"fast = {self.fast} must be below slow = {self.slow}")


class MtfTrend(Strategy):
    """See the module."""

    kind = "mtf_trend"
    params_type = MtfTrendParams

    @cached_property
    def inputs(self) -> tuple[Input, ...]:
        """Return its own bars and the higher ones, as many of these as the slow average needs."""
        p: MtfTrendParams = self.params
        return (*super().inputs, Input(self.symbol, Timeframe[p.higher], p.slow))

    @property
    def warmup(self) -> int:
        """Return the bars of its own average."""
        entry: int = self.params.entry
        return entry - 1

    def evaluate(self, bars: Columns, *others: Columns) -> Signals:
        """Compare both trends at every bar."""
        p: MtfTrendParams = self.params
        higher = _needed(others[0], bars, self.warmup, p.slow)
        averages = sma(higher.close, p.fast), sma(higher.close, p.slow)
        entry = sma(bars.close, p.entry)
        own = bars.close_ns, bars.close, entry
        return self.signals(*_agree(*own, higher.close_ns, *averages, self.warmup))


def _needed(higher: Columns, bars: Columns, warmup: int, slow: int) -> Columns:
    """Return the higher bars without those that no signal depends on: up to a quarter of H1."""
    if bars.n <= warmup:
        return higher
    closed = int(higher.close_ns.searchsorted(bars.close_ns[warmup], side="right"))
    return higher.part(max(closed - slow, 0), higher.n)


@kernel
def _agree(
    close_ns: Times,
    close: Floats,
    entry: Floats,
    higher_close_ns: Times,
    fast: Floats,
    slow: Floats,
    warmup: int,
) -> tuple[Directions, Floats]:
    n = len(close)
    direction = np.zeros(n, np.int8)  # FLAT
    confidence = np.zeros(n)
    start = warmup
    for j in range(len(fast)):  # each higher bar is the last closed one from `start` to `stop`
        while start < n and close_ns[start] < higher_close_ns[j]:
            start += 1
        stop = start
        is_last = j + 1 == len(fast)
        while stop < n and (is_last or close_ns[stop] < higher_close_ns[j + 1]):
            stop += 1
        trend = fast[j] - slow[j]
        if abs(trend) <= EQUAL_FRAC * fast[j]:
            trend = 0.0
        gap, side = abs(trend), LONG if trend > 0.0 else SHORT
        for i in range(start, stop):
            own = close[i] - entry[i]
            agreed = (trend * own > 0.0) & (abs(own) > EQUAL_FRAC * close[i])
            direction[i] = side if agreed else FLAT
            far = gap / (gap + abs(close[i] - fast[j]))
            confidence[i] = 0.5 + 0.5 * far if agreed else 0.0
        start = stop
    return direction, confidence
