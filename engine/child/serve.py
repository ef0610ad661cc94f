"""The child's side: answer requests from the parent until its pipe closes.

The child ignores SIGINT and SIGHUP (the operator's keys are the parent's business) and ends when
stdin ends, at the latest EOF_GRACE_S later even if a handler is stuck. A handler stuck in C code
that holds the GIL defeats that; on Linux the kernel then kills the child when its parent dies
(best effort: the host's lock file remains the guard against two hosts).
"""

import contextlib
import ctypes
import os
import queue
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from engine.child.confinement import harden
from engine.child.frames import ERROR, EVENT, PART, REPLY, FrameReader, write_frame
from engine.child.output import take_streams
from engine.child.printed import clean_streams, print_traceback
from engine.model.printable import described

EOF_GRACE_S = 1.0
EXIT_STUCK = 70
_PR_SET_PDEATHSIG = 1

Handler = Callable[[bytes], bytes | Iterator[bytes]]
Idle = Callable[[], Iterable[bytes]]


def serve(
    handler: Handler,
    *,
    idle: Idle | None = None,
    idle_s: float = 0.01,
    after: Callable[[], None] = lambda: None,
) -> None:
    """Answer frames with `handler` until the parent closes the pipe.

    `handler` returns the reply, or an iterator whose items go out one by one as they are made.
    What it raises becomes the caller's ChildFailed; the child lives on. `idle` is called between
    requests, at most every `idle_s`, however busy the parent is; what it yields are events.
    `after` is called when a reply is out.
    """
    prepare_process()
    requests_fd, replies_fd = claim_pipes()
    inbox = _inbox(requests_fd)
    next_idle_s = time.monotonic() + idle_s
    # A parent that is gone ends the stream of requests as well; writing to it is no error.
    with contextlib.suppress(BrokenPipeError):
        while True:
            wait_s = None if idle is None else max(0.0, next_idle_s - time.monotonic())
            try:
                body = inbox.get(timeout=wait_s)
            except queue.Empty:
                pass
            else:
                if body is None:
                    return
                _answer(replies_fd, handler, body)
                after()
            if idle is not None and time.monotonic() >= next_idle_s:
                for event in _event_frames(idle):
                    write_frame(replies_fd, EVENT, event)
                next_idle_s = time.monotonic() + idle_s


def _answer(fd: int, handler: Handler, body: bytes) -> None:
    for kind, frame in _reply_frames(handler, body):
        write_frame(fd, kind, frame)


def _reply_frames(handler: Handler, body: bytes) -> Iterator[tuple[int, bytes]]:
    # A generator, so that this border sees the handler's errors and not those of the pipe.
    try:
        reply = handler(body)
        if isinstance(reply, bytes):
            yield REPLY, reply
        else:
            for part in reply:
                yield PART, part
            yield REPLY, b""
    except Exception as error:
        print_traceback(error)
        yield ERROR, described(error).encode()


def _event_frames(idle: Idle) -> Iterator[bytes]:
    try:
        yield from idle()
    except Exception as error:
        print_traceback(error)


class _Pipe:
    """The parent's requests, read by the thread that answers them: no other one is waited for."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._reader = FrameReader(partial(os.read, fd))

    def get(self, *, timeout: float | None) -> bytes | None:
        """Return the next request, None at the end; queue.Empty when none comes in time."""
        if timeout is not None and not self._reader.buffered:
            ready, _, _ = select.select([self._fd], [], [], timeout)
            if not ready:
                raise queue.Empty
        return _next_request(self._reader)


def _inbox(fd: int) -> "_Pipe | queue.SimpleQueue[bytes | None]":
    """Return where requests come from; from now on the end of the pipe is the end of us."""
    inbox: _Pipe | queue.SimpleQueue[bytes | None]
    if hasattr(select, "poll"):
        inbox = _Pipe(fd)
        watcher = threading.Thread(target=_wait_for_end, args=(fd,), daemon=True)
    else:
        inbox = queue.SimpleQueue()
        watcher = threading.Thread(target=_read_requests, args=(fd, inbox), daemon=True)
    watcher.start()
    return inbox


def _next_request(reader: FrameReader) -> bytes | None:
    try:
        frame = reader.read()
    except ValueError as error:
        print_traceback(error)
        return None
    return None if frame is None else frame[1]


def _wait_for_end(fd: int) -> None:
    poll = select.poll()
    poll.register(fd, 0)  # for nothing but the closing of the other end
    poll.poll()
    _end_soon()


def _read_requests(fd: int, inbox: "queue.SimpleQueue[bytes | None]") -> None:
    """Where the end of a pipe cannot be waited for (Windows): read it to its end."""
    reader = FrameReader(partial(os.read, fd))
    while (body := _next_request(reader)) is not None:
        inbox.put(body)
    inbox.put(None)
    _end_soon()


def _end_soon() -> None:
    """Give the main thread a moment to end by itself."""
    time.sleep(EOF_GRACE_S)
    os._exit(EXIT_STUCK)


def prepare_process() -> None:
    """Leave the operator's keys to the parent, keep secrets, and end with the parent.

    The kernel sees to the last where it can.
    """
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    harden()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def claim_pipes() -> tuple[int, int]:
    """Take stdin and stdout for frames alone: what the code prints goes to the log, cleaned.

    The log may be full, and its reader gone: none of the code's threads waits for it.
    """
    requests_fd, replies_fd = os.dup(0), os.dup(1)
    nothing_fd = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing_fd, 0)
    os.close(nothing_fd)
    os.dup2(2, 1)
    take_streams()
    clean_streams()
    return requests_fd, replies_fd
