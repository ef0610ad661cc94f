"""The local journal: intents, outcomes, core state and goals, durable before they matter.

SQLite in WAL mode with synchronous=FULL: `Journal.commit` returns only when its rows survive a
power cut. One transaction a call, so an outcome, its records and the core's state stand or fall
together. Rows for PostgreSQL wait in the outbox until the writer thread has moved them; it reads
them over its own connection (`Outbox`), which never makes the engine wait for a disk flush.

`Journal` belongs to the engine thread; a lock makes a stray call from another thread safe.
"""

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from engine.execution.journal_file import TIDY_BYTES, checksum, connect, hold, meta, open_file
from engine.model.errors import JournalError, StateError
from engine.model.orders import BECOMES, Intent, IntentState, Outcome
from engine.model.records import BarsRow, JournalEntry, PositionsRow, Record

# A week without PostgreSQL of 5 symbols, 100 strategies and a metrics row a minute.
OUTBOX_MAX_ROWS = 500_000
TRIM_ROWS = 2_000


def _plain(value: Any) -> Any:
    # Details of an audit row must never stop a commit: NumPy's scalars as numbers, others as text.
    return value.item() if hasattr(value, "item") else str(value)


_encode = msgspec.msgpack.Encoder(enc_hook=_plain).encode
_decode_intent = msgspec.msgpack.Decoder(Intent).decode
_decode_outcome = msgspec.msgpack.Decoder(Outcome).decode
_decode_record = msgspec.msgpack.Decoder(Record).decode


class CoreState(NamedTuple):
    """The core's saved state: its sequence number, its bytes and what the engine adds."""

    seq: int
    blob: bytes
    extra: bytes = b""


class Outbox:
    """The journal's rows for PostgreSQL, over a connection of its own; any one thread at a time.

    A trim is not flushed to disk: losing one repeats a move, which changes nothing.
    """

    def __init__(self, path: Path) -> None:
        self._db = connect(path)
        try:
            self._db.execute("PRAGMA synchronous=NORMAL")
            self.journal_id = meta(self._db, "journal_id", path)
        except sqlite3.Error as e:
            self._db.close()
            raise StateError(f"{path}: not a journal ({e})") from e

    def entries(self, after_seq: int, limit: int) -> list[JournalEntry]:
        """Return up to `limit` rows after `after_seq`, oldest first."""
        rows = self._db.execute(
            "SELECT seq, record FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?", (after_seq, limit)
        ).fetchall()
        return [JournalEntry(seq, _decode_record(record)) for seq, record in rows]

    def trim(self, up_to_seq: int) -> None:
        """Drop the rows up to `up_to_seq`, a few at a time so that a commit never waits long."""
        while True:
            with self._db:
                n_gone = self._db.execute(
                    "DELETE FROM outbox WHERE seq IN"
                    " (SELECT seq FROM outbox WHERE seq <= ? ORDER BY seq LIMIT ?)",
                    (up_to_seq, TRIM_ROWS),
                ).rowcount
            if n_gone < TRIM_ROWS:
                return

    def backlog(self) -> int:
        """Return the rows waiting, or a little more: counted by sequence numbers."""
        return _backlog(self._db)

    def close(self) -> None:
        """Close the connection; the rows stay."""
        self._db.close()


