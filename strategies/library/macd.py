"""MACD: with the momentum of the difference of two exponential averages.

line = EMA(fast) − EMA(slow) of the close, signal line = EMA(signal) of it.
LONG while line > signal line, SHORT while below; equal is HOLD (what it was).
Confidence is 0.5 + 0.5 × |line − signal line| / (|line| + |signal line|).
Fails in ranges, where the lines cross at every small swing.

Source: Gerald Appel (2005), "Technical Analysis: Power Tools for Active Investors".
"""

from typing import Annotated

import numpy as np
from msgspec import Meta

from engine.kernels.compiled import kernel
from engine.model.signals import HOLD, LONG, SHORT
from strategies.base import BARS, Columns, Directions, Floats, Params, Signals, Strategy
from strategies.indicators import ema_settle_bars, macd
from strategies.ties import EQUAL_FRAC


class MacdParams(Params, frozen=True, kw_only=True):
    """Lengths of the three averages."""

    fast: Annotated[int, Meta(ge=2, le=500, description="fast average", extra=BARS)] = 12
    slow: Annotated[int, Meta(ge=3, le=1000, description="slow average", extra=BARS)] = 26
    signal: Annotated[int, Meta(ge=2, le=500, description="signal line", extra=BARS)] = 9

    def __post_init__(self) -> None:
        """Refuse averages in the wrong order."""
        if self.fast >= self.slow:
            raise ValueError(f"fast = {self.fast} must be below slow = {self.slow}")


class Macd(Strategy):
    """See the module."""

    kind = "macd"
    params_type = MacdParams

    @property
    def warmup(self) -> int:
        """Return the lengths of slow and signal, and the bars that settle their seeds."""
        p: MacdParams = self.params
        return p.slow + p.signal - 2 + ema_settle_bars(p.slow) + ema_settle_bars(p.signal)

    def evaluate(self, bars: Columns, *_: Columns) -> Signals:
        """Compare the lines at every bar."""
        p: MacdParams = self.params
        return self.signals(*_compare(bars.close, p.fast, p.slow, p.signal, self.warmup))


@kernel
def _compare(
    close: Floats, fast: int, slow: int, signal: int, warmup: int
) -> tuple[Directions, Floats]:
    line, signal_line = macd(close, fast, slow, signal)
    n = len(line)
    direction = np.zeros(n, np.int8)  # FLAT
    confidence = np.zeros(n)
    lines, signals, closes = line[warmup:], signal_line[warmup:], close[warmup:]
    said, confidences = direction[warmup:], confidence[warmup:]
    for i in range(len(said)):  # selections rather than branches: these are unpredictable
        gap = lines[i] - signals[i]
        tie = abs(gap) <= EQUAL_FRAC * closes[i]
        said[i] = HOLD if tie else LONG if gap > 0.0 else SHORT
        whole = abs(lines[i]) + abs(signals[i]) + tie
        confidences[i] = 0.5 + (0.0 if tie else min(0.5 * abs(gap) / whole, 0.5))
    return direction, confidence
