"""What clients asked, on its way to the audit trail: bounded however much they ask, and complete.

The first of equal commands has a row of its own at once, as have the first few that were obeyed.
What repeats is counted; every FOLD_S one more row says how often, with the first and the last
time. Of a user's commands so many are told apart; beyond them all are counted together.
"""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from engine.control.messages import Actor
from engine.model.printable import printable
from engine.model.times import NS_PER_S, iso_utc
from engine.model.views.snapshot import Command

FOLD_S = 10
KINDS_OF_ONE_MAX = 64
KINDS_MAX = 4096
OBEYED_ROWS = 5
TEXT_KEPT_CHARS = 1000
_Key = tuple[int, str, str, str, str, bool]
"""(uid, person, command, target, result, whether it was obeyed)."""


class AuditedCommand(NamedTuple):
    """A row to be: `details` are an audit entry's."""

    actor: str
    status: str
    details: dict[str, Any]


class _Repeats:
    """What came of one key since `began_ns`; `count` have no row yet."""

    def __init__(self, began_ns: int) -> None:
        self.began_ns = self.first_ns = self.last_ns = began_ns
        self.n_rows = self.count = 0
        self.newest: AuditedCommand | None = None


class CommandAudit:
    """Filled by any thread, emptied by the engine thread. `now_ns`: the box's clock."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._rows: list[AuditedCommand] = []
        self._repeats: dict[_Key, _Repeats] = {}
        self._n_kinds: Counter[int] = Counter()
        self._look_ns = 0

    def count(
        self, command: Command, actor: Actor, result: str, *, ok: bool
    ) -> AuditedCommand | None:
        """Count a command and what became of it; return its own row to be put, None for none."""
        now_ns = self._now_ns()
        status = "SUCCESS" if ok else "FAILED"
        row = AuditedCommand(actor.name, status, command_details(command, actor, result))
        with self._lock:
            repeats = self._of((actor.uid, actor.person, command.name, command.target, result, ok))
            if repeats.n_rows < (OBEYED_ROWS if ok else 1):
                repeats.n_rows += 1
                return row
            repeats.first_ns = repeats.first_ns if repeats.count else now_ns
            repeats.last_ns, repeats.newest = now_ns, row
            repeats.count += 1
        return None

    def put(self, row: AuditedCommand) -> None:
        """Have a row written down with the next ones."""
        with self._lock:
            self._rows.append(row)

    def take(self, *, everything: bool = False) -> list[AuditedCommand]:
        """Return the rows that are due; `everything`: all that is counted, whatever its age."""
        now_ns = self._now_ns()
        with self._lock:
            rows, self._rows = self._rows, []
            if everything or now_ns >= self._look_ns:
                self._look_ns = now_ns + NS_PER_S
                oldest_ns = now_ns if everything else now_ns - FOLD_S * NS_PER_S
                rows += self._close_windows(oldest_ns, now_ns)
        return rows

    def _close_windows(self, oldest_ns: int, now_ns: int) -> list[AuditedCommand]:
        rows = []
        for key, repeats in list(self._repeats.items()):
            if repeats.began_ns > oldest_ns:
                continue
            if repeats.newest is None:
                self._n_kinds[key[0]] -= 1
                del self._repeats[key]
                continue
            counted = {
                "count": repeats.count,
                "first": iso_utc(repeats.first_ns),
                "last": iso_utc(repeats.last_ns),
            }
            rows.append(repeats.newest._replace(details={**repeats.newest.details, **counted}))
            repeats.began_ns, repeats.count, repeats.newest = now_ns, 0, None
        self._n_kinds += Counter()  # forgets whoever has none
        return rows

    def _of(self, key: _Key) -> _Repeats:
        """Return a key's counts: its own, its user's for the rest, or everybody's."""
        for place in (key, (key[0], "", "", "", "", key[-1]), (-1, "", "", "", "", key[-1])):
            if (known := self._repeats.get(place)) is not None:
                return known
            is_rest = place != key
            room = self._n_kinds[place[0]] < KINDS_OF_ONE_MAX + is_rest * 2
            if place[0] < 0 or (room and len(self._repeats) < KINDS_MAX):
                repeats = self._repeats[place] = _Repeats(self._now_ns())
                self._n_kinds[place[0]] += 1
                if is_rest:
                    repeats.n_rows = OBEYED_ROWS
                return repeats
        raise AssertionError("everybody's place is always to be had")


def command_details(command: Command, actor: Actor, result: str) -> dict[str, Any]:
    """Return what the audit trail keeps of a command; `result` is what the sender was told."""
    return {
        "command": command.name,
        "target": command.target,
        "value": command.value,
        "text": printable(command.text, TEXT_KEPT_CHARS),
        "result": printable(result),
        "uid": actor.uid,
        "pid": actor.pid,
        "user": actor.user,
        "role": actor.role,
        "tty": actor.tty,
        "ssh": actor.ssh,
    }
