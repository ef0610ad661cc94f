"""Two outputs for the same bars: equal to the last bit, or where and by how much not."""

from typing import Any

import numpy as np
import numpy.typing as npt

from engine.model.signals import DIRECTION_NAMES
from engine.model.times import iso_utc
from strategies.base import Floats, Times
from strategies.checks.probe import ProbedSignals

Flags = npt.NDArray[np.bool_]


def unequal(one: Floats, other: Floats) -> Flags:
    """Tell where two arrays differ in a bit; NaN equals NaN."""
    nan: Flags = np.isnan(one) & np.isnan(other)
    differ: Flags = np.ascontiguousarray(one).view("<i8") != np.ascontiguousarray(other).view("<i8")
    return differ & ~nan


def relative(one: Floats, other: Floats) -> Floats:
    """Return how far apart values are, of the larger one; infinite where one alone is NaN."""
    with np.errstate(invalid="ignore", divide="ignore"):
        apart: Floats = np.abs(one - other) / np.maximum(np.abs(one), np.abs(other))
    apart[one == other] = 0.0
    apart[np.isnan(one) & np.isnan(other)] = 0.0
    apart[np.isnan(one) != np.isnan(other)] = np.inf
    return apart


class Differences:
    """Gathers where outputs differ: the first bar of all, and the largest deviation by array."""

    def __init__(self) -> None:
        self.n_compared = 0
        self.n_different = 0
        self.first = ""
        self._first_ns = np.iinfo(np.int64).max
        self._largest: dict[str, float] = {}

    def add(self, time_ns: Times, whole: ProbedSignals, other: ProbedSignals, how: str) -> None:
        """Compare two outputs of the bars that open at `time_ns`; `how` the other was made."""
        self.n_compared += 1
        found = False
        pairs: list[tuple[str, Any, Any]] = list(
            zip(ProbedSignals._fields, whole, other, strict=True)
        )
        for name, one, two in pairs:
            differ: Flags = one != two if name == "direction" else unequal(one, two)
            if not differ.any():
                continue
            found = True
            at = int(np.argmax(differ))
            if time_ns[at] < self._first_ns:
                self._first_ns = int(time_ns[at])
                said, instead = _shown(name, one[at]), _shown(name, two[at])
                self.first = f"{name} at {iso_utc(self._first_ns)} is {said}, but {instead} {how}"
            if name != "direction":
                largest = float(relative(one, two).max())
                self._largest[name] = max(self._largest.get(name, 0.0), largest)
        self.n_different += found

    @property
    def text(self) -> str:
        """Return the first difference and the extent of all."""
        by = ", ".join(
            f"{name} by up to {'all' if np.isinf(value) else f'{value:.3g}'} of its value"
            for name, value in self._largest.items()
        )
        extent = f"{self.n_different} of {self.n_compared} cuts differ"
        return f"{self.first} ({extent}{f'; {by}' if by else ''})"


def _shown(name: str, value: float) -> str:
    return DIRECTION_NAMES[int(value)] if name == "direction" else repr(float(value))
