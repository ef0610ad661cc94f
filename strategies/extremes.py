"""Highest and lowest values of sliding windows, and the stochastic made of them.

A window's extreme is that of blocks of 1, 4, 16, … values that cover it, overlapping: so a pass
over all bars runs in SIMD, and a period of a thousand bars takes five passes.

All take contiguous (n,) float64 and return arrays of the same length, NaN before the first value.
"""

import numpy as np

from engine.model.compiled import kernel
from strategies.averages import sma
from strategies.base import Floats


@kernel
def highest(values: Floats, period: int) -> Floats:
    """Return the largest of the last `period` values."""
    return -lowest(-values, period)


@kernel
def lowest(values: Floats, period: int) -> Floats:
    """Return the smallest of the last `period` values."""
    n = len(values)
    if n < period:
        return np.full(n, np.nan)
    blocks = values
    size = 1
    while size < period:
        # The last pass takes blocks that overlap so far that they cover the period exactly.
        whole = min(4 * size, period)
        one, two, three = min(size, whole - size), min(2 * size, whole - size), whole - size
        blocks = _cover(blocks, one, two, three)
        size = whole
    out = blocks.copy() if size == 1 else blocks
    out[: period - 1] = np.nan
    return out


@kernel
def _cover(blocks: Floats, one: int, two: int, three: int) -> Floats:
    """Return the smallest of four blocks, at 0, `one`, `two` and `three` bars back."""
    n = len(blocks)
    out = np.empty(n)
    out[:three] = 0.0
    a, b, c = blocks[three:], blocks[three - one : n - one], blocks[three - two : n - two]
    d, lowest_of = blocks[: n - three], out[three:]
    for i in range(len(lowest_of)):
        late = min(b[i], a[i])
        early = min(d[i], c[i])
        lowest_of[i] = min(early, late)
    return out


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
        place[i] = 50.0 if width == 0.0 else 100.0 * (close[i] - bottom[i]) / width
    k = sma(place, slowing)
    return k, sma(k, smoothing)
