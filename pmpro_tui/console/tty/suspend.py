"""A console is stopped and goes on as the job that its shell knows, and draws all of itself anew.

Under `make run` that job is make, too, which waits for the console: the shell has its prompt only
once the whole process group is stopped, after the console has given the terminal back.
A console that was stopped without a word takes its terminal again as one that was suspended.
SIGSTOP gives no chance to give the terminal back. Textual's driver would then begin a second time
on top of the first: two readers of the same keys, and raw modes taken for those to go back to.
"""

import os
import signal
from collections.abc import Callable
from types import FrameType

from textual.driver import Driver

Handler = Callable[[int, FrameType | None], object]


def has_shell() -> bool:
    """Tell whether a shell runs this as a job: who leads a session has nobody to bring it back."""
    return not hasattr(os, "getsid") or os.getpgrp() != os.getsid(0)


def _stop_job() -> None:
    """Stop the process group: who leads it may wait for this process, as make does."""
    os.killpg(0, signal.SIGSTOP)


class Suspension:
    """Stands between SIGTSTP and SIGCONT and the driver's own handlers.

    `redraw`: all of it. `soon`: run something between two turns of the loop.
    """

    def __init__(
        self,
        driver: Driver,
        redraw: Callable[[], object],
        soon: Callable[[Callable[[], object]], object],
    ) -> None:
        self._driver = driver
        self._redraw = redraw
        self._soon = soon
        self._given_back = False
        self._go_on: Handler | None = None

    def listen(self) -> None:
        """Take the two signals over; on the main thread, once the driver has them."""
        stop, go_on = signal.getsignal(signal.SIGTSTP), signal.getsignal(signal.SIGCONT)
        if callable(stop) and callable(go_on):
            self._go_on = go_on
            signal.signal(signal.SIGTSTP, self._stopped)
            signal.signal(signal.SIGCONT, self._continued)

    def _stopped(self, _number: int, _frame: FrameType | None) -> None:
        if not self._given_back:
            self._given_back = True
            self._driver.suspend_application_mode()
        _stop_job()

    def _continued(self, number: int, frame: FrameType | None) -> None:
        assert self._go_on is not None
        try:
            if os.tcgetpgrp(0) != os.getpgrp():  # `bg`: the terminal is another's
                _stop_job()
                return
        except OSError:  # the line is gone: SIGHUP says so
            return
        if self._given_back:
            self._given_back = False
            self._go_on(number, frame)
            self._redraw()
        else:
            # What was interrupted may be a write: its lock is held until it goes on.
            self._soon(self._take_again)

    def _take_again(self) -> None:
        assert self._go_on is not None
        self._driver.suspend_application_mode()
        self._go_on(signal.SIGCONT, None)
        self._redraw()
