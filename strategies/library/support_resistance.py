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

from engine.kernels.compiled import kernel
from engine.model.signals import FLAT, HOLD, LONG, SHORT
from strategies.base import BARS, Columns, Directions, Floats, Params, Signals, Strategy
from strategies.indicators import highest, lowest
from strategies.ties import EQUAL_FRAC


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

    def evaluate(self, bars: Columns, *_: Columns) -> Signals:
        """Compare every bar with the levels of the bars before it."""
        p: SupportResistanceParams = self.params
        rule = _reject if p.mode == "reversion" else _break
        prices = bars.open, bars.high, bars.low, bars.close
        return self.signals(*rule(*prices, p.lookback, p.zone_frac))


@kernel
def _reject(
    opens: Floats,
    high: Floats,
    low: Floats,
    close: Floats,
    lookback: int,
    zone_frac: float,
) -> tuple[Directions, Floats]:
    highest_high, lowest_low = highest(high, lookback), lowest(low, lookback)
    n = len(close)
    direction = np.zeros(n, np.int8)  # FLAT
    confidence = np.zeros(n)
    before, after = slice(lookback - 1, max(n - 1, 0)), slice(lookback, n)
    tops, bottoms, last_close = highest_high[before], lowest_low[before], close[before]
    opens, high, low, close = opens[after], high[after], low[after], close[after]
    said, confidences = direction[after], confidence[after]
    # Selections rather than branches, which are unpredictable, in two loops that run in SIMD.
    for i in range(len(said)):
        resistance, support = tops[i], bottoms[i]
        equal = EQUAL_FRAC * close[i]
        zone = zone_frac * (resistance - support) + equal
        held = (close[i] <= resistance) & (close[i] >= support)
        up = held & (low[i] <= support + zone) & (close[i] > support) & (close[i] > opens[i])
        down = held & (high[i] >= resistance - zone) & (close[i] < resistance)
        down &= (close[i] < opens[i]) & (not up)
        middle = 0.5 * (support + resistance)
        out = (not held) | _reached(high[i], low[i], last_close[i], middle, equal)
        said[i] = LONG if up else SHORT if down else FLAT if out else HOLD
    for i in range(len(said)):
        length = high[i] - low[i]
        won_back = close[i] - low[i] if said[i] == LONG else high[i] - close[i]
        share = 0.5 * won_back / (length + (length == 0.0))
        kept = 0.0 if said[i] == FLAT else 0.5
        confidences[i] = 0.5 + share if (said[i] == LONG) | (said[i] == SHORT) else kept
    return direction, confidence


@kernel
def _break(
    _opens: Floats,
    high: Floats,
    low: Floats,
    close: Floats,
    lookback: int,
    zone_frac: float,
) -> tuple[Directions, Floats]:
    highest_high, lowest_low = highest(high, lookback), lowest(low, lookback)
    n = len(close)
    direction = np.zeros(n, np.int8)  # FLAT
    confidence = np.zeros(n)
    for i in range(lookback, n):
        resistance, support = highest_high[i - 1], lowest_low[i - 1]
        width = resistance - support
        above = close[i] - resistance - zone_frac * width
        below = support - zone_frac * width - close[i]
        equal = EQUAL_FRAC * close[i]
        back = _reached(high[i], low[i], close[i - 1], 0.5 * (support + resistance), equal)
        between = FLAT if back else HOLD
        direction[i] = LONG if above > equal else SHORT if below > equal else between
        beyond = max(above, below) - equal
        kept = 0.0 if back else 0.5
        confidence[i] = 0.5 + 0.5 * beyond / (beyond + width) if beyond > 0.0 else kept
    return direction, confidence


@kernel
def _reached(high: float, low: float, previous_close: float, level: float, equal: float) -> bool:
    """Tell whether the way from the previous close through the bar touched `level`."""
    bottom, top = min(low, previous_close) - equal, max(high, previous_close) + equal
    return (bottom <= level) & (level <= top)
