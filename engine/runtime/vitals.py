"""What the engine's thread cannot tell of itself: that it, its log or its feed stands still.

A thread of its own says so, in events: consoles, alerts and the log have them whatever is stuck.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from engine.child.output import OutputState
from engine.trading.events import EventLog

LOOK_S: Final = 1.0
SILENT_S: Final = 30.0
"""A turn of the engine that takes longer is said, as is a feed: nothing is decided meanwhile."""
WELL_S: Final = 5.0
"""A log that works for so long works again."""

_log = structlog.get_logger(__name__)


class Vitals:
    """Looks every second.

    Args:
        events: what is told.
        log: how the log is.
        turn_s: how long the engine's thread has been in its turn.
        feed_s: how long a terminal host that is connected has said nothing, heartbeats included.
        say: told in a line, beside the log, that the log is not taken.
    """

    def __init__(
        self,
        events: EventLog,
        *,
        log: Callable[[], OutputState],
        turn_s: Callable[[], float],
        feed_s: Callable[[], float] = lambda: 0.0,
        say: Callable[[str], None] = lambda text: None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._events = events
        self._log_state = log
        self._turn_s = turn_s
        self._feed_s = feed_s
        self._say = say
        self._monotonic_s = monotonic_s
        self._dropped = 0
        self._log_trouble = False
        self._well_since_s = 0.0
        self._silent = self._feed_silent = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vitals", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._stop.set()

    def look(self) -> None:
        """Look once."""
        self._look_at_log()
        self._look_at_engine()
        self._look_at_feed()

    def _look_at_log(self) -> None:
        state, now_s = self._log_state(), self._monotonic_s()
        if state.trouble:
            self._well_since_s = now_s
            if not self._log_trouble:
                self._log_trouble, self._dropped = True, state.n_dropped
                text = f"{state.name} is not written: {state.trouble}; trading goes on without it"
                self._say(text)
                self._events.add("error", "log", text)
        elif self._log_trouble and now_s - self._well_since_s >= WELL_S:
            self._log_trouble = False
            n = state.n_dropped - self._dropped
            self._events.add("info", "log", f"{state.name} is written again; {n} line(s) are lost")

    def _look_at_engine(self) -> None:
        turn_s = self._turn_s()
        if turn_s >= SILENT_S and not self._silent:
            self._silent = True
            text = f"the engine's thread has been silent for {turn_s:.0f} s: it neither decides"
            self._events.add("critical", "engine", f"{text} nor sends")
        elif turn_s < SILENT_S and self._silent:
            self._silent = False
            self._events.add("warning", "engine", "the engine's thread goes on")

    def _look_at_feed(self) -> None:
        feed_s = self._feed_s()
        if feed_s >= SILENT_S and not self._feed_silent:
            self._feed_silent = True
            text = f"the terminal host has sent nothing for {feed_s:.0f} s: nothing is marked or"
            self._events.add("critical", "terminal", f"{text} decided; see logs/terminal-host.log")
        elif feed_s < SILENT_S and self._feed_silent:
            self._feed_silent = False
            self._events.add("warning", "terminal", "the terminal host sends again")

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            try:
                self.look()
            except Exception:  # border: thread
                _log.exception("vitals_failed")
