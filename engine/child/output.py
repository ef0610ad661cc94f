"""What a process writes for people: one thread alone touches the stream, all others go on.

A pipe that nobody reads, a terminal stopped by Ctrl-S, a full disk, a closed standard output: who
logs or prints neither waits for it nor hears of it. What finds no room is counted, and the place
where it is missing is marked once the stream works again.
"""

import atexit
import contextlib
import io
import os
import select
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Final, NamedTuple

BYTES_MAX: Final = 4_000_000
"""What may wait for a stream, with `_OVERHEAD` a line."""
RETRY_S: Final = 1.0
"""After a failed write, until the next try."""
BLOCKED_S: Final = 2.0
"""A write that takes longer is not on its way: nobody takes it."""
LAST_WORDS_S: Final = 1.0
"""How long the end of a process waits for its last lines."""
_OVERHEAD: Final = 64
_PARTIAL_MAX: Final = 65_536

_taken = False


class OutputState(NamedTuple):
    """How a stream is. `trouble`: why it takes nothing, "" while it does; `n_dropped` lines."""

    name: str
    trouble: str
    n_dropped: int


NO_LOG: Final = OutputState("", "", 0)


def plain_note(n_missing: int) -> str:
    """Return the line that stands where lines are missing."""
    return f"pmpro: {n_missing} line(s) are missing here: the stream did not take them"


