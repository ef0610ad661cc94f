"""The writer thread: journal rows to PostgreSQL, in order, each exactly once.

How far it has come is written in the transaction that moves, so a crash at any point repeats
nothing. With the database away it keeps trying and the rows wait in the journal; the engine never
notices. A row that PostgreSQL refuses is tried once more with the characters written out that no
database holds. One that is refused for its values goes to `writer_rejects`, the others go on, and
it is said: one of the audit trail is missing there.
"""

import contextlib
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
import psycopg
import structlog
from sqlalchemy import URL, Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError

from engine.model.backoff import Backoff
from engine.model.printable import storable_record
from engine.model.records import AuditRow, JournalEntry
from engine.store.connection import first_line, lazy_engine
from engine.store.rows import KnownRows, RowStore
from engine.store.tables import WriterRejectTable, WriterStateTable

POLL_S = 0.1
BATCH_ROWS = 500
TELL_S = 60.0
BACKOFF_MIN_S = 0.25
BACKOFF_MAX_S = 15.0
STATEMENT_S = 60
# The longest that a `rest` lasts: whoever asked for it may have been lost.
REST_MOST_S = 2.0

# SQLSTATE classes that say the row is at fault, not the database: 21 cardinality (a key twice in
# one statement), 22 data, 23 integrity. https://www.postgresql.org/docs/current/errcodes-appendix
_ROW_FAULTS = ("21", "22", "23")

_log = structlog.get_logger(__name__)


class RowSource(Protocol):
    """Where rows wait; used by the writer's thread alone once it has started."""

    journal_id: str

    def entries(self, after_seq: int, limit: int) -> list[JournalEntry]:
        """Return up to `limit` rows after a place, oldest first."""

    def trim(self, up_to_seq: int) -> None:
        """Drop the rows up to a place."""

    def backlog(self) -> int:
        """Return how many rows wait."""


class WriterStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the writer last knew. `status`: "ok", "stopped" or "away: reason"."""

    status: str
    backlog: int
    n_moved: int
    n_rejected: int
    n_failures: int


class Writer:
    """Moves one journal's outbox to one database until stopped; never raises into the engine.

    `on_reject` hears on the writer's thread, at most once in TELL_S, what was refused: the level
    of an event and its text. `clock`: monotonic, nanoseconds.
    """

    def __init__(
        self,
        outbox: RowSource,
        url: str | URL,
        *,
        poll_s: float = POLL_S,
        batch_rows: int = BATCH_ROWS,
        backoff_max_s: float = BACKOFF_MAX_S,
        on_reject: Callable[[str, str], object] = lambda level, text: None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._on_reject = on_reject
        self._refused: Counter[str] = Counter()
        self._why_refused = ""
        self._tell_at_s = 0.0
        self._outbox = outbox
        self._engine = lazy_engine(url)
        self._poll_s = poll_s
        self._batch_rows = batch_rows
        self._backoff = Backoff(BACKOFF_MIN_S, backoff_max_s, clock)
        self._stopping = threading.Event()
        self._stop_at: float | None = None
        self._wake = threading.Event()
        self._may_move = threading.Event()
        self._may_move.set()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._journal_id = uuid.UUID(outbox.journal_id)
        self._seen = KnownRows()
        self._moved_seq = self._backlog = 0
        self._n_moved = self._n_rejected = self._n_failures = 0
        self._status = WriterStatus(status="ok", backlog=0, n_moved=0, n_rejected=0, n_failures=0)

    @property
    def status(self) -> WriterStatus:
        """The newest status, from any thread."""
        return self._status

    def start(self) -> None:
        """Begin moving."""
        self._thread.start()

    def rest(self) -> None:
        """Begin no move until `wake`: the processor is needed for something urgent."""
        self._may_move.clear()

    def wake(self) -> None:
        """Look at the outbox now rather than at the next poll."""
        self._may_move.set()
        self._wake.set()

    def stop(self, flush_s: float = 5.0) -> bool:
        """Move what is left, for at most `flush_s`, and stop; True if nothing is left.

        What is left stays in the journal for the next start.
        """
        self._stop_at = time.monotonic() + flush_s
        self._stopping.set()
        self.wake()
        if self._thread.ident is not None:
            # One statement may outlast the deadline; the thread is a daemon.
            self._thread.join(flush_s + 1.0)
        return self._status.backlog == 0

    def _run(self) -> None:
        while True:
            self._may_move.wait(REST_MOST_S)
            stopping = self._stopping.is_set()  # before the look: what came until then is moved
            try:
                moved = self._move_batch()
            except Exception as e:
                self._note_failure(e)
                if self._stopping.wait(self._backoff.failed()):
                    time.sleep(POLL_S)
            else:
                self._note("ok")
                self._tell_refused()
                self._backoff.succeeded()
                if not moved:
                    if stopping:
                        break
                    self._wake.wait(self._poll_s)
                    self._wake.clear()
            if self._stop_at is not None and time.monotonic() > self._stop_at:
                break
        self._tell_at_s = 0.0
        self._tell_refused()
        self._engine.dispose()
        self._note("stopped")

    def _move_batch(self) -> bool:
        """Move the next rows; False if there are none."""
        entries = self._outbox.entries(self._moved_seq, self._batch_rows)
        if not entries:
            return False
        try:
            self._store(entries, one_by_one=False)
        except Exception as e:
            self._seen.clear()
            if not _is_row_fault(e):
                raise
            self._store(entries, one_by_one=True)
        self._outbox.trim(entries[-1].seq)
        self._moved_seq = entries[-1].seq
        return True

    def _store(self, entries: Sequence[JournalEntry], *, one_by_one: bool) -> None:
        rejected: Counter[str] = Counter()
        with self._engine.begin() as connection:
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{STATEMENT_S}s'")
            last_seq = self._last_seq(connection)
            fresh = [entry for entry in entries if entry.seq > last_seq]
            if one_by_one:
                rejected = self._store_each(connection, fresh)
            else:
                RowStore(connection, self._seen).store([entry.record for entry in fresh])
            if fresh:
                connection.execute(
                    update(WriterStateTable)
                    .where(WriterStateTable.journal_id == self._journal_id)
                    .values(last_seq=fresh[-1].seq, updated_at=func.now())
                )
        self._n_moved += len(fresh) - sum(rejected.values())
        self._n_rejected += sum(rejected.values())
        self._refused += rejected

    def _store_each(self, connection: Connection, entries: Sequence[JournalEntry]) -> Counter[str]:
        rejected: Counter[str] = Counter()
        for entry in entries:
            try:
                with connection.begin_nested():
                    RowStore(connection, self._seen).store([storable_record(entry.record)])
            except Exception as e:
                self._seen.clear()
                if not _is_row_fault(e):
                    raise
                rejected[type(entry.record).__name__] += 1
                self._reject(connection, entry, _reason(e))
        return rejected

    def _tell_refused(self) -> None:
        """Say what was refused since it was said last."""
        if not self._refused or time.monotonic() < self._tell_at_s:
            return
        self._tell_at_s = time.monotonic() + TELL_S
        audit = self._refused[AuditRow.__name__]
        n, why = self._refused.total(), self._why_refused
        if audit:
            what = f"{audit} audit entr{'y was' if audit == 1 else 'ies were'}"
            missing = "what they say is missing in the audit trail"
        else:
            what = f"{n} row{' was' if n == 1 else 's were'}"
            missing = ", ".join(sorted(self._refused))
        level = "critical" if audit else "error"
        self._refused.clear()
        self._on_reject(
            level, f"{what} refused by the database ({why}): {missing}; kept in writer_rejects"
        )

    def _reject(self, connection: Connection, entry: JournalEntry, reason: str) -> None:
        kind = type(entry.record).__name__
        if kind == AuditRow.__name__ or not self._refused[AuditRow.__name__]:
            self._why_refused = reason
        _log.error("row_rejected", kind=kind, seq=entry.seq, reason=reason)
        row = {
            "journal_id": self._journal_id,
            "seq": entry.seq,
            "kind": kind,
            "record": msgspec.json.encode(storable_record(entry.record)).decode(),
            "error": reason.replace("\0", ""),
        }
        connection.execute(insert(WriterRejectTable).values(row).on_conflict_do_nothing())

    def _last_seq(self, connection: Connection) -> int:
        """Return how far this journal is moved, and hold that until the transaction ends."""
        first = {"journal_id": self._journal_id, "last_seq": 0}
        connection.execute(insert(WriterStateTable).values(first).on_conflict_do_nothing())
        query = select(WriterStateTable.last_seq).where(
            WriterStateTable.journal_id == self._journal_id
        )
        return connection.execute(query.with_for_update()).scalar_one()

    def _note_failure(self, error: Exception) -> None:
        self._n_failures += 1
        if self._status.status == "ok":
            _log.warning("database_away", reason=_reason(error))
        self._note(f"away: {_reason(error)}")

    def _note(self, status: str) -> None:
        if status == "ok" and self._status.status.startswith("away"):
            _log.info("database_back")
        with contextlib.suppress(Exception):  # the count is a nicety
            self._backlog = self._outbox.backlog()
        self._status = WriterStatus(
            status=status,
            backlog=self._backlog,
            n_moved=self._n_moved,
            n_rejected=self._n_rejected,
            n_failures=self._n_failures,
        )


def _is_row_fault(error: Exception) -> bool:
    if isinstance(error, DBAPIError):
        state = getattr(error.orig, "sqlstate", None)
        # psycopg itself refuses some values before they are sent: no state.
        return state[:2] in _ROW_FAULTS if state else isinstance(error.orig, psycopg.DataError)
    return isinstance(error, StatementError | ValueError | TypeError | OverflowError)


def _reason(error: Exception) -> str:
    if isinstance(error, SQLAlchemyError):
        return first_line(error)
    return f"{type(error).__name__}: {error}".splitlines()[0]
