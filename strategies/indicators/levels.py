"""The rule of all kinds that act where an index is beyond a level: against it, or with it.

Beyond a level the direction is said, between the levels it is HOLD, and FLAT at the bar at which
the index is between the exit levels, or has passed one since the bar before.
"""

import numpy as np

from engine.kernels.compiled import kernel
from engine.model.signals import FLAT, HOLD
from strategies.base import Directions, Floats

# A plain tuple: a named one takes a kernel longer to unpack than a hundred bars.
Levels = tuple[float, float, float, float, float, float]
"""low < exit_low <= exit_high < high of an index, and its low and high span, all in its unit.

Confidence is 0.5 at `low` and 1 at `low` − `low span`, and likewise above `high`.
"""


def around(middle: float, level: float, exit_level: float = 0.0) -> Levels:
    """Return levels as far below a middle as above it; confidence is 1 at twice the level."""
    inner = middle - exit_level, middle + exit_level
    return middle - level, *inner, middle + level, level, level


def within(low: float, middle: float, high: float) -> Levels:
    """Return levels of an index from 0 to 100; confidence is 1 at its ends."""
    return low, middle, middle, high, low, 100.0 - high


@kernel
def beyond(
    index: Floats, slack: Floats, levels: Levels, above: int, warmup: int
) -> tuple[Directions, Floats]:
    """Return directions and confidences; `above` is LONG or SHORT, what is said above `high`.

    FLAT where the index is NaN, and before bar `warmup`, which is at least 1. An index within
    `slack` (n,) of a level has just reached it (`strategies.ties`).
    """
    n = len(index)
    direction = np.empty(n, np.int8)
    confidence = np.empty(n)
    direction[:warmup] = FLAT
    confidence[:warmup] = 0.0
    low, exit_low, exit_high, high, low_span, high_span = levels
    per_low, per_high = 0.5 / low_span, 0.5 / high_span
    values, before = index[warmup:], index[warmup - 1 : -1]
    slacks, slacks_before = slack[warmup:], slack[warmup - 1 : -1]
    said, confidences = direction[warmup:], confidence[warmup:]
    for i in range(len(said)):  # selections rather than branches: these are unpredictable
        value = values[i]
        less, more = value - slacks[i], value + slacks[i]
        kept = (less > exit_high) & (before[i] - slacks_before[i] > exit_high)
        kept |= (more < exit_low) & (before[i] + slacks_before[i] < exit_low)
        is_above, is_below = less > high, more < low
        said[i] = above if is_above else -above if is_below else HOLD if kept else FLAT
        far = max((value - high) * per_high, (low - value) * per_low)
        between = 0.5 if kept else 0.0
        confidences[i] = 0.5 + min(far, 0.5) if is_above | is_below else between
    return direction, confidence