class Output:
    """A file descriptor behind a bounded queue and a thread of its own.

    `note` makes the line that stands where `n` lines are missing. Any thread may `put`, also from
    inside itself: a signal handler, or a finaliser that the collector runs in the midst of a `put`.
    """

    def __init__(self, fd: int, name: str = "", *, note: Callable[[int], str] = plain_note) -> None:
        self.fd = fd
        self.name = name or _name_of(fd)
        self.note = note
        self._lock = threading.RLock()
        self._lines: SimpleQueue[bytes | None] = SimpleQueue()
        self._n_bytes = self._n_dropped = self._n_unsaid = 0
        self._fault = ""
        self._began_s: float | None = None
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def state(self) -> OutputState:
        """How it is now."""
        began_s, trouble = self._began_s, self._fault
        if not trouble and began_s is not None and time.monotonic() - began_s > BLOCKED_S:
            trouble = f"nobody has taken a line for {time.monotonic() - began_s:.0f} s"
        return OutputState(self.name, trouble, self._n_dropped)

    def put(self, text: str) -> None:
        """Have a line or lines written; never waits, never raises."""
        line = text.encode(errors="backslashreplace")
        with self._lock:
            if self._closing.is_set() or self._n_bytes + len(line) > BYTES_MAX:
                self._n_dropped += 1
                self._n_unsaid += 1
                return
            self._say_missing()
            self._add(line)
            if self._thread is None:
                self._start()

    def close(self, timeout_s: float = LAST_WORDS_S) -> None:
        """Let what waits out, for at most `timeout_s`; what comes after it is dropped."""
        self._closing.set()
        self._lines.put(None)
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(timeout_s)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="output", daemon=True)
        with contextlib.suppress(RuntimeError):  # no more threads: then nothing is written
            self._thread.start()

    def _add(self, line: bytes) -> None:
        self._n_bytes += len(line) + _OVERHEAD
        self._lines.put(line)

    def _say_missing(self) -> None:
        if self._n_unsaid:
            n, self._n_unsaid = self._n_unsaid, 0
            self._add(f"{self.note(n)}\n".encode())

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            self._write(line)
            with self._lock:
                self._n_bytes -= len(line) + _OVERHEAD
                if self._lines.empty():
                    self._say_missing()
        if self._n_unsaid:
            self._write(f"{self.note(self._n_unsaid)}\n".encode())

    def _write(self, line: bytes) -> None:
        """Write a line whole, in one call where the stream takes it; at the end try once."""
        while line:
            self._began_s = time.monotonic()
            try:
                line = line[os.write(self.fd, line) :]
                self._fault = ""
            except BlockingIOError:  # somebody else has made the stream so
                self._wait_for_room()
            except OSError as error:
                self._began_s, self._fault = None, error.strerror or str(error)
                if self._closing.wait(RETRY_S):
                    return
        self._began_s = None

    def _wait_for_room(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            select.select((), (self.fd,), (), RETRY_S)
            return
        self._closing.wait(RETRY_S)


class Stream(io.TextIOBase):
    """An output as `print`, tracebacks and libraries take it; each thread's lines stay whole."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, output: Output) -> None:
        self.output = output
        self.buffer = _Bytes(self)
        self._begun = threading.local()

    def write(self, text: str, /) -> int:
        """Take text; whole lines go at once, the rest with its end or a `flush`."""
        whole = getattr(self._begun, "text", "") + text
        end = len(whole) if len(whole) > _PARTIAL_MAX else whole.rfind("\n") + 1
        self._begun.text = whole[end:]
        if end:
            self.output.put(whole[:end])
        return len(text)

    def flush(self) -> None:
        """Let a line go that has not ended; nothing is waited for."""
        rest, self._begun.text = getattr(self._begun, "text", ""), ""
        if rest:
            self.output.put(rest)

    def close(self) -> None:
        """Stay open: others write here too."""

    def fileno(self) -> int:
        """Return the descriptor, for children that write to the same place."""
        return self.output.fd

    def isatty(self) -> bool:
        """Tell whether it is a terminal."""
        return os.isatty(self.output.fd)

    def writable(self) -> bool:
        """It can be written to."""
        return True


class _Bytes(io.RawIOBase):
    """The stream's `buffer`."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def write(self, data: bytes, /) -> int:  # type: ignore[override]  # any buffer will do
        """Take bytes as text."""
        self._stream.write(bytes(data).decode(errors="backslashreplace"))
        return len(data)

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        pass


def take_streams() -> None:
    """Let nothing in this process wait for its standard streams any more; once is enough.

    Descriptors 0 to 2 that are closed are opened on nothing, before a file that matters gets one
    of these numbers. What the interpreter itself would flush at its end is empty.
    """
    global _taken
    if _taken:
        return
    _taken = True
    closed = [fd for fd in (0, 1, 2) if _open_on_nothing(fd)]
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # None, or broken already
            stream.flush()
    errors = Output(2, "stderr (closed)" if 2 in closed else "")
    output = errors
    if 1 in closed or not os.path.sameopenfile(1, 2):
        output = Output(1, "stdout (closed)" if 1 in closed else "")
    sys.stdout, sys.stderr = Stream(output), Stream(errors)
    for each in {output, errors}:
        atexit.register(each.close)


def open_file(path: Path) -> IO[bytes]:
    """Open a file to be written at its end, made if there is none; a pipe in its place never waits.

    Raises:
        OSError: it cannot be opened, or is a pipe that nobody reads.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0)
    fd = os.open(path, flags | getattr(os, "O_CLOEXEC", 0), 0o666)
    os.set_blocking(fd, True)
    return os.fdopen(fd, "ab", buffering=0)


def state_of(stream: object) -> OutputState:
    """Return how a stream is; of one that is not ours there is nothing to tell."""
    return stream.output.state if isinstance(stream, Stream) else NO_LOG


def _open_on_nothing(fd: int) -> bool:
    """Tell whether a descriptor was closed; it is open now."""
    try:
        os.fstat(fd)
    except OSError:
        nothing = os.open(os.devnull, os.O_RDWR)
        if nothing != fd:
            os.dup2(nothing, fd)
            os.close(nothing)
        return True
    return False


def _name_of(fd: int) -> str:
    """Return the file behind a descriptor where the system tells, else what it is."""
    kind = {1: "stdout", 2: "stderr"}.get(fd, f"descriptor {fd}")
    with contextlib.suppress(OSError):
        path = str(Path(f"/proc/self/fd/{fd}").readlink())
        return path if path.startswith("/") else f"{kind} ({path.partition(':')[0]})"
    return kind
