"""Moving-average cross: with the trend while a fast average is beyond a slow one.

LONG while fast > slow, SHORT while fast < slow; equal averages are HOLD (what it was).
Confidence is 0.5 + 0.5 × gap / (gap + |close − fast|) with gap = |fast − slow|: high where price
runs along its fast average, low where it whips around it.
Fails in ranges: it buys tops and sells bottoms of every swing shorter than the slow average.

Source: Brock, Lakonishok, LeBaron (1992), "Simple technical trading rules and the stochastic
properties of stock returns", Journal of Finance 47.
"""

from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from engine.kernels.compiled import kernel
from engine.model.signals import HOLD, LONG, SHORT
from strategies.base import BARS, Columns, Directions, Floats, Params, Signals, Strategy
from strategies.indicators import ema, ema_settle_bars, sma
from strategies.ties import EQUAL_FRAC


class MaCrossParams(Params, frozen=True, kw_only=True):
    """Lengths of the two averages and their sort."""

    fast: Annotated[int, Meta(ge=2, le=1000, description="fast average", extra=BARS)] = 20
    slow: Annotated[int, Meta(ge=3, le=2000, description="slow average", extra=BARS)] = 60
    average: Annotated[Literal["sma", "ema"], Meta(description="simple or exponential average")] = (
        "sma"
    )

    def __post_init__(self) -> None:
        """Refuse averages in the wrong order."""
        if self.fast >= self.slow:
            raise ValueError(f"fast = {self.fast} must be below slow = {self.slow}")


class MaCross(Strategy):
    """See the module."""

    kind = "ma_cross"
    params_type = MaCrossParams

    @property
    def warmup(self) -> int:
        """Return the slow average's length, and for the EMA the bars that settle its seed."""
        slow: int = self.params.slow
        return slow - 1 if self.params.average == "sma" else slow - 1 + ema_settle_bars(slow)

    def evaluate(self, bars: Columns, *_: Columns) -> Signals:
        """Compare the averages at every bar."""
        p: MaCrossParams = self.params
        simple = p.average == "sma"
        return self.signals(*_cross(bars.close, p.fast, p.slow, simple, self.warmup))


@kernel
def _cross(
    close: Floats, fast_bars: int, slow_bars: int, simple: bool, warmup: int
) -> tuple[Directions, Floats]:
    fast = sma(close, fast_bars) if simple else ema(close, fast_bars)
    slow = sma(close, slow_bars) if simple else ema(close, slow_bars)
    n = len(close)
    direction = np.zeros(n, np.int8)  # FLAT
    confidence = np.zeros(n)
    closes, fasts, slows = close[warmup:], fast[warmup:], slow[warmup:]
    said, confidences = direction[warmup:], confidence[warmup:]
    for i in range(len(said)):  # selections rather than branches: these are unpredictable
        gap = fasts[i] - slows[i]
        tie = abs(gap) <= EQUAL_FRAC * closes[i]
        said[i] = HOLD if tie else LONG if gap > 0.0 else SHORT
        gap = 0.0 if tie else abs(gap)
        confidences[i] = 0.5 + 0.5 * gap / (gap + abs(closes[i] - fasts[i]) + tie)
    return direction, confidence
