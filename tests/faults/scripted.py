"""A strategy that says what a test wrote down, minute by minute: a user's file."""

import os
import time
from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta

from strategies.base import Params, Strategy

LETTERS = "FLHS"
DIRECTIONS = np.array([0, 1, 2, -1], np.int8)
# While the file that it names is there, no answer comes.
HANG = "PMPRO_TEST_HANG"


def code_of(plan: str) -> int:
    """Return a plan as a number: a digit a bar to base 4, after a leading 1."""
    return int("1" + "".join(str(LETTERS.index(letter)) for letter in plan), 4)


class ScriptParams(Params, frozen=True, kw_only=True):
    """What to say from which bar on; the last letter stays for ever."""

    plan: Annotated[int, Meta(ge=0, le=10**18, description="see code_of")] = 4
    start_minute: Annotated[int, Meta(ge=0, le=10**12, description="of the first letter")] = 0


class Scripted(Strategy):
    """Reads its plan at each bar's time."""

    kind = "scripted"
    params_type = ScriptParams
    warmup = 1

    def evaluate(self, bars):
        while Path(os.environ.get(HANG, "/nowhere")).exists():
            time.sleep(0.005)
        plan = DIRECTIONS[[int(digit) for digit in np.base_repr(self.params.plan, 4)[1:]]]
        place = bars.time_ns // 60_000_000_000 - self.params.start_minute
        direction = np.where(place < 0, 0, plan[np.clip(place, 0, len(plan) - 1)]).astype(np.int8)
        direction[:1] = 0
        return self.signals(direction, np.where(direction == 0, 0.0, 1.0))
