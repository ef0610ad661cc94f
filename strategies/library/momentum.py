"""Momentum: with the change of price over the last bars, until the change is undone.

change = close / close `period` bars before − 1.
LONG while change > threshold, SHORT while change < −threshold, FLAT at the bar at which the
change reaches or crosses 0, HOLD between. Confidence is 0.5 at the threshold and 1 at twice it.
Fails in ranges about as long as the period, and at turns, which it sees half a period late.

Source: Moskowitz, Ooi, Pedersen (2012), "Time series momentum", Journal of Financial Economics
104; the threshold as in Alexander (1961), "Price movements in speculative markets".
"""

from typing import Annotated

import numpy as np
from msgspec import Meta

from engine.model.signals import LONG
from strategies.base import BARS, Columns, Params, Signals, Strategy
from strategies.indicators.levels import around, beyond
from strategies.ties import EQUAL_FRAC

_PER_BPS = 1e-4


class MomentumParams(Params, frozen=True, kw_only=True):
    """Length of the change and how much of it counts."""

    period: Annotated[int, Meta(ge=2, le=2000, description="bars of the change", extra=BARS)] = 60
    threshold_bps: Annotated[
        float, Meta(ge=0.1, le=2000, description="change that counts", extra={"unit": "bps"})
    ] = 5.0


class Momentum(Strategy):
    """See the module."""

    kind = "momentum"
    params_type = MomentumParams

    @property
    def warmup(self) -> int:
        """Return the period, and one bar to see a crossing."""
        period: int = self.params.period
        return period + 1

    def evaluate(self, bars: Columns, *_: Columns) -> Signals:
        """Compare every change with the threshold."""
        p: MomentumParams = self.params
        close = bars.close
        ratio = np.empty(len(close))
        ratio[: p.period] = np.nan
        np.divide(close[p.period :], close[: -p.period], out=ratio[p.period :])
        levels = around(1.0, p.threshold_bps * _PER_BPS)
        slack = np.full(len(close), EQUAL_FRAC)
        return self.signals(*beyond(ratio, slack, levels, LONG, self.warmup))
