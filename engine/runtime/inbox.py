"""What waits for the engine thread: batches, the latest quotes, jobs from other threads.

Bounded: quotes collapse to the newest per symbol, and batches beyond the bound lose their place
but not their bars, which travel with the next one.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

import msgspec

from engine.model.broker import MarketUpdate, Quote

BATCHES_MAX = 256
JOBS_MAX = 256


class Work(NamedTuple):
    """Everything taken from the inbox at once. `update`: quotes collapsed, None if nothing came."""

    jobs: list[Callable[[], None]]
    batches: list[MarketUpdate]
    update: MarketUpdate | None


class Inbox:
    """Filled by any thread, emptied by the engine thread."""

    def __init__(self) -> None:
        self._ready = threading.Condition()
        self._jobs: deque[Callable[[], None]] = deque()
        self._batches: deque[MarketUpdate] = deque()
        self._quotes: dict[str, Quote] = {}
        self._newest: MarketUpdate | None = None

    def market(self, update: MarketUpdate) -> None:
        """Take what the terminal host saw."""
        with self._ready:
            if update.batch_ns:
                if len(self._batches) >= BATCHES_MAX:
                    update = _joined(self._batches.pop(), update)
                self._batches.append(update)
            for quote in update.quotes:
                self._quotes[quote.symbol] = quote
            self._newest = update
            self._ready.notify()

    def run(self, job: Callable[[], Any]) -> Future[Any]:
        """Have `job` run on the engine thread; the future has its result or exception."""
        future: Future[Any] = Future()

        def work() -> None:
            try:
                future.set_result(job())
            except Exception as e:  # border: the job's thread is elsewhere
                future.set_exception(e)

        with self._ready:
            if len(self._jobs) >= JOBS_MAX:
                future.set_exception(RuntimeError("the engine is too busy to take this"))
                return future
            self._jobs.append(work)
            self._ready.notify()
        return future

    def take(self, timeout_s: float) -> Work:
        """Return what has come, waiting at most `timeout_s` for something."""
        with self._ready:
            if not (self._jobs or self._batches or self._newest):
                self._ready.wait(timeout_s)
            work = Work(list(self._jobs), list(self._batches), self._collapsed())
            self._jobs.clear()
            self._batches.clear()
            self._quotes.clear()
            self._newest = None
            return work

    def _collapsed(self) -> MarketUpdate | None:
        if self._newest is None:
            return None
        return msgspec.structs.replace(
            self._newest, batch_ns=0, bars={}, quotes=list(self._quotes.values())
        )


def _joined(older: MarketUpdate, newer: MarketUpdate) -> MarketUpdate:
    names = older.bars.keys() | newer.bars.keys()
    bars = {name: older.bars.get(name, b"") + newer.bars.get(name, b"") for name in sorted(names)}
    return msgspec.structs.replace(newer, bars=bars)
