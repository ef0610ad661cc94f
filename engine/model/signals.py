"""What a strategy says about a bar.

Arrays in, arrays out, one value a bar:
`direction` int8: LONG, FLAT, SHORT or HOLD (what it was); `confidence` float64 in 0..1;
`stop_distance`, `target_distance` float64 price units > 0, NaN for none.
"""

import math
from typing import Final

import msgspec

LONG: Final = 1
FLAT: Final = 0
SHORT: Final = -1
HOLD: Final = 2

DIRECTION_NAMES: Final = {LONG: "LONG", FLAT: "FLAT", SHORT: "SHORT", HOLD: "HOLD"}


class StrategySignal(msgspec.Struct, frozen=True, array_like=True):
    """One strategy's raw output at one closed bar; WARMING is FLAT with `warming` set."""

    direction: int
    confidence: float
    stop_distance: float
    target_distance: float
    warming: bool = False

    @property
    def is_allowed(self) -> bool:
        """Whether every value is one that a strategy may say."""
        return (
            SHORT <= self.direction <= HOLD
            and 0.0 <= self.confidence <= 1.0
            and not (self.stop_distance <= 0.0 or self.stop_distance == math.inf)
            and not (self.target_distance <= 0.0 or self.target_distance == math.inf)
        )
