"""The output contract of a strategy: shape, type and range of what it returned."""

import math
from typing import Any

import numpy as np

from engine.model.compiled import kernel
from engine.model.signals import HOLD, SHORT
from strategies.base import Directions, Floats, Signals

_RULES = (
    "direction must be LONG 1, FLAT 0, SHORT -1 or HOLD 2",
    "confidence must be from 0 to 1",
    "stop_distance must be above 0, or NaN for none",
    "target_distance must be above 0, or NaN for none",
)


def check_signals(signals: object, n: int) -> str:
    """Return what is wrong with the signals of `n` bars in words; "" for nothing."""
    if not isinstance(signals, Signals):
        return f"evaluate must return Signals, not {type(signals).__name__}"
    for field, array in zip(Signals._fields, signals, strict=True):
        wanted = np.int8 if field == "direction" else np.float64
        if not isinstance(array, np.ndarray) or array.dtype != wanted:
            sort = getattr(array, "dtype", type(array).__name__)
            return f"{field} must be an array of {np.dtype(wanted)}, not {sort}"
        if array.shape != (n,):
            return f"{field} must have one value a bar, shape ({n},), not {array.shape}"
    contiguous: list[Any] = [np.ascontiguousarray(array) for array in signals]
    faults: int = _faults(*contiguous)
    if not faults:
        return ""
    which = (faults & -faults).bit_length() - 1  # the lowest bit set
    index = next(i for i, value in enumerate(contiguous[which]) if not _allowed(which, value))
    return f"{_RULES[which]}: it is {contiguous[which][index]:g} at bar {index} of {n}"


def _allowed(which: int, value: float) -> bool:
    if which == 0:
        return SHORT <= value <= HOLD
    if which == 1:
        return 0.0 <= value <= 1.0
    return math.isnan(value) or 0.0 < value < math.inf


@kernel
def _faults(direction: Directions, confidence: Floats, stop: Floats, target: Floats) -> int:
    """Return a bit for every field with a value that is not allowed."""
    faults = 0
    for i in range(len(direction)):  # no early exit: the loop runs in SIMD
        faults |= (direction[i] < SHORT) | (direction[i] > HOLD)
    for i in range(len(direction)):
        faults |= 2 * (not ((confidence[i] >= 0.0) & (confidence[i] <= 1.0)))
    for i in range(len(direction)):
        faults |= 4 * ((stop[i] <= 0.0) | (stop[i] == np.inf))
    for i in range(len(direction)):
        faults |= 8 * ((target[i] <= 0.0) | (target[i] == np.inf))
    return faults
