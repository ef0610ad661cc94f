"""Indicators that give equal bits for equal windows, and TA-Lib where it does so too.

TA-Lib's SMA, BBANDS and STDDEV carry running sums, which drift: the average of equal prices then
depends on what came before. Here every window is summed afresh, relative to its latest value,
x_t + Σ(x_i − x_t)/n, so that a constant series gives exactly equal averages of every length.

All take contiguous (n,) float64 and return arrays of the same length, NaN before the first value.
"""

import math

import numpy as np

from engine.model.compiled import kernel
from strategies.base import Floats
from strategies.talib_functions import EMA, MACD, MAX, MIN, RSI

# A recursive average never quite forgets its seed; warm-ups wait until it weighs this little.
_SEED_WEIGHT = 1e-5


@kernel
def sma(values: Floats, period: int) -> Floats:
    """Return the simple moving average of `period` values."""
    n = len(values)
    out = np.full(n, np.nan)
    if n < period:
        return out
    sums = _offset_sums(values, period)
    for i in range(period - 1, n):
        out[i] = values[i] + sums[i] / period
    return out


@kernel
def mean_std(values: Floats, period: int) -> tuple[Floats, Floats]:
    """Return mean and population standard deviation of `period` values."""
    n = len(values)
    mean = np.full(n, np.nan)
    std = np.full(n, np.nan)
    if n < period:
        return mean, std
    sums, squares = _offset_moments(values, period)
    for i in range(period - 1, n):
        offset = sums[i] / period
        mean[i] = values[i] + offset
        std[i] = math.sqrt(max(0.0, squares[i] / period - offset * offset))
    return mean, std


@kernel
def _offset_sums(values: Floats, period: int) -> Floats:
    """Return Σ (x_j − x_i) over the window of `period` values that ends at i; junk before.

    Built from blocks of 1, 2, 4, … values after the bits of `period`, so the order of the sum is
    the same at every bar, and a pass over all bars runs in SIMD:
    S(a + b)_i = S(a)_i + S(b)_{i−a} + b × (x_{i−a} − x_i).
    """
    n = len(values)
    block = np.zeros(n)
    total = np.zeros(n)
    done = 0
    size = 1
    while True:
        if period & size:
            total = _join_sums(values, total, done, block, size) if done else block
            done += size
        if done == period:
            return total
        block = _join_sums(values, block, size, block, size)
        size *= 2


@kernel
def _join_sums(values: Floats, newer: Floats, lag: int, older: Floats, size: int) -> Floats:
    out = np.zeros(len(values))
    later, earlier, old = values[lag:], values[:-lag], older[:-lag]
    new, joined = newer[lag:], out[lag:]
    for i in range(len(later)):
        joined[i] = new[i] + old[i] + size * (earlier[i] - later[i])
    return out


@kernel
def _offset_moments(values: Floats, period: int) -> tuple[Floats, Floats]:
    """Return Σ (x_j − x_i) and Σ (x_j − x_i)² as `_offset_sums` does."""
    n = len(values)
    block, block_squares = np.zeros(n), np.zeros(n)
    total, total_squares = block, block_squares
    done = 0
    size = 1
    while True:
        if period & size:
            if done:
                total_squares = _join_squares(
                    values, total_squares, done, block_squares, block, size
                )
                total = _join_sums(values, total, done, block, size)
            else:
                total, total_squares = block, block_squares
            done += size
        if done == period:
            return total, total_squares
        block_squares = _join_squares(values, block_squares, size, block_squares, block, size)
        block = _join_sums(values, block, size, block, size)
        size *= 2


@kernel
def _join_squares(
    values: Floats, newer: Floats, lag: int, older: Floats, older_sums: Floats, size: int
) -> Floats:
    out = np.zeros(len(values))
    later, earlier, old, sums = values[lag:], values[:-lag], older[:-lag], older_sums[:-lag]
    new, joined = newer[lag:], out[lag:]
    for i in range(len(later)):
        step = earlier[i] - later[i]
        joined[i] = new[i] + old[i] + step * (2.0 * sums[i] + size * step)
    return out


def ema(values: Floats, period: int) -> Floats:
    """Return the exponential moving average, α = 2/(period + 1), seeded with the first SMA."""
    out: Floats = EMA(values, period)
    return out


def rsi(values: Floats, period: int) -> Floats:
    """Return Wilder's relative strength index, 0..100."""
    out: Floats = RSI(values, period)
    return out


def macd(values: Floats, fast: int, slow: int, signal: int) -> tuple[Floats, Floats]:
    """Return EMA(fast) − EMA(slow) and its EMA(signal)."""
    line, signal_line, _ = MACD(values, fast, slow, signal)
    return line, signal_line


def highest(values: Floats, period: int) -> Floats:
    """Return the largest of the last `period` values."""
    out: Floats = MAX(values, period)
    return out


def lowest(values: Floats, period: int) -> Floats:
    """Return the smallest of the last `period` values."""
    out: Floats = MIN(values, period)
    return out


def ema_settle_bars(period: int) -> int:
    """Return the bars after which an EMA's seed weighs less than 1e-5."""
    return _settle_bars(2.0 / (period + 1))


def wilder_settle_bars(period: int) -> int:
    """Return the bars after which the seed of Wilder's average weighs less than 1e-5."""
    return _settle_bars(1.0 / period)


def _settle_bars(alpha: float) -> int:
    return math.ceil(math.log(_SEED_WEIGHT) / math.log1p(-alpha)) if alpha < 1 else 1
