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
from engine.model.portfolio import StrategySpec
from engine.model.signals import StrategySignal

BarBytes = dict[str, bytes]

# A host's exit code when a strategy finds the memory taken by another one.
MEMORY_EXIT = 72


class Warm(msgspec.Struct, frozen=True, tag=True):
    """Import and compile everything; from then on take at most so much more memory, 0 for any.

    From then on it also writes to `scratch` alone and reads nothing in the `hidden` places.
    """

    memory_max_mb: int = 0
    scratch: str = ""
    hidden: list[str] = []


class Load(msgspec.Struct, frozen=True, tag=True):
    """Create strategies; `files` define more kinds, content by path.

    `bad_files` are not tried: they have ended a host before, and how.
    """

    strategies: list[StrategySpec]
    points: dict[str, float]
    server_clock: str
    files: dict[str, bytes] = {}
    bad_files: dict[str, str] = {}


class Feed(msgspec.Struct, frozen=True, tag=True):
    """Fill the windows of the strategies loaded last with history; history may come in parts.

    With the `last` part each one is tried once.
    """

    batch_ns: int
    history: BarBytes
    last: bool = True


class Adopt(msgspec.Struct, frozen=True, tag=True):
    """Keep these strategies alone; take the bars that closed since they were fed, unevaluated."""

    names: list[str]
    batch_ns: int
    missed: BarBytes


class Evaluate(msgspec.Struct, frozen=True, tag=True):
    """Take the M1 bars that closed at a batch; evaluate what is due."""

    batch_ns: int
    closed: BarBytes


Request = Warm | Load | Feed | Adopt | Evaluate


class InputNeed(msgspec.Struct, frozen=True):
    """Bars that a strategy reads, and how many of them before its anchor; the first is primary."""

    symbol: str
    timeframe: str
    warmup: int


class Evaluations(msgspec.Struct):
    """The reply to all of them: signals of the strategies that were due, and the newly faulty.

    `signals` are of the newest bars. Where several bars of a strategy closed at one batch, after
    a gap, `earlier` has those of the others, to be taken first and in order.
    `inputs` are of the strategies just loaded, `kinds` and `file_faults` of the files, by path;
    the built-in kinds, told before any file is loaded, have none.
    `batch_ns` is that of the request. `left_out` are those for whom no host was there in time:
    to the core that is HOLD; the next host has seen every bar.
    """

    signals: dict[str, StrategySignal] = {}
    earlier: dict[str, list[StrategySignal]] = {}
    faults: dict[str, str] = {}
    inputs: dict[str, list[InputNeed]] = {}
    kinds: dict[str, list[str]] = {}
    file_faults: dict[str, str] = {}
    batch_ns: int = 0
    left_out: list[str] = []


def pack_bars(bars: Mapping[str, Bars]) -> BarBytes:
    """Return the arrays' bytes."""
    return {symbol: array.tobytes() for symbol, array in bars.items()}


def unpack_bars(packed: BarBytes) -> dict[str, Bars]:
    """Return read-only arrays on the bytes."""
    return {symbol: np.frombuffer(body, BAR_DTYPE) for symbol, body in packed.items()}


def file_index(place: int) -> int:
    """Return the index that stands for the file at a place in the list; its own inverse."""
    return -2 - place


class Progress:
    """Which strategy is on since when, which was the slowest of this request, which is to blame.

    Times are monotonic seconds, one clock for all processes of a machine. The index is the
    strategy's place in the order of loading, -1 for none; while files are loaded, `file_index`.
    """

    _LAYOUT = struct.Struct("<qdqdq")
    _ON = struct.Struct("<qd")  # its beginning: all that most strategies change
    _NOBODY = (-1, 0.0, -1, 0.0, -1)

    def __init__(self, path: Path | None = None, *, create: bool = False) -> None:
        """Map a file; without one, keep it in this process."""
        self._slowest = (-1, 0.0)
        self._memory: mmap.mmap | bytearray = bytearray(self._LAYOUT.pack(*self._NOBODY))
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
        self._ON.pack_into(self._memory, 0, index, now_s)
        return now_s

    def end(self, index: int, began_s: float) -> None:
        """Note that it is done."""
        duration_s = time.monotonic() - began_s
        if duration_s > self._slowest[1]:
            self._slowest = (index, duration_s)
            self._write(-1, 0.0)
        else:
            self._ON.pack_into(self._memory, 0, -1, 0.0)

    def blame(self, index: int) -> None:
        """Note whose fault the coming end of this host is."""
        self._write(-1, 0.0, index)

    def blamed(self) -> int:
        """Return the index of the strategy that the host named before it ended."""
        return int(self._LAYOUT.unpack_from(self._memory)[4])

    def running(self) -> int:
        """Return the index of the strategy that is on, or was when the host ended."""
        return int(self._LAYOUT.unpack_from(self._memory)[0])

    def slowest(self, now_s: float) -> int:
        """Return the index of the strategy that has used most time in this request."""
        index, began_s, slowest, slowest_s, _ = self._LAYOUT.unpack_from(self._memory)
        return int(index if index != -1 and now_s - began_s >= slowest_s else slowest)

    def close(self) -> None:
        """Give the memory back."""
        if isinstance(self._memory, mmap.mmap):
            self._memory.close()

    def _write(self, index: int, began_s: float, blamed: int = -1) -> None:
        self._LAYOUT.pack_into(self._memory, 0, index, began_s, *self._slowest, blamed)
