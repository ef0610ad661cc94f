"""Simple averages and deviations of which every window is summed afresh.

A running sum drifts: the average of equal prices then depends on what came before. Here a window
is summed relative to its latest value, x_t + Σ(x_i − x_t)/n, so that equal windows give equal bits
and a constant series gives exactly equal averages of every length (docs/decisions/0011).

All take contiguous (n,) float64 and return arrays of the same length, NaN before the first value.
"""

import math

import numpy as np

from engine.kernels.compiled import kernel
from strategies.base import Floats
from strategies.ties import EQUAL_FRAC


@kernel
def sma(values: Floats, period: int) -> Floats:
    """Return the simple moving average of `period` values."""
    n = len(values)
    out = np.full(n, np.nan)
    sums, _ = _offset_moments(values, period, np.zeros((2, 0)))
    share = 1.0 / period
    for i in range(period - 1, n):
        out[i] = values[i] + sums[i] * share
    return out


@kernel
def mean_std(values: Floats, period: int) -> tuple[Floats, Floats]:
    """Return mean and population standard deviation of `period` values."""
    n = len(values)
    mean = np.full(n, np.nan)
    std = np.full(n, np.nan)
    sums, squares = _offset_moments(values, period, np.zeros((2, n)))
    share = 1.0 / period
    for i in range(period - 1, n):
        offset = sums[i] * share
        mean[i] = values[i] + offset
        std[i] = math.sqrt(max(0.0, squares[i] * share - offset * offset))
    return mean, std


@kernel
def z_score(values: Floats, period: int) -> Floats:
    """Return how many standard deviations a value is above the mean of its `period` values.

    NaN where the values of a window are all equal.
    """
    n = len(values)
    out = np.full(n, np.nan)
    sums, squares = _offset_moments(values, period, np.zeros((2, n)))
    for i in range(period - 1, n):
        out[i] = -sums[i] / math.sqrt(period * squares[i] - sums[i] * sums[i])
    return out


@kernel
def z_slack(values: Floats, period: int, least: float) -> tuple[Floats, Floats]:
    """Return `z_score`, and within how much of it values are equal (`strategies.ties`).

    The values are known to `EQUAL_FRAC` of their size, of `least` at least.
    """
    n = len(values)
    out = np.full(n, np.nan)
    slack = np.full(n, np.nan)
    sums, squares = _offset_moments(values, period, np.zeros((2, n)))
    for i in range(period - 1, n):
        root = math.sqrt(period * squares[i] - sums[i] * sums[i])
        out[i] = -sums[i] / root
        slack[i] = EQUAL_FRAC * period * max(abs(values[i]), least) / root
    return out, slack


@kernel
def _offset_moments(values: Floats, period: int, squares: Floats) -> tuple[Floats, Floats]:
    """Return Σ d and Σ d², d = x_j − x_i, over the `period` values that end at i; junk before.

    `squares` is room for the latter, (2, n) zeros, or (2, 0) where they are not wanted.

    Blocks are doubled, and take one more value where the next bit of `period` is 1: so the order
    of the sum is the same at every bar, and a pass over all bars runs in SIMD. With a block of
    size b before itself, step = x_{i−b} − x_i, and last = x_{i−2b} − x_i or 0:
    Σ d = S_i + S_{i−b} + b × step + last,
    Σ d² = Q_i + Q_{i−b} + step × (2 S_{i−b} + b × step) + last².
    """
    n = len(values)
    sums = np.zeros((2, n))
    now, size, bit = 0, 1, 1
    while 2 * bit <= period:
        bit *= 2
    while size < period:
        bit //= 2
        lag = 2 * size if period & bit else 0
        start = min(max(size, lag), n)
        rest = n - start
        value, earlier = values[start:], values[max(start - size, 0) :]
        last = values[max(start - lag, 0) :]
        new, old = sums[now, start:], sums[now, max(start - size, 0) :]
        out = sums[1 - now, start:]
        for i in range(rest):
            out[i] = new[i] + old[i] + size * (earlier[i] - value[i]) + (last[i] - value[i])
        if squares.size:
            new_squares, old_squares = squares[now, start:], squares[now, max(start - size, 0) :]
            out_squares = squares[1 - now, start:]
            for i in range(rest):
                step, far = earlier[i] - value[i], last[i] - value[i]
                joined = new_squares[i] + old_squares[i] + far * far
                out_squares[i] = joined + step * (2.0 * old[i] + size * step)
        now = 1 - now
        size = 2 * size + (1 if lag else 0)
    return sums[now], squares[now]
