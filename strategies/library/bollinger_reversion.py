"""Bollinger reversion: against a close beyond its bands, until it is back at the mean.

mean and std (population) over `period` closes, bands = mean ± deviations × std.
LONG while close < lower band, SHORT while close > upper band, FLAT at the bar whose close
reaches or crosses the mean (and where all closes are equal), HOLD between.
Confidence is 0.5 at the band and 1 at twice the band's distance from the mean.
Fails when volatility expands into a trend (a "band walk"): give it a stop.

Source: John Bollinger (2001), "Bollinger on Bollinger Bands".
"""

from typing import Annotated

import numpy as np
from msgspec import Meta

from engine.model.compiled import kernel
from engine.model.signals import FLAT, HOLD, LONG, SHORT
from strategies.base import BARS, Columns, Directions, Floats, Params, Signals, Strategy
from strategies.indicators import mean_std


class BollingerReversionParams(Params, frozen=True, kw_only=True):
    """Length of the mean and width of the bands."""

    period: Annotated[int, Meta(ge=2, le=1000, description="mean and std", extra=BARS)] = 20
    deviations: Annotated[
        float, Meta(ge=0.1, le=10, description="band width", extra={"unit": "std"})
    ] = 2.0


class BollingerReversion(Strategy):
    """See the module."""

    kind = "bollinger_reversion"
    params_type = BollingerReversionParams

    @property
    def warmup(self) -> int:
        """Return the period: the first mean needs one bar less, a crossing one more."""
        period: int = self.params.period
        return period

    def evaluate(self, bars: Columns, *_: Columns) -> Signals:
        """Compare every close with its bands."""
        close = bars.close
        mean, std = mean_std(close, self.params.period)
        return self.signals(*_revert(close, mean, std, self.params.deviations, self.warmup))


@kernel
def _revert(
    close: Floats, mean: Floats, std: Floats, deviations: float, warmup: int
) -> tuple[Directions, Floats]:
    n = len(close)
    direction = np.full(n, FLAT, np.int8)
    confidence = np.zeros(n)
    for i in range(warmup, n):  # selections rather than branches: these are unpredictable
        offset = close[i] - mean[i]
        crossed = offset * (close[i - 1] - mean[i - 1]) <= 0.0
        band = deviations * std[i]
        beyond = abs(offset) - band
        against = LONG if offset < 0.0 else SHORT
        between = FLAT if crossed else HOLD
        direction[i] = against if beyond > 0.0 else between
        kept = 0.0 if crossed else 0.5
        confidence[i] = 0.5 + 0.5 * min(1.0, beyond / band) if beyond > 0.0 else kept
    return direction, confidence
