"""What waits for the engine thread: batches, the latest quotes, jobs from other threads.

Bounded: quotes collapse to the newest per symbol, and batches beyond the bound lose their place
but not their bars, which travel with the next one. Jobs have two lanes, so that who fills one
keeps nobody of the other out, and a turn takes some of each, so that no batch waits for all.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

import msgspec

from engine.model.broker import MarketUpdate, Quote
from engine.model.errors import PmproError, TryAgain

BATCHES_MAX = 256
JOBS_MAX = 256
"""Of each lane."""
JOBS_A_TURN = 16
"""Of each lane."""


class Work(NamedTuple):
    """Everything taken from the inbox at once. `update`: quotes collapsed, None if nothing came."""

    jobs: list[Callable[[], None]]
    batches: list[MarketUpdate]
    update: MarketUpdate | None


class Inbox:
    """Filled by any thread, emptied by the engine thread."""

    def __init__(self) -> None:
        self._ready = threading.Condition()
        self._once: dict[str, tuple[Future[Any], Callable[[], None]]] = {}
        self._urgent: deque[Callable[[], None]] = deque()
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

    def run(self, job: Callable[[], Any], *, urgent: bool = False) -> Future[Any]:
        """Have `job` run on the engine thread; the future has its result or exception.

        `urgent`: in the lane that goes first.

        Raises:
            TryAgain: the lane is full.
        """
        future, work = _job(job)
        with self._ready:
            lane = self._urgent if urgent else self._jobs
            if len(lane) >= JOBS_MAX:
                raise TryAgain("the engine is too busy to take this: send it anew")
            lane.append(work)
            self._ready.notify()
        return future

    def once(self, name: str, job: Callable[[], Any]) -> Future[Any]:
        """Have the job of that name run at the next turn, before all others: once for all who ask
        until then, who share its future. There is always room for it.
        """
        with self._ready:
            if name not in self._once:
                self._once[name] = _job(job)
                self._ready.notify()
            return self._once[name][0]

    def take(self, timeout_s: float) -> Work:
        """Return what has come, waiting at most `timeout_s` for something."""
        with self._ready:
            if not (self._once or self._urgent or self._jobs or self._batches or self._newest):
                self._ready.wait(timeout_s)
            jobs = [work for _, work in self._once.values()]
            for lane in (self._urgent, self._jobs):
                jobs += [lane.popleft() for _ in range(min(JOBS_A_TURN, len(lane)))]
            work = Work(jobs, list(self._batches), self._collapsed())
            self._once.clear()
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


def _job(job: Callable[[], Any]) -> tuple[Future[Any], Callable[[], None]]:
    """Return the future of a job, and what does it."""
    future: Future[Any] = Future()

    def work() -> None:
        try:
            future.set_result(job())
        except Exception as e:  # border: who asked is on another thread
            future.set_exception(e)
            if not isinstance(e, PmproError):
                raise  # what it has changed is not known: the engine must hear of it too

    return future, work


def _joined(older: MarketUpdate, newer: MarketUpdate) -> MarketUpdate:
    names = older.bars.keys() | newer.bars.keys()
    bars = {name: older.bars.get(name, b"") + newer.bars.get(name, b"") for name in sorted(names)}
    return msgspec.structs.replace(newer, bars=bars)
