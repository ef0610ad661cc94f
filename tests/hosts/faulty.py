"""Strategies that go wrong when their time has come: a user's file for the hosts' tests."""

import ctypes
import os
import time
from typing import Annotated

import numpy as np
from msgspec import Meta

from engine.model.times import Timeframe
from strategies.base import Input, Params, Signals, Strategy, last_closed


class FaultyParams(Params, frozen=True, kw_only=True):
    """When and how."""

    from_minute: Annotated[int, Meta(ge=0, le=10**12, description="fine before")] = 0
    slow_s: Annotated[float, Meta(ge=0, le=10, description="time it takes")] = 0.0


class Fine(Strategy):
    """Says LONG, until it goes wrong."""

    kind = "fine"
    params_type = FaultyParams
    warmup = 3

    def evaluate(self, bars):
        n = bars.n
        time.sleep(self.params.slow_s)
        if bars.time_ns[-1] // 60_000_000_000 >= self.params.from_minute:
            return self.wrong(n)
        return self.right(n)

    def right(self, n):
        return self.signals(np.ones(n, np.int8), np.ones(n))

    def wrong(self, n):
        return self.right(n)


class Weighs(Fine):
    """Adds up all it is given: of itself, of another symbol, and of itself in a higher timeframe.

    So a bar too many or too few anywhere in a window changes what it says.
    """

    kind = "weighs"
    n_symbols = 2

    @property
    def inputs(self):
        higher = Timeframe.H1 if self.timeframe < Timeframe.H1 else Timeframe.D1
        return (*super().inputs, Input(self.symbol, higher, 2))

    def evaluate(self, bars, *others):
        total = np.cumsum(bars.close)
        for other in others:
            index = last_closed(bars.close_ns, other.close_ns)
            total = total + np.where(index < 0, 0.0, np.cumsum(other.close)[index])
        direction = np.where(np.floor(total * 1e5) % 2 == 0, 1, -1).astype(np.int8)
        direction[: self.warmup] = 0
        return self.signals(direction, np.where(direction == 0, 0.0, total % 1.0))


class Raises(Fine):
    """An error of its own."""

    kind = "raises"

    def wrong(self, n):
        raise ZeroDivisionError("no luck")


class Exits(Fine):
    """The interpreter is told to end."""

    kind = "exits"

    def wrong(self, n):
        raise SystemExit(0)


class Interrupts(Fine):
    """What a key at a terminal would raise."""

    kind = "interrupts"

    def wrong(self, n):
        raise KeyboardInterrupt


class Recurses(Fine):
    """No end to the depth."""

    kind = "recurses"

    def wrong(self, n):
        return self.wrong(n)


class Hangs(Fine):
    """An endless loop."""

    kind = "hangs"

    def wrong(self, n):
        while True:
            pass


class HangsInC(Fine):
    """A call that never returns and never releases the GIL."""

    kind = "hangs_in_c"

    def wrong(self, n):
        ctypes.PyDLL(None).sleep(1000)


class Sleeps(Fine):
    """A call that never returns, the GIL released."""

    kind = "sleeps"

    def wrong(self, n):
        ctypes.CDLL(None).sleep(1000)


class Dies(Fine):
    """The process ends, no cleaning up."""

    kind = "dies"

    def wrong(self, n):
        os._exit(3)


class Crashes(Fine):
    """A segmentation fault."""

    kind = "crashes"

    def wrong(self, n):
        ctypes.string_at(0)


class Hogs(Fine):
    """Takes all the memory there is."""

    kind = "hogs"

    def wrong(self, n):
        return [np.empty(10_000_000) for _ in range(10_000)]


LEAKED = []


class Leaks(Fine):
    """Takes a little more memory at every bar and keeps it."""

    kind = "leaks"

    def wrong(self, n):
        LEAKED.append(np.ones(4_000_000))
        return self.right(n)


class Needs(Fine):
    """Needs as much memory as it may at every bar, and gives it back."""

    kind = "needs"

    def right(self, n):
        return super().right(n) if np.ones(16_000_000).any() else None


