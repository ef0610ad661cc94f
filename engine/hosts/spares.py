"""Hosts that could take any other's place at once: they have every strategy, fed."""

import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Final

from engine.hosts.builder import Builder, Built, Plan

RETRY_S: Final = 0.1
"""After a host that could not be made, until the next try."""


class Spares:
    """Up to `n_spares` hosts, ready or being made so."""

    def __init__(self, builder: Builder, n_spares: int) -> None:
        self._builder = builder
        self._n_spares = n_spares
        self._building: list[Future[Built]] = []

    def fill(self, plan: Plan, at_least: int = 0) -> None:
        """Begin to make what is missing."""
        while plan.strategies and len(self._building) < max(self._n_spares, at_least):
            self._building.append(self._builder.begin(plan))

    def take(self, plan: Plan, until_s: float) -> Built | None:
        """Return the first that is ready; None when there is none in time. Its place is filled."""
        while (left_s := until_s - time.monotonic()) > 0.0:
            self.fill(plan, at_least=1)
            done, _ = wait(self._building, timeout=left_s, return_when=FIRST_COMPLETED)
            for future in done:
                self._building.remove(future)
                if _is_ready(future):
                    self.fill(plan)
                    return future.result()
            if any(f.exception() or f.result().worker is None for f in done):  # none can be made
                time.sleep(min(RETRY_S, max(0.0, until_s - time.monotonic())))
        return None

    def drop(self) -> None:
        """End them all, those that are still being made when they are ready."""
        for future in self._building:
            future.add_done_callback(_close)
        self._building = []


def _is_ready(future: "Future[Built]") -> bool:
    worker = None if future.exception() else future.result().worker
    if worker is not None and not worker.alive:
        worker.close()
        return False
    return worker is not None


def _close(future: "Future[Built]") -> None:
    if _is_ready(future):
        worker = future.result().worker
        assert worker is not None
        worker.close()
