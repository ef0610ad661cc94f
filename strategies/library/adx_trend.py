"""ADX trend: with the direction of movement, while movement has a direction.

LONG while +DI > −DI and SHORT while +DI < −DI, both only while ADX is above `threshold`; else
FLAT. Equal DIs are FLAT. Confidence grows from 0.5 at the threshold to 1 at ADX 100.
Fails at the end of a trend, as ADX falls late, and after single large bars, which lift it for
about a period.

Source: J. Welles Wilder (1978), "New Concepts in Technical Trading Systems", section IV.
"""

from typing import Annotated

import numpy as np
from msgspec import Meta

from engine.kernels.compiled import kernel
from engine.model.signals import FLAT, LONG, SHORT
from strategies.base import BARS, Columns, Directions, Floats, Params, Signals, Strategy
from strategies.indicators import wilder_settle_bars
from strategies.ties import EQUAL_FRAC, EQUAL_INDEX

# Of the sum of both DIs, which counts as 100.
_EQUAL_DI = EQUAL_INDEX / 100.0


class AdxTrendParams(Params, frozen=True, kw_only=True):
    """Length of the index and its threshold."""

    period: Annotated[int, Meta(ge=2, le=200, description="Wilder's period", extra=BARS)] = 14
    threshold: Annotated[
        float, Meta(ge=1, le=90, description="trade above", extra={"unit": "ADX"})
    ] = 25.0


class AdxTrend(Strategy):
    """See the module."""

    kind = "adx_trend"
    params_type = AdxTrendParams

    @property
    def warmup(self) -> int:
        """Return the bars of the first ADX, and those that settle the seeds of DI and ADX."""
        period: int = self.params.period
        return 2 * period - 1 + 2 * wilder_settle_bars(period)

    def evaluate(self, bars: Columns, *_: Columns) -> Signals:
        """Follow the indices from bar to bar."""
        p: AdxTrendParams = self.params
        signals = _follow(bars.high, bars.low, p.period, p.threshold, self.warmup)
        return self.signals(*signals)


@kernel
def _follow(
    high: Floats, low: Floats, period: int, threshold: float, warmup: int
) -> tuple[Directions, Floats]:
    """Say what `indicators.adx` does, but without true ranges: neither ADX nor side needs them.

    Where high and low moved equally far neither counts, and equal DIs are on no side.
    """
    n = len(high)
    direction = np.zeros(n, np.int8)  # FLAT
    confidence = np.zeros(n)
    new, old = 100.0 / period, 1.0 - 1.0 / period
    plus = minus = index = 0.0
    for i in range(1, n):
        up, down = high[i] - high[i - 1], low[i - 1] - low[i]
        # Products rather than branches: which one moved further is unpredictable.
        equal = EQUAL_FRAC * high[i]
        plus = old * plus + max(up, 0.0) * (up - down > equal)
        minus = old * minus + max(down, 0.0) * (down - up > equal)
        gap, whole = plus - minus, plus + minus
        index = old * index + new * abs(gap) / (whole + (whole == 0.0))
        equal = whole * _EQUAL_DI
        direction[i] = LONG * (gap > equal) + SHORT * (gap < -equal)
        confidence[i] = index
    direction[:warmup] = FLAT
    per_index = 0.5 / (100.0 - threshold)
    for i in range(n):
        far = (confidence[i] - threshold) * per_index
        strong = (confidence[i] > threshold + EQUAL_INDEX) & (direction[i] != FLAT)
        direction[i] = direction[i] if strong else FLAT
        confidence[i] = 0.5 + min(far, 0.5) if strong else 0.0  # rounding may lift ADX above 100
    return direction, confidence
