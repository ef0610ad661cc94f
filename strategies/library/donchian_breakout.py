"""Donchian breakout: with a close beyond the channel of the last bars, out on a shorter one.

Channels at a bar: highest high and lowest low of the `entry` (and `exit`) bars *before* it.
LONG from a close above the entry channel, SHORT from one below. A long ends (FLAT) at a close
below the exit channel, a short at one above, and both when the last break is `entry` bars old:
so a bar's output depends on 2 × `entry` bars before it, never on older history.
Confidence falls from 1 at the break to 0.5 as the break ages.
Fails in ranges: false breaks, each costing up to the exit channel's width.

Source: Richard Donchian's four-week rule; Curtis Faith (2007), "Way of the Turtle", for the
shorter exit channel.
"""

from typing import Annotated

import numpy as np
from msgspec import Meta

from engine.kernels.compiled import kernel
from engine.model.signals import FLAT, LONG, SHORT
from strategies.base import BARS, Columns, Directions, Floats, Params, Signals, Strategy
from strategies.indicators import highest, lowest


class DonchianBreakoutParams(Params, frozen=True, kw_only=True):
    """Lengths of the two channels."""

    entry: Annotated[int, Meta(ge=3, le=1000, description="entry channel", extra=BARS)] = 55
    exit: Annotated[int, Meta(ge=2, le=1000, description="exit channel", extra=BARS)] = 20

    def __post_init__(self) -> None:
        """Refuse channels in the wrong order."""
        if self.exit >= self.entry:
            raise ValueError(f"exit = {self.exit} must be below entry = {self.entry}")


class DonchianBreakout(Strategy):
    """See the module."""

    kind = "donchian_breakout"
    params_type = DonchianBreakoutParams

    @property
    def warmup(self) -> int:
        """Return the entry channel's length, and as much again for the last break."""
        entry: int = self.params.entry
        return 2 * entry

    def evaluate(self, bars: Columns, *_: Columns) -> Signals:
        """Follow the breaks of the channels."""
        p: DonchianBreakoutParams = self.params
        prices = bars.high, bars.low, bars.close
        return self.signals(*_follow(*prices, p.entry, p.exit, self.warmup))


@kernel
def _follow(
    high: Floats, low: Floats, close: Floats, entry: int, exit_: int, warmup: int
) -> tuple[Directions, Floats]:
    entry_high, entry_low = highest(high, entry), lowest(low, entry)
    exit_high, exit_low = highest(high, exit_), lowest(low, exit_)
    n = len(close)
    direction = np.zeros(n, np.int8)  # FLAT
    confidence = np.zeros(n)
    side = FLAT
    age = 0
    for i in range(entry, n):
        age += 1
        if close[i] > entry_high[i - 1]:
            side, age = LONG, 0
        elif close[i] < entry_low[i - 1]:
            side, age = SHORT, 0
        elif (
            age >= entry
            or (side == LONG and close[i] < exit_low[i - 1])
            or (side == SHORT and close[i] > exit_high[i - 1])
        ):
            side = FLAT
        if i >= warmup and side != FLAT:
            direction[i] = side
            confidence[i] = 1.0 - 0.5 * age / entry
    return direction, confidence
