"""The output contract of a strategy: shape, type and range of what it returned."""

import math

import numpy as np

from engine.kernels.compiled import core_kernel
from engine.model.signals import HOLD, SHORT
from strategies.base import Directions, Floats, Signals

_DIRECTION = "direction must be LONG 1, FLAT 0, SHORT -1 or HOLD 2"
_CONFIDENCE = "confidence must be from 0 to 1"
_ABOVE = "must be above 0, or NaN for none"
_INT8, _FLOAT64 = np.dtype(np.int8), np.dtype(np.float64)


def check_signals(signals: object, n: int) -> str:
    """Return what is wrong with the signals of `n` bars in words; "" for nothing."""
    return "" if _is_right(signals, n) else _fault_of(signals, n)


def _is_right(signals: object, n: int) -> bool:
    """Tell whether `_fault_of` would find nothing: cheaper, as nearly all are right."""
    if not is_well_formed(signals, n):
        return False
    assert isinstance(signals, Signals)
    direction, confidence, stop, target = signals
    if not (direction.flags.c_contiguous and confidence.flags.c_contiguous):
        return False
    return not faulty(direction, confidence) and _are_distances(stop) and _are_distances(target)


def _are_distances(distance: Floats | float) -> bool:
    if isinstance(distance, float):
        return math.isnan(distance) or 0.0 < distance < math.inf
    return not ((distance <= 0.0) | (distance == np.inf)).any()


def _fault_of(signals: object, n: int) -> str:
    if not isinstance(signals, Signals):
        return f"evaluate must return Signals, not {type(signals).__name__}"
    direction, confidence, stop, target = signals
    fault = (
        _misshapen("direction", direction, np.int8, n)
        or _misshapen("confidence", confidence, np.float64, n)
        or _check_values(direction, confidence)
    )
    for name, distance in () if fault else (("stop_distance", stop), ("target_distance", target)):
        fault = fault or _check_distance(name, distance, n)
    return fault


def is_well_formed(signals: object, n: int) -> bool:
    """Tell whether types and shapes are right: then only values can be wrong, see `faulty`."""
    if not isinstance(signals, Signals):
        return False
    direction, confidence, stop, target = signals
    return (
        _is_column(direction, _INT8, n)
        and _is_column(confidence, _FLOAT64, n)
        and (isinstance(stop, float) or _is_column(stop, _FLOAT64, n))
        and (isinstance(target, float) or _is_column(target, _FLOAT64, n))
    )


def _is_column(array: object, wanted: "np.dtype[np.generic]", n: int) -> bool:
    return isinstance(array, np.ndarray) and array.dtype == wanted and array.shape == (n,)


def _misshapen(name: str, array: object, wanted: type[np.generic], n: int) -> str:
    if not isinstance(array, np.ndarray) or array.dtype != wanted:
        sort = getattr(array, "dtype", type(array).__name__)
        return f"{name} must be an array of {np.dtype(wanted)}, not {sort}"
    if array.shape != (n,):
        return f"{name} must have one value a bar, shape ({n},), not {array.shape}"
    return ""


def _check_values(direction: Directions, confidence: Floats) -> str:
    directions, confidences = np.ascontiguousarray(direction), np.ascontiguousarray(confidence)
    if not faulty(directions, confidences):
        return ""
    for i, value in enumerate(directions):
        if not SHORT <= value <= HOLD:
            return _at(_DIRECTION, value, i, len(directions))
    wrong = ~((confidences >= 0.0) & (confidences <= 1.0))
    i = int(np.argmax(wrong))
    return _at(_CONFIDENCE, confidences[i], i, len(confidences))


def _check_distance(name: str, distance: object, n: int) -> str:
    if isinstance(distance, float):
        one = math.isnan(distance) or 0.0 < distance < math.inf
        return "" if one else f"{name} {_ABOVE}: it is {distance:g}"
    if fault := _misshapen(name, distance, np.float64, n):
        return fault
    assert isinstance(distance, np.ndarray)
    wrong = (distance <= 0.0) | (distance == np.inf)
    if not wrong.any():
        return ""
    i = int(np.argmax(wrong))
    return _at(f"{name} {_ABOVE}", distance[i], i, n)


def _at(rule: str, value: float, index: int, n: int) -> str:
    return f"{rule}: it is {value:g} at bar {index} of {n}"


@core_kernel
def faulty(direction: Directions, confidence: Floats) -> bool:
    """Tell whether a value is not allowed."""
    wrong = False
    for i in range(len(direction)):  # no early exit: the loops run in SIMD
        wrong |= (direction[i] < SHORT) | (direction[i] > HOLD)
    for i in range(len(confidence)):
        wrong |= not ((confidence[i] >= 0.0) & (confidence[i] <= 1.0))
    return wrong


@core_kernel
def faulty_distance(distance: Floats) -> bool:
    """Tell whether a distance is not allowed."""
    wrong = False
    for i in range(len(distance)):
        wrong |= (distance[i] <= 0.0) | (distance[i] == np.inf)
    return wrong
