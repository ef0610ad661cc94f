"""The event log that consoles show: bounded, numbered, and mirrored to the JSON log."""

import threading
from collections import deque
from collections.abc import Callable

import structlog

from engine.model.printable import printable, printable_name
from engine.model.views.snapshot import EventView

EVENTS_KEPT = 500


class EventLog:
    """Newest events, oldest first; any thread may add."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._events: deque[EventView] = deque(maxlen=EVENTS_KEPT)
        self._seq = 0
        self._listener: Callable[[EventView], None] = lambda event: None
        self._log = structlog.get_logger("engine")

    def listen(self, listener: Callable[[EventView], None]) -> None:
        """Have every event from now on; the listener must not wait."""
        self._listener = listener

    def add(self, level: str, source: str, text: str) -> None:
        """Add one event; `level` is debug, info, warning, error or critical.

        What it says may be another's words: from here on they are printable.
        """
        source, text = printable_name(source), printable(text)
        with self._lock:
            self._seq += 1
            event = EventView(
                seq=self._seq, time_ns=self._now_ns(), level=level, source=source, text=text
            )
            self._events.append(event)
        self._listener(event)
        getattr(self._log, level)(text, source=source)

    def newest(self) -> tuple[EventView, ...]:
        """Return the events kept."""
        with self._lock:
            return tuple(self._events)
