"""A process that is told to end does end, whatever its main thread is stuck in.

Python runs signal handlers on the main thread alone: one that waits for a disk never hears of
SIGTERM. Here the kernel's word goes to a thread of its own.
"""

import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Final

import structlog

from engine.child.output import Stream

MOST_S: Final = 50.0
"""From the word to the end; `pmpro stop` waits a minute."""
EXIT_STUCK: Final = 70
_LOOK_S: Final = 1.0
_SIGNALS: Final = ("SIGTERM", "SIGINT", "SIGBREAK")

_log = structlog.get_logger(__name__)


class Ending:
    """Has `stop` called with a signal's name, and ends the process `most_s` after it was told to.

    Args:
        stop: asks the process to end; on a thread of its own, at every signal.
        stopping: whether it was asked to, also by others than a signal.
        most_s: how long it may take.
        abandon: what is still to be told to others when it took longer; must not wait.
    """

    def __init__(
        self,
        stop: Callable[[str], None],
        stopping: Callable[[], bool],
        *,
        most_s: float = MOST_S,
        abandon: Callable[[], None] = lambda: None,
    ) -> None:
        self._stop = stop
        self._stopping = stopping
        self._most_s = most_s
        self._abandon = abandon
        self._main = threading.get_ident()
        self._told, self._teller = socket.socketpair()
        self._told.setblocking(False)
        self._teller.setblocking(False)

    def listen(self) -> None:
        """Take the signals that end a process; on its main thread."""
        signal.set_wakeup_fd(self._teller.fileno(), warn_on_full_buffer=False)
        for name in _SIGNALS:
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), _noted)
        threading.Thread(target=self._run, name="ending", daemon=True).start()

    def _run(self) -> None:
        end_s: float | None = None
        while end_s is None or time.monotonic() < end_s:
            ready, _, _ = select.select([self._told], [], [], _LOOK_S)
            if ready:
                with contextlib.suppress(BlockingIOError):
                    self._hear(self._told.recv(64))
            if end_s is None and self._stopping():
                end_s = time.monotonic() + self._most_s
        self._end()

    def _hear(self, numbers: bytes) -> None:
        for number in numbers:
            name = signal.Signals(number).name
            if name in _SIGNALS:
                self._stop(name)

    def _end(self) -> None:
        """End the process at once, as a kill would: its state is on disk as it was last saved."""
        _log.critical("ended_by_force", after_s=self._most_s, stuck_in=self._where())
        with contextlib.suppress(Exception):  # border: nothing keeps the process alive now
            self._abandon()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, Stream):
                stream.output.close()
        os._exit(EXIT_STUCK)

    def _where(self) -> str:
        frame = sys._current_frames().get(self._main)
        calls = traceback.extract_stack(frame)[-3:] if frame is not None else []
        return " > ".join(f"{call.name} ({call.filename}:{call.lineno})" for call in calls)


def _noted(_number: int, _frame: object) -> None:
    """Do nothing here: the thread has heard it."""
