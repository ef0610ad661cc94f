"""Stochastic: against a move that has run to the end of its range, once it turns.

%K = the close's place in the range of the last `period` bars, 0..100, averaged over `slowing`;
%D = its average over `smoothing`. LONG while %D < oversold and %K > %D, SHORT while
%D > overbought and %K < %D, FLAT at the bar at which %D reaches or crosses 50, HOLD between.
Confidence is 0.5 at the threshold and grows to 1 as %D nears 0 or 100.
Fails in trends, where %D stays at its end and turns again and again: give it a stop.

Source: George Lane (1984), "Lane's stochastics", Technical Analysis of Stocks & Commodities 2.
"""

from typing import Annotated

import numpy as np
from msgspec import Meta

from engine.kernels.compiled import kernel
from engine.model.signals import FLAT, HOLD, LONG, SHORT
from strategies.base import BARS, Columns, Directions, Floats, Params, Signals, Strategy
from strategies.indicators import stochastic
from strategies.ties import EQUAL_INDEX

_MIDDLE = 50.0
_LEVEL = {"unit": "%"}


class StochasticParams(Params, frozen=True, kw_only=True):
    """Lengths of range and averages, and the two levels."""

    period: Annotated[int, Meta(ge=2, le=1000, description="bars of the range", extra=BARS)] = 14
    slowing: Annotated[int, Meta(ge=1, le=100, description="average of %K", extra=BARS)] = 3
    smoothing: Annotated[int, Meta(ge=2, le=100, description="%D, average of %K", extra=BARS)] = 3
    oversold: Annotated[float, Meta(ge=1, le=49, description="buy below", extra=_LEVEL)] = 20.0
    overbought: Annotated[float, Meta(ge=51, le=99, description="sell above", extra=_LEVEL)] = 80.0


class Stochastic(Strategy):
    """See the module."""

    kind = "stochastic"
    params_type = StochasticParams

    @property
    def warmup(self) -> int:
        """Return the bars of the first %D, and one more to see a crossing."""
        p: StochasticParams = self.params
        return p.period + p.slowing + p.smoothing - 2

    def evaluate(self, bars: Columns, *_: Columns) -> Signals:
        """Compare %D with the levels and with %K at every bar."""
        p: StochasticParams = self.params
        lines = stochastic(bars.high, bars.low, bars.close, p.period, p.slowing, p.smoothing)
        return self.signals(*_turn(*lines, p.oversold, p.overbought, self.warmup))


@kernel
def _turn(
    k: Floats, d: Floats, oversold: float, overbought: float, warmup: int
) -> tuple[Directions, Floats]:
    n = len(d)
    direction = np.zeros(n, np.int8)  # FLAT
    confidence = np.zeros(n)
    per_low, per_high = 0.5 / oversold, 0.5 / (100.0 - overbought)
    fast, slow, before = k[warmup:], d[warmup:], d[warmup - 1 : -1]
    said, confidences = direction[warmup:], confidence[warmup:]
    for i in range(len(said)):  # selections rather than branches: these are unpredictable
        value = slow[i]
        up = (value + EQUAL_INDEX < oversold) & (fast[i] - value > EQUAL_INDEX)
        down = (value - EQUAL_INDEX > overbought) & (value - fast[i] > EQUAL_INDEX)
        now, then = value - _MIDDLE, before[i] - _MIDDLE
        kept = (now > EQUAL_INDEX) & (then > EQUAL_INDEX)
        crossed = not (kept | ((now < -EQUAL_INDEX) & (then < -EQUAL_INDEX)))
        said[i] = LONG if up else SHORT if down else FLAT if crossed else HOLD
        far = max((oversold - value) * per_low, (value - overbought) * per_high)
        between = 0.0 if crossed else 0.5
        confidences[i] = 0.5 + min(far, 0.5) if up | down else between
    return direction, confidence
