"""Bollinger reversion: against a close beyond its bands, until it is back at the mean.

mean and std (population) over `period` closes, bands = mean ± deviations × std.
LONG while close < lower band, SHORT while close > upper band, FLAT at the bar whose close
reaches or crosses the mean (and where all closes are equal), HOLD between.
Confidence is 0.5 at the band and 1 at twice the band's distance from the mean.
Fails when volatility expands into a trend (a "band walk"): give it a stop.

Source: John Bollinger (2001), "Bollinger on Bollinger Bands".
"""

from typing import Annotated

from msgspec import Meta

from engine.model.signals import SHORT
from strategies.base import BARS, Columns, Params, Signals, Strategy
from strategies.indicators.averages import z_slack
from strategies.indicators.levels import around, beyond


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
        p: BollingerReversionParams = self.params
        index = z_slack(bars.close, p.period, 0.0)
        return self.signals(*beyond(*index, around(0.0, p.deviations), SHORT, self.warmup))
