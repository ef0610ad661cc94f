"""A console that is told to end leaves the terminal as it was, and never outlives its line.

Without a handler SIGTERM and SIGHUP would leave the terminal in the alternate screen, without a
cursor and with the mouse's reports. On a line that is gone the last writes may wait for ever: then
the process ends all the same.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Callable

LEAVE_S = 5.0
_NAMES = ("SIGTERM", "SIGHUP")


class HangUp:
    """Has `leave` called with the name of the signal that tells this process to end."""

    def __init__(self, leave: Callable[[str, int], None]) -> None:
        self._leave = leave
        self._ended = threading.Event()

    def listen(self) -> None:
        """Take the signals on the running loop, also those that were ignored, as by nohup."""
        loop = asyncio.get_running_loop()
        for name in _NAMES:
            if hasattr(signal, name):
                number = getattr(signal, name)
                loop.add_signal_handler(number, self._told, name, int(number))

    def ended(self) -> None:
        """Say that the screen has been left: whatever comes now may take its time."""
        self._ended.set()

    def _told(self, name: str, number: int) -> None:
        threading.Thread(target=self._make_sure, args=(128 + number,), daemon=True).start()
        self._leave(name, 128 + number)

    def _make_sure(self, code: int) -> None:
        if not self._ended.wait(LEAVE_S):
            os._exit(code)
