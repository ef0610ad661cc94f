"""Simple averages and deviations of which every window is summed afresh.

A running sum drifts: the average of equal prices then depends on what came before. Here a window
is summed relative to its latest value, x_t + Σ(x_i − x_t)/n, so that equal windows give equal bits
and a constant series gives exactly equal averages of every length (docs/decisions/0011).

All take contiguous (n,) float64 and return arrays of the same length, NaN before the first value.
"""

import math

import numpy as np

from engine.model.compiled import kernel
from strategies.base import Floats


@kernel
def sma(values: Floats, period: int) -> Floats:
    """Return the simple moving average of `period` values."""
    n = len(values)
    out = np.full(n, np.nan)
    sums, _ = _offset_moments(values, period, False)
    for i in range(period - 1, n):
        out[i] = values[i] + sums[i] / period
    return out


@kernel
def mean_std(values: Floats, period: int) -> tuple[Floats, Floats]:
    """Return mean and population standard deviation of `period` values."""
    n = len(values)
    mean = np.full(n, np.nan)
    std = np.full(n, np.nan)
    sums, squares = _offset_moments(values, period, True)
    for i in range(period - 1, n):
        offset = sums[i] / period
        mean[i] = values[i] + offset
        std[i] = math.sqrt(max(0.0, squares[i] / period - offset * offset))
    return mean, std


@kernel
def z_score(values: Floats, period: int) -> Floats:
    """Return how many standard deviations a value is above the mean of its `period` values.

    NaN where the values of a window are all equal.
    """
    n = len(values)
    out = np.full(n, np.nan)
    sums, squares = _offset_moments(values, period, True)
    for i in range(period - 1, n):
        offset = sums[i] / period
        out[i] = -offset / math.sqrt(max(0.0, squares[i] / period - offset * offset))
    return out


@kernel
def _offset_moments(values: Floats, period: int, with_squares: bool) -> tuple[Floats, Floats]:
    """Return Σ d and Σ d², d = x_j − x_i, over the `period` values that end at i; junk before.

    Built from blocks of 1, 2, 4, … values after the bits of `period`, so the order of the sum is
    the same at every bar, and a pass over all bars runs in SIMD. Where block a is followed by an
    older block b, and step = x_{i−a} − x_i:
    Σ d = S_a + S_b + b × step, Σ d² = Q_a + Q_b + step × (2 S_b + b × step).
    """
    n = len(values)
    # Rows: the sums of blocks of `size`, those of the `done` newest values, and one to write.
    sums = np.zeros((3, n))
    squares = np.zeros((3, n if with_squares else 0))
    block, total, free = 0, 1, 2
    done, size = 0, 1
    while done < min(period, n):
        joins = (period & size) != 0 and done < size  # this bit, not yet taken
        newer, lag = (total, done) if joins else (block, size)
        rest = max(n - lag, 0)
        later, earlier = values[n - rest :], values[:rest]
        old, new, out = sums[block, :rest], sums[newer, n - rest :], sums[free, n - rest :]
        for i in range(rest):
            out[i] = new[i] + old[i] + size * (earlier[i] - later[i])
        if with_squares:
            old_squares, new_squares = squares[block, :rest], squares[newer, n - rest :]
            out_squares = squares[free, n - rest :]
            for i in range(rest):
                step = earlier[i] - later[i]
                joined = new_squares[i] + old_squares[i]
                out_squares[i] = joined + step * (2.0 * old[i] + size * step)
        if joins:
            total, free = free, total
            done += size
        else:
            block, free = free, block
            size *= 2
    return sums[total], squares[total]
