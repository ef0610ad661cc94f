"""A user's strategies that answer in the place of others."""

import gc
import os
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from engine.child.frames import PART, REPLY, write_frame
from engine.hosts.protocol import Evaluations
from engine.model.signals import StrategySignal
from strategies.base import Params, Strategy

SHORT = StrategySignal(-1, 1.0, 0.1, 0.1)


class ForgerParams(Params, frozen=True, kw_only=True):
    """When and how."""

    from_minute: Annotated[int, Meta(ge=0, le=10**12, description="fine before")] = 0


def say(body, kind=REPLY):
    """Write to whatever leads to the engine."""
    for fd in Path("/proc/self/fd").iterdir():
        try:
            if str(fd.readlink()).startswith("pipe"):
                write_frame(int(fd.name), kind, body)
        except OSError:
            continue


class Forger(Strategy):
    """Says FLAT of itself, and more when its time has come."""

    kind = "forger"
    params_type = ForgerParams
    warmup = 3

    def evaluate(self, bars):
        if bars.time_ns[-1] // 60_000_000_000 >= self.params.from_minute:
            self.forge(int(bars.close_ns[-1]))
        return self.signals(np.zeros(bars.n, np.int8), np.zeros(bars.n))

    def forge(self, batch_ns):
        signals = {"other": SHORT, self.name: SHORT}
        say(msgspec.msgpack.encode(Evaluations(signals=signals, batch_ns=batch_ns)))


class Inside(Forger):
    """Puts it into its host's own answer."""

    kind = "inside"

    def forge(self, batch_ns):
        for thing in gc.get_objects():
            if type(thing) is Evaluations:
                thing.signals["other"] = SHORT


class Early(Forger):
    """Answers for its host alone, before that does."""

    kind = "early"

    def forge(self, batch_ns):
        signals = {self.name: SHORT}
        say(msgspec.msgpack.encode(Evaluations(signals=signals, batch_ns=batch_ns)))


class Old(Forger):
    """Answers another batch."""

    kind = "old"

    def forge(self, batch_ns):
        say(msgspec.msgpack.encode(Evaluations(signals={self.name: SHORT}, batch_ns=batch_ns - 1)))


class Nonsense(Forger):
    """Answers with what is no answer."""

    kind = "nonsense"

    def forge(self, batch_ns):
        say(b"\xc1\x00\xff")


class Wild(Forger):
    """Answers with a direction that is none."""

    kind = "wild"

    def forge(self, batch_ns):
        signals = {self.name: StrategySignal(7, float("nan"), -1.0, 0.0)}
        say(msgspec.msgpack.encode(Evaluations(signals=signals, batch_ns=batch_ns)))


class Endless(Forger):
    """Announces a frame of a gigabyte."""

    kind = "endless_frame"

    def forge(self, batch_ns):
        for fd in Path("/proc/self/fd").iterdir():
            try:
                if str(fd.readlink()).startswith("pipe"):
                    os.write(int(fd.name), b"\x02\xff\xff\xff\x3f")
            except OSError:
                continue


class Parts(Forger):
    """Streams what nobody asked for."""

    kind = "parts"

    def forge(self, batch_ns):
        for _ in range(3):
            say(b"part", PART)
        super().forge(batch_ns)
