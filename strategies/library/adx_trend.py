"""ADX trend: with the direction of movement, while movement has a direction.

LONG while +DI > −DI and SHORT while +DI < −DI, both only while ADX is above `threshold`; else
FLAT. Confidence grows from 0.5 at the threshold to 1 at ADX 100.
Fails at the end of a trend, as ADX falls late, and after single large bars, which lift it for
about a period.

Source: J. Welles Wilder (1978), "New Concepts in Technical Trading Systems", section IV.
"""

from typing import Annotated

import numpy as np
from msgspec import Meta

from engine.model.compiled import kernel
from engine.model.signals import FLAT, LONG, SHORT
from strategies.base import BARS, Columns, Directions, Floats, Params, Signals, Strategy
from strategies.indicators import adx, wilder_settle_bars


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
        """Compare the indices at every bar."""
        p: AdxTrendParams = self.params
        indices = adx(bars.high, bars.low, bars.close, p.period)
        return self.signals(*_follow(*indices, p.threshold, self.warmup))


@kernel
def _follow(
    index: Floats, plus_di: Floats, minus_di: Floats, threshold: float, warmup: int
) -> tuple[Directions, Floats]:
    n = len(index)
    direction = np.full(n, FLAT, np.int8)
    confidence = np.zeros(n)
    per_index = 0.5 / (100.0 - threshold)
    for i in range(warmup, n):
        strong = (index[i] > threshold) & (plus_di[i] != minus_di[i])
        side = LONG if plus_di[i] > minus_di[i] else SHORT
        direction[i] = side if strong else FLAT
        far = min((index[i] - threshold) * per_index, 0.5)  # rounding may lift ADX above 100
        confidence[i] = 0.5 + far if strong else 0.0
    return direction, confidence
