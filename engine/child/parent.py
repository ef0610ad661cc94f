"""The parent's side: a supervised child process, called over pipes with deadlines.

A child that misses a deadline is killed with its whole process group before the caller hears of
it, so that "timed out" also means "no longer running". Errors:

ChildError
├── ChildTimeout  the deadline passed; the child has been killed
├── ChildGone     the child ended; `sent` tells whether the request may have reached it
├── ChildAstray   the child said more than it was asked, and has been killed; nothing was sent
└── ChildFailed   the child's handler raised; the child lives on
"""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO

import structlog

from engine.child.environment import plain_environment
from engine.child.frames import (
    ERROR,
    EVENT,
    MAX_FRAME,
    PART,
    REPLY,
    REQUEST,
    FrameReader,
    write_frame,
)
from engine.child.output import open_file
from engine.child.spawner import spawn
from engine.model.errors import PmproError
from engine.model.printable import described, printable

KILL_WAIT_S = 2.0
# A pipe holds at least a page: a frame this short never blocks its writer, because the child has
# read everything before it.
_NEVER_BLOCKS = 4000

# Nothing that a child streams is taken so slowly.
_FRAMES_MAX = 100_000

# A longer log is set aside, replacing the one before, when the next child starts.
_LOG_MAX_BYTES = 10_000_000

_log = structlog.get_logger(__name__)


_living: set[int] = set()


def living() -> frozenset[int]:
    """Return the ids of all children of this process that have not ended."""
    return frozenset(_living)


class ChildError(PmproError):
    """A child process did not do what it was asked."""


class ChildTimeout(ChildError):
    """The deadline passed; the child has been killed. It may have done what was asked.

    `ended`: it is certainly dead, and every part of its reply has been passed to `on_frame`.
    """

    def __init__(self, message: str, *, ended: bool) -> None:
        super().__init__(message)
        self.ended = ended


class ChildGone(ChildError):
    """The child ended. `sent`: the request, or part of it, may have reached it."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class ChildAstray(ChildError):
    """The child said more than it was asked: its answers cannot be told apart. It was killed."""


class ChildFailed(ChildError):
    """The child's handler raised; the child lives on."""