class Writes(Fine):
    """Spoils the bars that it is given."""

    kind = "writes"

    def evaluate(self, bars):
        bars.close[:] = 7.0
        return self.right(bars.n)


class NotANumber(Fine):
    """A confidence that is not a number."""

    kind = "nan"

    def wrong(self, n):
        return self.right(n)._replace(confidence=np.full(n, np.nan))


class OutOfRange(Fine):
    """A stop on the wrong side of nothing."""

    kind = "out_of_range"

    def wrong(self, n):
        return self.right(n)._replace(stop_distance=np.full(n, -1.0))


class WrongShape(Fine):
    """One value too few."""

    kind = "wrong_shape"

    def wrong(self, n):
        return self.right(n - 1)


class WrongType(Fine):
    """Directions as floats."""

    kind = "wrong_type"

    def wrong(self, n):
        return Signals(*(np.ones(n) for _ in range(4)))


class Nothing(Fine):
    """Forgets to return."""

    kind = "nothing"

    def wrong(self, n):
        return None


class Surrogate(Fine):
    """Half a character, as `json.loads` makes of half an emoji."""

    kind = "surrogate"

    def wrong(self, n):
        raise ValueError("bad \udcff name")


class Nul(Fine):
    """What no database holds."""

    kind = "nul"

    def wrong(self, n):
        raise ValueError("nul \x00 inside")


class Paints(Fine):
    """Orders to a terminal."""

    kind = "paints"

    def wrong(self, n):
        raise ValueError("x \x1b[31mred\x1b[0m \x1b]0;OWNED\x07 \x9b31m \x1b[2J\r\ny \u202e")


class Talks(Fine):
    """Five megabytes of excuses."""

    kind = "talks"

    def wrong(self, n):
        raise ValueError("x" * 5_000_000)


class _Silent(Exception):
    def __str__(self):
        raise self


class Silent(Fine):
    """An error whose text raises, and whose text raises."""

    kind = "silent"

    def wrong(self, n):
        raise _Silent


class _Endless(Exception):
    def __str__(self):
        return f"{self}"


class Endless(Fine):
    """An error whose text has no end."""

    kind = "endless"

    def wrong(self, n):
        raise _Endless


class _Leaves(BaseException):
    def __str__(self):
        raise SystemExit(4)


class Leaves(Fine):
    """Neither an Exception nor a text."""

    kind = "leaves"

    def wrong(self, n):
        raise _Leaves from KeyboardInterrupt("\x1b")


class Group(Fine):
    """Several at once."""

    kind = "group"

    def wrong(self, n):
        raise BaseExceptionGroup("both", [KeyboardInterrupt(), ValueError("\x00")])


class _Array(np.ndarray):
    def __getitem__(self, item):
        raise GeneratorExit("\udcff")


class Arrays(Fine):
    """Arrays with a will of their own."""

    kind = "arrays"

    def wrong(self, n):
        return self.right(n)._replace(direction=np.ones(n, np.int8).view(_Array))


class Objects(Fine):
    """Directions that are whatever they like when they are compared."""

    kind = "objects"

    def wrong(self, n):
        return self.right(n)._replace(direction=np.array([self] * n, object))

    def __lt__(self, other):
        raise KeyboardInterrupt

    def __float__(self):
        raise MemoryError


class Fields(Fine):
    """A confidence with fields."""

    kind = "fields"

    def wrong(self, n):
        dtype = np.dtype([("\udcff\x1b", "f8")])
        return self.right(n)._replace(confidence=np.zeros(n, dtype))


class Reads(Fine):
    """Needs what no symbol is called."""

    kind = "reads"

    @property
    def inputs(self):
        return (*super().inputs, Input("\udcff\x1b[2J", Timeframe.H1, 5))


class Counts(Fine):
    """Needs half a bar."""

    kind = "counts"

    @property
    def inputs(self):
        return (Input(self.symbol, self.timeframe, np.float64(3.5)),)


class Refuses(Fine):
    """Does not want to be made."""

    kind = "refuses"

    def __init__(self, *args, **kwargs):
        raise _Leaves
