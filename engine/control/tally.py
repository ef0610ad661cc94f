"""What clients sent and the engine did not do, counted by kind; any thread."""

import threading
from collections import Counter
from typing import Literal

Kind = Literal[
    "malformed",
    "huge",
    "replayed",
    "stale",
    "disorder",
    "role",
    "token",
    "stranger",
    "rate",
    "flood",
    "child",
]
"""Not a request, too long a frame, an id used again for another command, older than allowed,
overtaken by a newer command, a role that is too low, no personal token, a user without a role,
too many commands, too many connections, a process that the engine itself has started."""


class RefusalTally:
    """Counts refusals since the engine's start."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, kind: Kind) -> None:
        """Count one."""
        with self._lock:
            self._counts[kind] += 1

    def counts(self) -> dict[str, int]:
        """Return what was counted, by kind."""
        with self._lock:
            return dict(self._counts)
