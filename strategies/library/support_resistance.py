"""Support and resistance: the extremes of the last bars as levels that hold, or break.

Levels at a bar: resistance = highest high, support = lowest low of the `lookback` bars *before*
it; middle = their mean; zone = `zone_frac` × (resistance − support).

mode "reversion" (a level holds): LONG where the low came within a zone of support and the bar
closed above both support and its open; SHORT mirrored at resistance; FLAT where the close is
beyond a level (it broke) or price reached the middle; else HOLD. Confidence grows with the part
of the bar's range that the rejection won back. Fails when a level breaks: give it a stop.

mode "breakout" (a level breaks): LONG where the close is more than a zone above resistance,
SHORT mirrored below support, FLAT where price returned to the middle, else HOLD. Confidence
grows with the distance beyond the level. Fails in ranges, on false breaks.

Source: Osler (2000), "Support for resistance: technical analysis and intraday exchange rates",
FRBNY Economic Policy Review 6(2); Brock, Lakonishok, LeBaron (1992) for the break rule.
"""

from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from engine.model.bars import Bars
from engine.model.compiled import kernel
from engine.model.signals import FLAT, HOLD, LONG, SHORT
from strategies.base import BARS, Directions, Floats, Params, Signals, Strategy, ohlc
from strategies.indicators import highest, lowest


class SupportResistanceParams(Params, frozen=True, kw_only=True):
    """How the levels are found and what is done at them."""

    lookback: Annotated[int, Meta(ge=5, le=2000, description="bars of a level", extra=BARS)] = 120
    zone_frac: Annotated[
        float,
        Meta(ge=0, le=0.4, description="zone around a level", extra={"unit": "of the range"}),
    ] = 0.05
    mode: Annotated[Literal["reversion", "breakout"], Meta(description="levels hold, or break")] = (
        "reversion"
    )


class SupportResistance(Strategy):
    """See the module."""

    kind = "support_resistance"
    params_type = SupportResistanceParams

    @property
    def warmup(self) -> int:
        """Return the bars that make the first level."""
        lookback: int = self.params.lookback
        return lookback

    def evaluate(self, bars: Bars) -> Signals:
        """Compare every bar with the levels of the bars before it."""
        p: SupportResistanceParams = self.params
        prices = ohlc(bars)
        levels = highest(prices[1], p.lookback), lowest(prices[2], p.lookback)
        rule = _reject if p.mode == "reversion" else _break
        return self.signals(*rule(prices, *levels, p.zone_frac, self.warmup))


@kernel
def _reject(
    prices: Floats, highest_high: Floats, lowest_low: Floats, zone_frac: float, warmup: int
) -> tuple[Directions, Floats]:
    opens, high, low, close = prices[0], prices[1], prices[2], prices[3]
    n = len(close)
    direction = np.full(n, FLAT, np.int8)
    confidence = np.zeros(n)
    for i in range(warmup, n):
        resistance, support = highest_high[i - 1], lowest_low[i - 1]
        zone = zone_frac * (resistance - support)
        if close[i] > resistance or close[i] < support:
            continue
        if low[i] <= support + zone and close[i] > support and close[i] > opens[i]:
            direction[i] = LONG
            confidence[i] = 0.5 + 0.5 * (close[i] - low[i]) / (high[i] - low[i])
        elif high[i] >= resistance - zone and close[i] < resistance and close[i] < opens[i]:
            direction[i] = SHORT
            confidence[i] = 0.5 + 0.5 * (high[i] - close[i]) / (high[i] - low[i])
        elif not _reached(high[i], low[i], close[i - 1], 0.5 * (support + resistance)):
            direction[i] = HOLD
            confidence[i] = 0.5
    return direction, confidence


@kernel
def _break(
    prices: Floats, highest_high: Floats, lowest_low: Floats, zone_frac: float, warmup: int
) -> tuple[Directions, Floats]:
    high, low, close = prices[1], prices[2], prices[3]
    n = len(close)
    direction = np.full(n, FLAT, np.int8)
    confidence = np.zeros(n)
    for i in range(warmup, n):
        resistance, support = highest_high[i - 1], lowest_low[i - 1]
        width = resistance - support
        above = close[i] - resistance - zone_frac * width
        below = support - zone_frac * width - close[i]
        if above > 0.0:
            direction[i] = LONG
            confidence[i] = 0.5 + 0.5 * above / (above + width)
        elif below > 0.0:
            direction[i] = SHORT
            confidence[i] = 0.5 + 0.5 * below / (below + width)
        elif not _reached(high[i], low[i], close[i - 1], 0.5 * (support + resistance)):
            direction[i] = HOLD
            confidence[i] = 0.5
    return direction, confidence


@kernel
def _reached(high: float, low: float, previous_close: float, level: float) -> bool:
    """Tell whether the way from the previous close through the bar touched `level`."""
    return min(low, previous_close) <= level <= max(high, previous_close)
