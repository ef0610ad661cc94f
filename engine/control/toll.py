"""What clients may take of the engine: token buckets, by process and by user.

A request costs the processor time that it took. Who has spent its allowance waits before its next
request, so that a flood is slowed down and nobody else is; a command waits a moment at most,
whoever sends it. What one process spends beyond its own allowance is not taken from its user's:
another process of the same user is served as before.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, NamedTuple, TypeVar

from engine.control.peer import Credentials

K = TypeVar("K")

KEYS_MAX: Final = 1024
# The longest that an overdrawn client waits before a request is served.
COMMAND_WAIT_MOST_S: Final = 0.25
LOOK_WAIT_MOST_S: Final = 2.0


class Allowance(NamedTuple):
    """So much a second, and so much at once after a pause."""

    per_s: float
    at_once: float


# Seconds of processor time. A console of 200 strategies takes 0.02 a second.
PROCESS_TIME: Final = Allowance(0.1, 0.5)
USER_TIME: Final = Allowance(0.2, 1.0)
# A console or a script may name each of 200 strategies. Kill, halt and flatten beyond it wait, no
# longer than any command does; other commands beyond it are refused.
PROCESS_COMMANDS: Final = Allowance(20.0, 240.0)
USER_COMMANDS: Final = Allowance(40.0, 480.0)
PROCESS_CONNECTIONS: Final = Allowance(50.0, 200.0)
USER_CONNECTIONS: Final = Allowance(200.0, 800.0)


class Buckets(Generic[K]):
    """A bucket a key, full at first; the one that was touched longest ago is forgotten."""

    def __init__(self, allowance: Allowance, keys_max: int = KEYS_MAX) -> None:
        self._allowance = allowance
        self._keys_max = keys_max
        self._levels: OrderedDict[K, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._levels)

    def level(self, key: K, now_s: float) -> float:
        """Return what is left; below zero is overdrawn."""
        per_s, at_once = self._allowance
        level, at_s = self._levels.get(key, (at_once, now_s))
        return min(at_once, level + per_s * (now_s - at_s))

    def take(self, key: K, cost: float, now_s: float) -> None:
        """Take `cost`, whether or not it is there; no debt is deeper than the bucket."""
        level = max(self.level(key, now_s) - cost, -self._allowance.at_once)
        self._levels[key] = (level, now_s)
        self._levels.move_to_end(key)
        if len(self._levels) > self._keys_max:
            self._levels.popitem(last=False)

    def wait_s(self, key: K, now_s: float) -> float:
        """Return how long until it is not overdrawn."""
        return max(0.0, -self.level(key, now_s) / self._allowance.per_s)


class _Pair:
    """Buckets of processes, and of their users for what the processes' own allowances cover."""

    def __init__(self, process: Allowance, user: Allowance) -> None:
        self._processes: Buckets[tuple[int, int]] = Buckets(process)
        self._users: Buckets[int] = Buckets(user)

    def take(self, who: Credentials, cost: float, now_s: float) -> None:
        if self._processes.level((who.uid, who.pid), now_s) >= 0.0:
            self._users.take(who.uid, cost, now_s)
        self._processes.take((who.uid, who.pid), cost, now_s)

    def has(self, who: Credentials, now_s: float) -> bool:
        process = self._processes.level((who.uid, who.pid), now_s)
        return process >= 1.0 and self._users.level(who.uid, now_s) >= 1.0

    def wait_s(self, who: Credentials, now_s: float) -> float:
        process = self._processes.wait_s((who.uid, who.pid), now_s)
        return max(process, self._users.wait_s(who.uid, now_s))


class Toll:
    """The allowances of one engine's clients; any thread."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._time = _Pair(PROCESS_TIME, USER_TIME)
        self._commands = _Pair(PROCESS_COMMANDS, USER_COMMANDS)
        self._kills = _Pair(PROCESS_COMMANDS, USER_COMMANDS)
        self._connections = _Pair(PROCESS_CONNECTIONS, USER_CONNECTIONS)

    def wait_s(self, who: Credentials, *, command: bool) -> float:
        """Return how long a client's next request has to wait."""
        with self._lock:
            wait_s = self._time.wait_s(who, self._monotonic_s())
        return min(wait_s, COMMAND_WAIT_MOST_S if command else LOOK_WAIT_MOST_S)

    def charge(self, who: Credentials, spent_s: float) -> None:
        """Take the processor time of a request that was served."""
        with self._lock:
            self._time.take(who, spent_s, self._monotonic_s())

    def may_command(self, who: Credentials) -> bool:
        """Count a command; False where there have been too many."""
        return self._count(self._commands, who)

    def kill_wait_s(self, who: Credentials) -> float:
        """Count a kill, halt or flatten; return how long it has to wait."""
        now_s = self._monotonic_s()
        with self._lock:
            wait_s = self._kills.wait_s(who, now_s)
            self._kills.take(who, 1.0, now_s)
        return min(wait_s, COMMAND_WAIT_MOST_S)

    def may_connect(self, who: Credentials) -> bool:
        """Count a connection; False where there have been too many."""
        return self._count(self._connections, who)

    def _count(self, pair: _Pair, who: Credentials) -> bool:
        now_s = self._monotonic_s()
        with self._lock:
            allowed = pair.has(who, now_s)
            if allowed:
                pair.take(who, 1.0, now_s)
        return allowed
