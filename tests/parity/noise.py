"""Strategies that say anything, as a function of a bar's time and a seed: a user's file."""

from typing import Annotated

import numpy as np
from msgspec import Meta

from strategies.base import Params, Signals, Strategy

# Cuts between LONG, SHORT, FLAT and HOLD in 256ths.
_CUTS = np.array([90, 180, 225])
_DIRECTIONS = np.array([1, -1, 0, 2], np.int8)
_FIRST = np.uint64(0x9E3779B97F4A7C15)
_SECOND = np.uint64(0xBF58476D1CE4E5B9)
_THIRD = np.uint64(0x94D049BB133111EB)


def mixed(values, seed):
    """Return 64 bits of each value that look random (splitmix64)."""
    z = values.astype(np.uint64) * _FIRST + np.uint64(seed * int(_SECOND) % 2**64)
    z = (z ^ (z >> np.uint64(30))) * _SECOND
    z = (z ^ (z >> np.uint64(27))) * _THIRD
    return z ^ (z >> np.uint64(31))


class NoiseParams(Params, frozen=True, kw_only=True):
    """Which noise, how many bars it lasts, and whether it has stops."""

    seed: Annotated[int, Meta(ge=0, le=10**9, description="which noise")] = 0
    lasts: Annotated[int, Meta(ge=1, le=1000, description="minutes of the same output")] = 7
    need: Annotated[int, Meta(ge=1, le=500, description="warm-up bars")] = 1
    stops: Annotated[int, Meta(ge=0, le=1, description="whether each output has a stop")] = 1


class Noise(Strategy):
    """Says the same for a while, then something else; FLAT and HOLD carry numbers too.

    Stops and targets depend on the bars.
    """

    kind = "noise"
    params_type = NoiseParams

    @property
    def warmup(self):
        return self.params.need

    def evaluate(self, bars):
        p = self.params
        bits = mixed(bars.close_ns // 60_000_000_000 // p.lasts, p.seed)

        def byte(i):
            return (bits >> np.uint64(8 * i)) & np.uint64(255)

        direction = _DIRECTIONS[np.searchsorted(_CUTS, byte(0).astype(np.int64), side="right")]
        confidence = byte(1).astype(float) / 255.0
        # Every column, so that bars which differ in anything give other stops.
        seen = sum(k * column for k, column in enumerate(bars[2:], 1))
        wide = self._stop_distance * (1.0 + np.rint(seen * 1e5) % 7.0 / 50.0)
        stop = wide * (0.5 + byte(2).astype(float) / 128.0)
        target = wide * (0.5 + byte(3).astype(float) / 64.0)
        target[byte(4) < 64] = np.nan
        if not p.stops:
            stop[byte(5) < 128] = np.nan
        return Signals(direction, confidence, stop, target)