class Child:
    """A process running `python -P -m module`, its own session, stderr appended to `log_path`.

    `env` adds to this process's environment; a child that runs code of `others` gets no more of
    it than `plain_environment`. A frame longer than `max_frame` ends it.
    `on_event` and `on_exit` run on the reader thread: they must be quick and must not call the
    child. `on_exit` gets the exit code (negative: the signal; None: not known), also after `kill`.
    """

    def __init__(
        self,
        module: str,
        argv: Sequence[str] = (),
        *,
        name: str,
        log_path: Path | None = None,
        env: Mapping[str, str] | None = None,
        others: bool = False,
        max_frame: int = MAX_FRAME,
        on_event: Callable[[bytes], None] | None = None,
        on_exit: Callable[[int | None], None] | None = None,
    ) -> None:
        self.name = name
        self._on_event = on_event
        self._on_exit = on_exit
        self._call_lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._kill_lock = threading.Lock()
        self._ended = threading.Event()
        self._reaping = False
        self._killed = False
        self._replies: queue.SimpleQueue[tuple[int, bytes] | None] = queue.SimpleQueue()
        environment = plain_environment() if others else os.environ
        self._max_frame = max_frame
        self._process = _start(module, argv, log_path, {**environment, **(env or {})})
        _living.add(self._process.pid)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin = self._process.stdin
        self._reader = threading.Thread(
            target=self._read, args=(self._process.stdout.fileno(),), name=f"{name}-reader"
        )
        self._reader.daemon = True
        self._reader.start()

    @property
    def pid(self) -> int:
        """Process id, also that of its session and group."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the child has not ended; False only once it is certainly dead."""
        return not self._ended.is_set()

    @property
    def killed(self) -> bool:
        """Whether this side has killed it, or tried to."""
        return self._killed

    @property
    def exit_code(self) -> int | None:
        """Exit code once ended; negative is a signal, None not (yet) known."""
        return self._process.returncode if self._ended.is_set() else None

    def call(
        self, body: bytes, *, timeout_s: float, on_frame: Callable[[bytes], None] | None = None
    ) -> bytes:
        """Send a request and return its reply; one in flight, others wait inside the deadline.

        `on_frame` gets the parts of a streamed reply, on this thread, as they arrive.
        """
        deadline_s = time.monotonic() + timeout_s
        if not self._call_lock.acquire(timeout=timeout_s):
            raise ChildGone(f"{self.name}: busy for {timeout_s:g} s, request not sent", sent=False)
        try:
            self.send(body, timeout_s=deadline_s - time.monotonic())
            return self.collect(timeout_s=deadline_s - time.monotonic(), on_frame=on_frame)
        except ChildFailed:
            raise
        except BaseException:
            # Also an interrupted wait: the late reply would be taken for the next one.
            self.kill()
            raise
        finally:
            self._call_lock.release()

    def send(self, body: bytes, *, timeout_s: float) -> None:
        """Send a request without waiting; `collect` its reply before the next one.

        For a caller that drives several children at once, from one thread.
        """
        if self._ended.is_set():
            raise ChildGone(self._obituary(), sent=False)
        if self._has_said_more():
            self.kill()
            raise ChildAstray(f"{self.name}: said more than it was asked")
        watchdog = None
        if len(body) > _NEVER_BLOCKS:
            watchdog = threading.Timer(max(0.0, timeout_s), self._signal_group)
            watchdog.daemon = True
            watchdog.start()
        try:
            with self._write_lock:
                if self._stdin.closed:
                    raise ChildGone(self._obituary(), sent=False)
                write_frame(self._stdin.fileno(), REQUEST, body)
        except OSError:
            self.kill()
            raise ChildGone(self._obituary(), sent=True) from None
        finally:
            if watchdog is not None:
                watchdog.cancel()

    def _has_said_more(self) -> bool:
        """Tell whether an answer is there that nobody waits for: it must not be the next one's."""
        try:
            frame = self._replies.get_nowait()
        except queue.Empty:
            return False
        if frame is None:  # the end: every later caller hears it too
            self._replies.put(None)
        return frame is not None

    def collect(
        self, *, timeout_s: float, on_frame: Callable[[bytes], None] | None = None
    ) -> bytes:
        """Return the reply of the request sent before; the deadline covers all its parts."""
        deadline_s = time.monotonic() + timeout_s
        ended = False
        while True:
            left_s = 0.0 if ended else max(0.0, deadline_s - time.monotonic())
            try:
                frame = self._replies.get(timeout=left_s)
            except queue.Empty:
                ended = self.kill()
                if ended:  # what it wrote before it died still counts
                    continue
                raise ChildTimeout(
                    f"{self.name}: no answer within {timeout_s:.3g} s; killed, not ended yet",
                    ended=False,
                ) from None
            if frame is None:
                self._replies.put(None)  # every later caller hears it too
                if ended:
                    raise ChildTimeout(
                        f"{self.name}: no answer within {timeout_s:.3g} s; killed", ended=True
                    )
                raise ChildGone(self._obituary(), sent=True)
            kind, body = frame
            if kind == REPLY:
                return body
            if kind == ERROR:
                text = printable(body.decode(errors="backslashreplace"))
                raise ChildFailed(f"{self.name}: {text}")
            if on_frame is not None:
                on_frame(body)

    def kill(self) -> bool:
        """Kill the child's process group; return whether it is dead, waiting KILL_WAIT_S."""
        self._killed = True
        self._signal_group()
        return self._ended.wait(KILL_WAIT_S)

    def close(self, grace_s: float = 2.0) -> None:
        """Close the pipe, wait for the child to end by itself, kill it after `grace_s`."""
        if self._write_lock.acquire(timeout=grace_s):
            self._stdin.close()
            self._write_lock.release()
        if not self._ended.wait(grace_s):
            _log.warning("child_killed", child=self.name, after_s=grace_s)
            self.kill()
        if threading.current_thread() is not self._reader:
            self._reader.join(KILL_WAIT_S)

    def _obituary(self) -> str:
        code = self._process.returncode
        return f"{self.name}: ended" + ("" if code is None else f" with exit code {code}")

    def _signal_group(self) -> None:
        with self._kill_lock:
            if self._reaping:  # from here on the id may be another process's
                return
            if sys.platform == "win32":
                self._process.kill()
                return
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _read(self, fd: int) -> None:
        reader = FrameReader(partial(os.read, fd), max_frame=self._max_frame)
        try:
            while (frame := reader.read()) is not None:
                if frame[0] in (REPLY, PART, ERROR):
                    if self._replies.qsize() >= _FRAMES_MAX:
                        raise ValueError(f"{_FRAMES_MAX:,} frames that nobody asked for")
                    self._replies.put(frame)
                else:
                    self._dispatch(frame)
        except ValueError as error:
            _log.error("child_stream_corrupt", child=self.name, error=str(error))
        self._reap()

    def _dispatch(self, frame: tuple[int, bytes]) -> None:
        if frame[0] != EVENT or self._on_event is None:
            return
        try:
            self._on_event(frame[1])
        except Exception as error:  # border: thread; what it carried is lost, so the child goes
            _log.exception("child_event_failed", child=self.name)
            raise ValueError(f"an event was not taken: {described(error)}") from None

    def _reap(self) -> None:
        # The exit code of a process that is already ending is not changed by this signal; one
        # that only closed its pipe must not live on.
        self._signal_group()
        with self._kill_lock:
            self._reaping = True
        _living.discard(self._process.pid)
        code = self._process.wait()
        with self._write_lock:  # a writer to a dead child fails at once
            self._stdin.close()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._replies.put(None)
        self._ended.set()
        if self._on_exit is not None:
            try:
                self._on_exit(code)
            except Exception:
                _log.exception("child_exit_failed", child=self.name)


def _start(
    module: str, argv: Sequence[str], log_path: Path | None, env: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", module, *argv]
    if log_path is None:
        return spawn(command, stderr=None, env=env)
    with open_log(log_path) as log:
        return spawn(command, stderr=log, env=env)


def open_log(path: Path) -> IO[bytes]:
    """Open a child's log, a long one set aside; nothing where the disk does not let it be.

    The child matters more than what it says.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > _LOG_MAX_BYTES:
            path.replace(path.with_name(path.name + ".1"))
        return open_file(path)
    except OSError as error:
        _log.error("child_log_not_opened", path=str(path), error=error.strerror)
        return Path(os.devnull).open("ab")
