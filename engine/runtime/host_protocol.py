"""What the engine and a strategy host say to each other, and whose turn it is in the host.

Requests and replies are msgpack; bars travel as the bytes of their array. The progress file is
shared memory that outlives the host: after a hang or a crash it names the strategy that was on.
"""

import mmap
import struct
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np

from engine.model.bars import BAR_DTYPE, Bars
from engine.model.portfolio import Strategy
from engine.model.signals import StrategySignal

BarBytes = dict[str, bytes]


class Warm(msgspec.Struct, frozen=True, tag=True):
    """Import and compile everything."""


class Load(msgspec.Struct, frozen=True, tag=True):
    """Create more strategies; `files` define kinds of the user's own."""

    strategies: list[Strategy]
    points: dict[str, float]
    server_clock: str
    files: list[str] = []


class Feed(msgspec.Struct, frozen=True, tag=True):
    """Fill the windows of the strategies loaded last with history, and try each one once."""

    batch_ns: int
    history: BarBytes


class Evaluate(msgspec.Struct, frozen=True, tag=True):
    """Take the M1 bars that closed at a batch; evaluate what is due."""

    batch_ns: int
    closed: BarBytes


Request = Warm | Load | Feed | Evaluate


class Evaluations(msgspec.Struct):
    """The reply to all of them: signals of the strategies that were due, and the newly faulty.

    `signals` are of the newest bars. Where several bars of a strategy closed at one batch, after
    a gap, `earlier` has those of the others, to be taken first and in order.
    `warmups` are of the strategies just loaded: bars of their own timeframe.
    """

    signals: dict[str, StrategySignal] = {}
    earlier: dict[str, list[StrategySignal]] = {}
    faults: dict[str, str] = {}
    durations_s: dict[str, float] = {}
    warmups: dict[str, int] = {}


def pack_bars(bars: Mapping[str, Bars]) -> BarBytes:
    """Return the arrays' bytes."""
    return {symbol: array.tobytes() for symbol, array in bars.items()}


def unpack_bars(packed: BarBytes) -> dict[str, Bars]:
    """Return read-only arrays on the bytes."""
    return {symbol: np.frombuffer(body, BAR_DTYPE) for symbol, body in packed.items()}


class Progress:
    """Which strategy is on since when, and which was the slowest of this request.

    Times are monotonic seconds, one clock for all processes of a machine. The index is the
    strategy's place in the order of loading, -1 for none.
    """

    _LAYOUT = struct.Struct("<qdqd")

    def __init__(self, path: Path | None = None, *, create: bool = False) -> None:
        """Map a file; without one, keep it in this process."""
        self._slowest = (-1, 0.0)
        self._memory: mmap.mmap | bytearray = bytearray(self._LAYOUT.pack(-1, 0.0, -1, 0.0))
        if path is not None:
            if create:
                path.write_bytes(self._memory)
            with path.open("r+b") as file:
                self._memory = mmap.mmap(file.fileno(), self._LAYOUT.size)

    def start_request(self) -> None:
        """Forget the slowest of the request before."""
        self._slowest = (-1, 0.0)
        self._write(-1, 0.0)

    def begin(self, index: int) -> float:
        """Note that a strategy is on; return since when."""
        now_s = time.monotonic()
        self._write(index, now_s)
        return now_s

    def end(self, index: int, began_s: float) -> float:
        """Note that it is done; return how long it took."""
        duration_s = time.monotonic() - began_s
        if duration_s > self._slowest[1]:
            self._slowest = (index, duration_s)
        self._write(-1, 0.0)
        return duration_s

    def running(self) -> int:
        """Return the index of the strategy that is on, or was when the host ended."""
        return int(self._LAYOUT.unpack_from(self._memory)[0])

    def slowest(self, now_s: float) -> int:
        """Return the index of the strategy that has used most time in this request."""
        index, began_s, slowest, slowest_s = self._LAYOUT.unpack_from(self._memory)
        return int(index if index >= 0 and now_s - began_s >= slowest_s else slowest)

    def close(self) -> None:
        """Give the memory back."""
        if isinstance(self._memory, mmap.mmap):
            self._memory.close()

    def _write(self, index: int, began_s: float) -> None:
        self._LAYOUT.pack_into(self._memory, 0, index, began_s, *self._slowest)
