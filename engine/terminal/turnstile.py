"""One at a time, the most urgent waiter first."""

import heapq
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

CLOSING: Final = 0
ORDER: Final = 1
READ: Final = 2


class Turnstile:
    """A lock whose waiters pass by priority (lower first), then in order of arrival."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._waiting: list[tuple[int, int]] = []
        self._arrivals = itertools.count()
        self._busy = False

    @contextmanager
    def turn(self, priority: int, *, timeout_s: float) -> Iterator[None]:
        """Hold the turn; TimeoutError when it does not come in time."""
        ticket = (priority, next(self._arrivals))
        with self._condition:
            heapq.heappush(self._waiting, ticket)
            came = self._condition.wait_for(
                lambda: not self._busy and self._waiting[0] == ticket, max(0.0, timeout_s)
            )
            self._waiting.remove(ticket)
            heapq.heapify(self._waiting)
            if not came:
                self._condition.notify_all()
                raise TimeoutError(f"no turn within {timeout_s:.3g} s")
            self._busy = True
        try:
            yield
        finally:
            with self._condition:
                self._busy = False
                self._condition.notify_all()
