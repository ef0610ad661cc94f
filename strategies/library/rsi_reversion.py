"""RSI reversion: against a move that has run too far, until the index is back at its middle.

LONG while RSI < oversold, SHORT while RSI > overbought, FLAT at the bar at which RSI reaches or
crosses `exit_level`, HOLD between: a position taken beyond a threshold is kept until the exit.
Confidence is 0.5 at the threshold and grows to 1 as RSI nears 0 or 100.
Fails in trends, where RSI stays beyond its threshold while price runs on: give it a stop.

Source: J. Welles Wilder (1978), "New Concepts in Technical Trading Systems", section VI.
"""

from typing import Annotated

import numpy as np
from msgspec import Meta

from engine.model.signals import SHORT
from strategies.base import BARS, Columns, Params, Signals, Strategy
from strategies.indicators import rsi, wilder_settle_bars
from strategies.indicators.levels import beyond, within
from strategies.ties import EQUAL_INDEX

_LEVEL = {"unit": "RSI"}


class RsiReversionParams(Params, frozen=True, kw_only=True):
    """Length of the index and its three levels."""

    period: Annotated[int, Meta(ge=2, le=500, description="Wilder's period", extra=BARS)] = 14
    oversold: Annotated[float, Meta(ge=1, le=99, description="buy below", extra=_LEVEL)] = 30.0
    overbought: Annotated[float, Meta(ge=1, le=99, description="sell above", extra=_LEVEL)] = 70.0
    exit_level: Annotated[float, Meta(ge=1, le=99, description="close at", extra=_LEVEL)] = 50.0

    def __post_init__(self) -> None:
        """Refuse levels in the wrong order."""
        if not self.oversold < self.exit_level < self.overbought:
            raise ValueError(
                f"exit_level = {self.exit_level:g} must lie between oversold = "
                f"{self.oversold:g} and overbought = {self.overbought:g}"
            )


class RsiReversion(Strategy):
    """See the module."""

    kind = "rsi_reversion"
    params_type = RsiReversionParams

    @property
    def warmup(self) -> int:
        """Return the period, one bar to see a crossing, and the bars that settle the seed."""
        period: int = self.params.period
        return period + 1 + wilder_settle_bars(period)

    def evaluate(self, bars: Columns, *_: Columns) -> Signals:
        """Compare the index with its levels at every bar."""
        p: RsiReversionParams = self.params
        levels = within(p.oversold, p.exit_level, p.overbought)
        slack = np.full(bars.n, EQUAL_INDEX)
        return self.signals(*beyond(rsi(bars.close, p.period), slack, levels, SHORT, self.warmup))
