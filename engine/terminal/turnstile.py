"""One at a time, the most urgent waiter first, and no long queues."""

import heapq
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

CLOSING: Final = 0
ORDER: Final = 1
READ: Final = 2
# What waits behind so many of its kind is stale before its turn comes.
WAITING_MOST: Final = 64


class Turnstile:
    """A lock whose waiters pass by priority (lower first), then in order of arrival.

    Closing is never turned away; of the others, at most WAITING_MOST of a kind wait.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._waiting: list[tuple[int, int]] = []
        self._arrivals = itertools.count()
        self._busy = False

    @property
    def n_waiting(self) -> int:
        """Calls that wait for their turn."""
        return len(self._waiting)

    @contextmanager
    def turn(self, priority: int, *, timeout_s: float) -> Iterator[None]:
        """Hold the turn; TimeoutError when it does not come in time, or too many wait for one."""
        ticket = (priority, next(self._arrivals))
        with self._condition:
            n_alike = sum(waiting[0] == priority for waiting in self._waiting)
            if priority != CLOSING and n_alike >= WAITING_MOST:
                raise TimeoutError(f"{n_alike} such calls wait already")
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
