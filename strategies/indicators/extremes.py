"""Highest and lowest values of sliding windows, and the stochastic made of them.

A window's extreme is that of blocks of 1, 4, 16, … values that cover it, overlapping: so a pass
over all bars runs in SIMD, and a period of a thousand bars takes five passes.

All take contiguous (n,) float64 and return arrays of the same length, NaN before the first value.
"""

import numpy as np

from engine.kernels.compiled import kernel
from strategies.base import Floats
from strategies.indicators.averages import sma


@kernel
def highest(values: Floats, period: int) -> Floats:
    """Return the largest of the last `period` values."""
    return _furthest(values, period, 1.0)


@kernel
def lowest(values: Floats, period: int) -> Floats:
    """Return the smallest of the last `period` values."""
    return _furthest(values, period, -1.0)


@kernel
def _furthest(values: Floats, period: int, sign: float) -> Floats:
    """Return the largest of the last `period` values for `sign` 1, the smallest for −1."""
    n = len(values)
    blocks = sign * values
    size = 1
    while size < min(period, n):
        # The last pass takes blocks that overlap so far that they cover the period exactly.
        covered = min(4 * size, period)
        last = min(covered - size, n)
        one, two = min(size, last), min(2 * size, last)
        out = np.empty(n)
        out[:last] = 0.0
        a, b, c, d = blocks[last:], blocks[last - one :], blocks[last - two :], blocks
        kept = out[last:]
        for i in range(len(kept)):
            late, early = max(a[i], b[i]), max(c[i], d[i])
            kept[i] = max(late, early)
        blocks = out
        size = covered
    blocks *= sign
    blocks[: period - 1] = np.nan
    return blocks


@kernel
def stochastic(
    high: Floats, low: Floats, close: Floats, period: int, slowing: int, smoothing: int
) -> tuple[Floats, Floats]:
    """Return Lane's slow %K, 0..100, and %D, its average of `smoothing` values.

    %K is the close's place in the range of `period` bars, 50 where there is no range, averaged
    over `slowing` values.
    """
    top, bottom = highest(high, period), lowest(low, period)
    place = np.empty(len(close))
    for i in range(len(close)):
        width = top[i] - bottom[i]
        none = width == 0.0
        place[i] = 50.0 * none + 100.0 * (close[i] - bottom[i]) / (width + none)
    k = sma(place, slowing)
    return k, sma(k, smoothing)
