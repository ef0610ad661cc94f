"""Everything of a step in one journal transaction: intents, outcomes, rows, the core's state."""

from collections.abc import Callable, Sequence
from typing import Any

from engine.execution.journal import CoreState, Journal
from engine.model.errors import JournalError
from engine.model.orders import Intent, Outcome
from engine.model.records import AuditRow, Record
from engine.runtime.events import EventLog


class Recorder:
    """Collects what a step did and commits it; what cannot be written waits for the next try.

    A journal that cannot be written stops entries (their intents cannot be written either), never
    a close.
    """

    def __init__(self, journal: Journal, events: EventLog, now_ns: Callable[[], int]) -> None:
        self._journal = journal
        self._events = events
        self._now_ns = now_ns
        self._seq = 0
        self._intents: list[Intent] = []
        self._outcomes: list[Outcome] = []
        self._records: list[Record] = []
        self._flags: dict[str, Any] = {}

    def add(self, *records: Record) -> None:
        """Record rows with the next save."""
        self._records += records

    def audit(
        self,
        event_type: str,
        details: dict[str, Any],
        *,
        actor: str = "SYSTEM",
        status: str = "SUCCESS",
    ) -> None:
        """Record an audit entry with the next save."""
        self.add(
            AuditRow(
                time_ns=self._now_ns(),
                event_type=event_type,
                actor=actor,
                details=details,
                status=status,
            )
        )

    def flag(self, **flags: Any) -> None:
        """Persist goals with the next save."""
        self._flags |= flags

    def start_after(self, seq: int) -> None:
        """Number the next states above a restored one."""
        self._seq = seq

    def begin(self, intents: Sequence[Intent]) -> bool:
        """Make intents durable before the first is sent; False where that failed."""
        try:
            self._journal.commit(intents=intents)
        except JournalError as e:
            self._events.add("critical", "journal", str(e))
            self._intents += intents
            return False
        return True

    def save(self, blob: bytes, extra: bytes, outcomes: Sequence[Outcome] = ()) -> None:
        """Commit everything collected with the core's state."""
        self._seq += 1
        self._outcomes += outcomes
        try:
            self._journal.commit(
                intents=self._intents,
                outcomes=self._outcomes,
                records=self._records,
                core=CoreState(self._seq, blob, extra),
                flags=self._flags,
            )
        except JournalError as e:
            self._events.add("critical", "journal", str(e))
            return
        for collected in (self._intents, self._outcomes, self._records, self._flags):
            collected.clear()
