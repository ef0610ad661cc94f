"""Keltner channel: at a close outside a channel as wide as the bars are long.

middle = EMA(`period`) of the close, channel = middle ± `width_atr` × ATR(`atr_period`).

mode "breakout" (with it): LONG while close > channel, SHORT while close < channel. Fails in
ranges, on false breaks.
mode "reversion" (against it): SHORT while close > channel, LONG while close < channel. Fails when
a trend walks along the channel: give it a stop.
Both: FLAT at the bar whose close reaches or crosses the middle, HOLD between. Confidence is 0.5
at the channel and 1 at twice its distance from the middle.

Source: Chester Keltner (1960), "How to Make Money in Commodities", for the channel; Linda
Raschke's form of it with EMA and ATR.
"""

from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from engine.kernels.compiled import kernel
from engine.model.signals import LONG, SHORT
from strategies.base import BARS, Columns, Floats, Params, Signals, Strategy
from strategies.indicators import ema_settle_bars, wilder_settle_bars
from strategies.indicators.levels import around, beyond
from strategies.ties import EQUAL_FRAC, SLACK_MOST


class KeltnerChannelParams(Params, frozen=True, kw_only=True):
    """Middle and width of the channel, and what is done outside it."""

    period: Annotated[int, Meta(ge=2, le=500, description="middle", extra=BARS)] = 20
    atr_period: Annotated[int, Meta(ge=2, le=500, description="average true range", extra=BARS)] = (
        14
    )
    width_atr: Annotated[
        float, Meta(ge=0.1, le=20, description="half width of the channel", extra={"unit": "ATR"})
    ] = 2.0
    mode: Annotated[Literal["breakout", "reversion"], Meta(description="with it, or against")] = (
        "breakout"
    )


class KeltnerChannel(Strategy):
    """See the module."""

    kind = "keltner_channel"
    params_type = KeltnerChannelParams

    @property
    def warmup(self) -> int:
        """Return the bars until both averages are settled, and one more to see a crossing."""
        p: KeltnerChannelParams = self.params
        middle = p.period - 1 + ema_settle_bars(p.period)
        return 1 + max(middle, p.atr_period + wilder_settle_bars(p.atr_period))

    def evaluate(self, bars: Columns, *_: Columns) -> Signals:
        """Compare every close with the channel."""
        p: KeltnerChannelParams = self.params
        place = _place(bars.high, bars.low, bars.close, p.period, p.atr_period)
        above = LONG if p.mode == "breakout" else SHORT
        return self.signals(*beyond(*place, around(0.0, p.width_atr), above, self.warmup))


@kernel
def _place(
    high: Floats, low: Floats, close: Floats, period: int, atr_period: int
) -> tuple[Floats, Floats]:
    """Return how many ATR a close is above the EMA of the closes, and within how many it is equal.

    Both averages run in one pass.
    """
    n = len(close)
    place = np.full(n, np.nan)
    slack = np.full(n, np.nan)
    if n <= max(period, atr_period):
        return place, slack
    new, new_atr = 2.0 / (period + 1), 1.0 / atr_period
    old, old_atr = 1.0 - new, 1.0 - new_atr
    base = close[0]
    middle = average = 0.0
    for i in range(period):
        middle += (close[i] - base) / period
    for i in range(1, atr_period + 1):
        average += (max(high[i], close[i - 1]) - min(low[i], close[i - 1])) / atr_period
    # The averages start at their own bars, and run together from the later one.
    first = max(period, atr_period + 1)
    for i in range(period, first):
        middle = old * middle + new * (close[i] - base)
    for i in range(atr_period + 1, first):
        true_range = max(high[i], close[i - 1]) - min(low[i], close[i - 1])
        average = old_atr * average + new_atr * true_range
    for i in range(first, n):
        middle = old * middle + new * (close[i] - base)
        true_range = max(high[i], close[i - 1]) - min(low[i], close[i - 1])
        average = old_atr * average + new_atr * true_range
        place[i] = (close[i] - base - middle) / average
        slack[i] = min(EQUAL_FRAC * close[i] / average, SLACK_MOST)
    return place, slack
