"""Recursive averages and the indices made of them: EMA, MACD, RSI, ATR, ADX.

They begin as TA-Lib's do and agree with it to 1e-12, except where nothing moved: RSI is then 50
and not 0. They depend on where their window begins, less and less: `ema_settle_bars` and
`wilder_settle_bars` say for how long.

All take contiguous (n,) float64 and return arrays of the same length, NaN before the first value.
"""

import math
from functools import lru_cache

import numpy as np

from engine.kernels.compiled import kernel
from strategies.base import Floats

# A recursive average never quite forgets its seed; warm-ups wait until it weighs this little.
_SEED_WEIGHT = 1e-5


@kernel
def ema(values: Floats, period: int) -> Floats:
    """Return the exponential moving average, α = 2/(period + 1), seeded with the first SMA."""
    n = len(values)
    out = np.full(n, np.nan)
    if n < period:
        return out
    new, old = 2.0 / (period + 1), 1.0 - 2.0 / (period + 1)
    base = values[0]  # averages of offsets from it: equal values give exactly equal averages
    offset = 0.0
    for i in range(period):
        offset += values[i] - base
    offset /= period
    out[period - 1] = base + offset
    for i in range(period, n):
        offset = old * offset + new * (values[i] - base)
        out[i] = base + offset
    return out


@kernel
def macd(values: Floats, fast: int, slow: int, signal: int) -> tuple[Floats, Floats]:
    """Return EMA(fast) − EMA(slow) and its EMA(signal); `fast` is below `slow`."""
    n = len(values)
    line = np.full(n, np.nan)
    signal_line = np.full(n, np.nan)
    if n < slow + signal - 1:
        return line, signal_line
    base = values[0]
    fast_offset = slow_offset = seed = 0.0
    for i in range(slow):
        slow_offset += values[i] - base
        if i >= slow - fast:
            fast_offset += values[i] - base
    fast_offset /= fast
    slow_offset /= slow
    new_fast, new_slow, new_signal = 2.0 / (fast + 1), 2.0 / (slow + 1), 2.0 / (signal + 1)
    old_fast, old_slow, old_signal = 1.0 - new_fast, 1.0 - new_slow, 1.0 - new_signal
    first = slow + signal - 2
    for i in range(slow - 1, n):
        if i >= slow:
            offset = values[i] - base
            fast_offset = old_fast * fast_offset + new_fast * offset
            slow_offset = old_slow * slow_offset + new_slow * offset
        gap = fast_offset - slow_offset
        if i > first:
            seed = old_signal * seed + new_signal * gap
        else:
            seed += gap / signal
        if i >= first:
            line[i] = gap
            signal_line[i] = seed
    return line, signal_line


@kernel
def rsi(values: Floats, period: int) -> Floats:
    """Return Wilder's relative strength index, 0..100; 50 where nothing moved."""
    n = len(values)
    out = np.full(n, np.nan)
    if n <= period:
        return out
    new, old = 1.0 / period, 1.0 - 1.0 / period
    up = down = 0.0
    for i in range(1, period + 1):
        change = values[i] - values[i - 1]
        up += max(change, 0.0) / period
        down += max(-change, 0.0) / period
    out[period] = 100.0 * up / (up + down) if up + down > 0.0 else 50.0
    for i in range(period + 1, n):
        change = values[i] - values[i - 1]
        up = old * up + new * max(change, 0.0)
        down = old * down + new * max(-change, 0.0)
        out[i] = 100.0 * up / (up + down) if up + down > 0.0 else 50.0
    return out


@kernel
def atr(high: Floats, low: Floats, close: Floats, period: int) -> Floats:
    """Return Wilder's average true range, seeded with the mean of the first `period` ranges."""
    n = len(close)
    out = np.full(n, np.nan)
    if n <= period:
        return out
    new, old = 1.0 / period, 1.0 - 1.0 / period
    average = 0.0
    for i in range(1, period + 1):
        average += (max(high[i], close[i - 1]) - min(low[i], close[i - 1])) / period
    out[period] = average
    for i in range(period + 1, n):
        true_range = max(high[i], close[i - 1]) - min(low[i], close[i - 1])
        average = old * average + new * true_range
        out[i] = average
    return out


@kernel
def adx(high: Floats, low: Floats, close: Floats, period: int) -> tuple[Floats, Floats, Floats]:
    """Return Wilder's directional index ADX and the indicators +DI and −DI, all 0..100.

    The DIs begin at bar `period`, ADX at 2 × `period` − 1. All are 0 where nothing moved.
    """
    n = len(close)
    index = np.full(n, np.nan)
    plus_di = np.full(n, np.nan)
    minus_di = np.full(n, np.nan)
    new, old = 1.0 / period, 1.0 - 1.0 / period
    plus = minus = true_range = average = 0.0
    for i in range(1, n):
        keep = old if i >= period else 1.0
        up, down = high[i] - high[i - 1], low[i - 1] - low[i]
        # Products rather than branches: which one moved further is unpredictable.
        plus = keep * plus + max(up, 0.0) * (up > down)
        minus = keep * minus + max(down, 0.0) * (down > up)
        true_range = keep * true_range + (max(high[i], close[i - 1]) - min(low[i], close[i - 1]))
        if i < period:
            continue
        unmoved = plus + minus == 0.0
        directed = 100.0 * abs(plus - minus) / (plus + minus + unmoved)
        average = (old if i >= 2 * period else 1.0) * average + new * directed
        scale = 100.0 / (true_range + (true_range == 0.0))
        plus_di[i], minus_di[i] = plus * scale, minus * scale
        if i >= 2 * period - 1:
            index[i] = average
    return index, plus_di, minus_di


def ema_settle_bars(period: int) -> int:
    """Return the bars after which an EMA's seed weighs less than 1e-5."""
    return _settle_bars(2.0 / (period + 1))


def wilder_settle_bars(period: int) -> int:
    """Return the bars after which the seed of Wilder's average weighs less than 1e-5."""
    return _settle_bars(1.0 / period)


@lru_cache(maxsize=4096)  # a strategy is asked for its warm-up at every window
def _settle_bars(alpha: float) -> int:
    return math.ceil(math.log(_SEED_WEIGHT) / math.log1p(-alpha)) if alpha < 1 else 1
