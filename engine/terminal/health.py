"""How calls to the terminal go: counts and times by operation, and those of late."""

import threading
from collections import deque
from statistics import median
from typing import Final

import msgspec

# Enough to show the last seconds of a busy engine.
_KEPT: Final = 256


class OpStats(msgspec.Struct, kw_only=True):
    """How often an operation was asked, how often it failed, how long it took."""

    n_calls: int = 0
    n_failed: int = 0
    total_s: float = 0.0
    worst_s: float = 0.0


class CallLog:
    """Counts of every call since the start; any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stats: dict[str, OpStats] = {}
        self._latest_s: deque[float] = deque(maxlen=_KEPT)
        self._n_failed = 0

    def note(self, name: str, took_s: float, *, failed: bool) -> None:
        """Count one call."""
        with self._lock:
            item = self._stats.setdefault(name, OpStats())
            item.n_calls += 1
            item.n_failed += failed
            item.total_s += took_s
            item.worst_s = max(item.worst_s, took_s)
            self._n_failed += failed
            self._latest_s.append(took_s)

    def stats(self) -> dict[str, OpStats]:
        """Return counts and times by operation."""
        with self._lock:
            return {name: msgspec.structs.replace(item) for name, item in self._stats.items()}

    def latest(self) -> tuple[float, float, int]:
        """Return median and worst of the latest calls in seconds, and all failures so far."""
        with self._lock:
            latest_s = list(self._latest_s)
            n_failed = self._n_failed
        return (median(latest_s), max(latest_s), n_failed) if latest_s else (0.0, 0.0, n_failed)