class Journal:
    """The engine's journal file; one process at a time holds it."""

    def __init__(
        self, path: Path, *, durable: bool = True, outbox_max_rows: int = OUTBOX_MAX_ROWS
    ) -> None:
        self.path = path
        self.n_dropped = 0
        self._n_logged_bytes = 0
        self._outbox_max_rows = outbox_max_rows
        self._mutex = threading.RLock()
        self._held = hold(path)
        try:
            self._db = open_file(path, durable=durable)
            self.journal_id = meta(self._db, "journal_id", path)
        except BaseException:
            self._held.close()
            raise

    def commit(
        self,
        *,
        intents: Sequence[Intent] = (),
        outcomes: Sequence[Outcome] = (),
        records: Sequence[Record] = (),
        core: CoreState | None = None,
        flags: Mapping[str, Any] | None = None,
    ) -> None:
        """Write everything given in one transaction; durable when this returns.

        Raises:
            JournalError: nothing of it is in the journal (disk full, an intent id used twice,
                an outcome of no intent, or one that cannot follow what is known).
        """
        with self._transaction():
            for intent in intents:
                row = (intent.id, int(IntentState.CREATED), intent.created_ns, _encode(intent))
                self._db.execute(
                    "INSERT INTO intents (id, state, created_ns, intent, crc)"
                    " VALUES (?, ?, ?, ?, ?)",
                    (*row, checksum(*row, None)),
                )
            for outcome in outcomes:
                self._settle(outcome)
            self._append(records)
            if core is not None:
                self._n_logged_bytes += len(core.blob) + len(core.extra)
                self._db.execute(
                    "REPLACE INTO core (one, seq, blob, extra, hash) VALUES (1, ?, ?, ?, ?)",
                    (*core, _digest(core)),
                )
            for key, value in (flags or {}).items():
                flag = (key, json.dumps(value))
                self._db.execute(
                    "REPLACE INTO flags (key, value, crc) VALUES (?, ?, ?)",
                    (*flag, checksum(*flag)),
                )

    def tidy(self) -> None:
        """Move a long log into the file, and so have the next commit write it anew.

        It takes some flushes: for moments at which no order waits.
        """
        if self._n_logged_bytes < TIDY_BYTES:
            return
        self._n_logged_bytes = 0
        with self._mutex, suppress(sqlite3.Error):  # then it stays in the log
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def unsettled(self) -> list[Intent]:
        """Return intents that may be live at the broker: CREATED or UNKNOWN, oldest first."""
        rows = self._rows("SELECT intent FROM intents WHERE state IN (0, 4) ORDER BY id")
        return [_decode_intent(row[0]) for row in rows]

    def intent(self, intent_id: int) -> tuple[Intent, Outcome | None] | None:
        """Return an intent and its latest outcome."""
        rows = self._rows("SELECT intent, outcome FROM intents WHERE id = ?", intent_id)
        return _with_outcome(rows[0]) if rows else None

    def intents_since(self, created_ns: int) -> list[tuple[Intent, Outcome | None]]:
        """Return intents created at or after a time, with their latest outcomes, oldest first."""
        rows = self._rows(
            "SELECT intent, outcome FROM intents WHERE created_ns >= ? ORDER BY id", created_ns
        )
        return [_with_outcome(row) for row in rows]

    def last_intent_id(self) -> int:
        """Return the highest intent id ever written, 0 for none."""
        return int(self._rows("SELECT coalesce(max(id), 0) FROM intents")[0][0])

    def prune(self, settled_before_ns: int) -> None:
        """Forget settled intents created before a time; the newest intent always stays."""
        with self._transaction():
            self._db.execute(
                "DELETE FROM intents WHERE created_ns < ? AND state NOT IN (0, 4)"
                " AND id < (SELECT max(id) FROM intents)",
                (settled_before_ns,),
            )

    def load_core(self) -> CoreState | None:
        """Return the last saved state of the core, None before the first."""
        rows = self._rows("SELECT seq, blob, extra, hash FROM core")
        if not rows:
            return None
        core = CoreState(*rows[0][:3])
        if _digest(core) != rows[0][3]:
            raise StateError(
                f"{self.path}: the saved core state fails its checksum; move the file away and"
                " start again: positions are then taken from the terminal"
            )
        return core

    def flags(self) -> dict[str, Any]:
        """Return the persisted goals (kill, halt, flatten) and other flags."""
        return {key: json.loads(value) for key, value in self._rows("SELECT key, value FROM flags")}

    def backlog(self) -> int:
        """Return the rows PostgreSQL has not got yet, or a little more."""
        with self._mutex:
            return _backlog(self._db)

    def close(self) -> None:
        """Close the file and release it."""
        with self._mutex:
            self._db.close()
            self._held.close()

    def _settle(self, outcome: Outcome) -> None:
        found = self._db.execute(
            "SELECT state, created_ns, intent FROM intents WHERE id = ?", (outcome.intent_id,)
        ).fetchone()
        if found is None:
            raise JournalError(f"an outcome for intent {outcome.intent_id}, which does not exist")
        before = IntentState(found[0])
        if outcome.state not in BECOMES[before]:
            text = f"{before.name} cannot become {outcome.state.name}"
            raise JournalError(f"intent {outcome.intent_id}: {text}")
        state, told = int(outcome.state), _encode(outcome)
        crc = checksum(outcome.intent_id, state, *found[1:], told)
        self._db.execute(
            "UPDATE intents SET state = ?, outcome = ?, crc = ? WHERE id = ?",
            (state, told, crc, outcome.intent_id),
        )

    def _append(self, records: Iterable[Record]) -> None:
        for record in records:
            positions = isinstance(record, PositionsRow)
            if isinstance(record, BarsRow) and _backlog(self._db) >= self._outbox_max_rows:
                self.n_dropped += 1  # the terminal has them; trades and audit always fit
                continue
            if positions:  # only the newest matters, so the outbox holds one
                self._db.execute("DELETE FROM outbox WHERE positions")
            row = (int(positions), _encode(record))
            self._db.execute(
                "INSERT INTO outbox (positions, record, crc) VALUES (?, ?, ?)",
                (*row, checksum(*row)),
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._mutex:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield
                    self._db.execute("COMMIT")
                except BaseException:
                    if self._db.in_transaction:  # SQLite may have rolled back by itself
                        self._db.execute("ROLLBACK")
                    raise
            except sqlite3.Error as e:
                raise JournalError(f"{self.path}: {e}; nothing was written") from e

    def _rows(self, sql: str, *values: int) -> list[Any]:
        with self._mutex:
            try:
                return self._db.execute(sql, values).fetchall()
            except sqlite3.Error as e:
                raise JournalError(f"{self.path}: {e}") from e


def _digest(core: CoreState) -> bytes:
    head = f"{core.seq} {len(core.blob)} {len(core.extra)} ".encode()
    return sha256(head + core.blob + core.extra).digest()


def _with_outcome(row: tuple[bytes, bytes | None]) -> tuple[Intent, Outcome | None]:
    return _decode_intent(row[0]), None if row[1] is None else _decode_outcome(row[1])


def _backlog(db: sqlite3.Connection) -> int:
    # Both ends of the key: no scan, whatever is waiting.
    first, last = db.execute(
        "SELECT (SELECT min(seq) FROM outbox), (SELECT max(seq) FROM outbox)"
    ).fetchone()
    return 0 if first is None else int(last - first + 1)
