"""Results of commands, kept so that a resend runs once."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from engine.control.kept import KeptByUser
from engine.model.times import NS_PER_S
from engine.model.views.snapshot import Command, Reply

KEPT_S = 600
KEPT_MAX = 5_000
"""Of each user."""

Key = tuple[int, str, str]
"""(uid, client id, command id)."""


class _Entry:
    __slots__ = ("content", "done", "reply", "started_ns")

    def __init__(self, content: bytes, started_ns: int) -> None:
        self.content = content
        self.started_ns = started_ns
        self.done = threading.Event()
        self.reply = Reply(ok=False, text="still running", failure="failed")


class Results:
    """Replies by key for ten minutes; a second caller waits for the first one's reply."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._kept: KeptByUser[tuple[str, str], _Entry] = KeptByUser()

    def once(
        self, key: Key, command: Command, run: Callable[[], Reply], *, wait_s: float
    ) -> Reply | None:
        """Return the reply of `run`, called once per key however often this is asked.

        None: the key stands for another command.
        """
        content, uid, place = _digest(command), key[0], key[1:]
        with self._lock:
            entries = self._kept.of(uid)
            self._forget_old(entries)
            entry = entries.get(place)
            first = entry is None
            if entry is None:
                entry = entries[place] = _Entry(content, self._now_ns())
        if not first:
            if entry.content != content:
                return None
            entry.done.wait(wait_s)
            return entry.reply
        try:
            entry.reply = run()
        finally:
            entry.done.set()
        return entry.reply

    def _forget_old(self, entries: OrderedDict[tuple[str, str], _Entry]) -> None:
        """Forget what is old or too much; what still runs is kept, or a resend would run twice."""
        oldest_ns = self._now_ns() - KEPT_S * NS_PER_S
        gone: list[tuple[str, str]] = []
        for place, entry in entries.items():
            if entry.started_ns >= oldest_ns and len(entries) - len(gone) < KEPT_MAX:
                break
            if entry.done.is_set():
                gone.append(place)
        for place in gone:
            del entries[place]


def _digest(command: Command) -> bytes:
    # Thousands are kept, and one may carry a whole portfolio.
    return hashlib.blake2b(msgspec.msgpack.encode(command), digest_size=16).digest()
