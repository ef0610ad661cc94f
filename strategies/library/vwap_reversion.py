"""VWAP reversion: against a close beyond its bands around the day's average price.

VWAP = mean of the typical price (high + low + close)/3 of the bars since UTC midnight, weighted
by volume, a bar without one (NaN or 0) by 1; std = their weighted standard deviation about it;
bands = VWAP ± deviations × std.
LONG while close < lower band, SHORT while close > upper band, FLAT at the bar whose close reaches
or crosses VWAP and in the first `settle_minutes` of the day, HOLD between.
Confidence is 0.5 at the band and 1 at twice the band's distance from VWAP.
Meant for M1 to H1: the sums begin anew every day. Where some bars have volumes and some have not,
the latter hardly weigh.
Fails on days with a trend, which VWAP lags: give it a stop.

Source: Berkowitz, Logue, Noser (1988), "The total cost of transactions on the NYSE", Journal of
Finance 43, for VWAP; the bands after Bollinger's.
"""

import math
from typing import Annotated

import numpy as np
from msgspec import Meta

from engine.kernels.compiled import kernel
from engine.model.signals import SHORT
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE
from strategies.base import Columns, Floats, Params, Signals, Strategy, Times
from strategies.indicators.levels import around, beyond
from strategies.ties import EQUAL_FRAC, SLACK_MOST

_THIRD = 1.0 / 3.0


class VwapReversionParams(Params, frozen=True, kw_only=True):
    """Width of the bands, and when the day's average begins to mean something."""

    deviations: Annotated[
        float, Meta(ge=0.1, le=10, description="band width", extra={"unit": "std"})
    ] = 2.0
    settle_minutes: Annotated[
        int, Meta(ge=1, le=1380, description="no signals at first", extra={"unit": "minutes"})
    ] = 60


class VwapReversion(Strategy):
    """See the module."""

    kind = "vwap_reversion"
    params_type = VwapReversionParams

    @property
    def warmup(self) -> int:
        """Return 1: the sums begin at a UTC midnight, and so does a window."""
        return 1

    def evaluate(self, bars: Columns, *_: Columns) -> Signals:
        """Compare every close with the day's bands."""
        p: VwapReversionParams = self.params
        prices = bars.high, bars.low, bars.close, bars.volume
        index = _deviations(bars.time_ns, *prices, p.settle_minutes * NS_PER_MINUTE)
        return self.signals(*beyond(*index, around(0.0, p.deviations), SHORT, self.warmup))


@kernel
def _deviations(
    time_ns: Times, high: Floats, low: Floats, close: Floats, volume: Floats, settle_ns: int
) -> tuple[Floats, Floats]:
    """Return how many std a close is above the VWAP, and within how many it is equal.

    NaN at first, and where the close is the VWAP and there is no deviation.
    """
    n = len(close)
    out = np.full(n, np.nan)
    slack = np.full(n, np.nan)
    next_day_ns = settled_ns = 0
    base = weights = sums = squares = 0.0
    for i in range(n):
        typical = (high[i] + low[i] + close[i]) * _THIRD
        if time_ns[i] >= next_day_ns:
            midnight_ns = time_ns[i] - time_ns[i] % NS_PER_DAY
            next_day_ns, settled_ns = midnight_ns + NS_PER_DAY, midnight_ns + settle_ns
            base, weights, sums, squares = typical, 0.0, 0.0, 0.0
        weight = volume[i] if volume[i] > 0.0 else 1.0
        offset = typical - base
        weights += weight
        sums += weight * offset
        squares += weight * offset * offset
        if time_ns[i] >= settled_ns:
            spread = math.sqrt(max(squares * weights - sums * sums, 0.0))  # std × weights
            above, equal = (close[i] - base) * weights - sums, EQUAL_FRAC * close[i] * weights
            out[i] = (above if abs(above) > equal else 0.0) / spread
            slack[i] = min(equal / spread, SLACK_MOST)
    return out, slack
