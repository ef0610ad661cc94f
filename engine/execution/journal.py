"""The local journal: intents, outcomes, core state and goals, durable before they matter.

SQLite in WAL mode with synchronous=FULL: `Journal.commit` returns only when its rows survive a
power cut. One transaction a call, so an outcome, its records and the core's state stand or fall
together. Rows for PostgreSQL wait in the outbox until the writer thread has moved them; it reads
them over its own connection (`Outbox`), which never makes the engine wait for a disk flush.

`Journal` belongs to the engine thread; a lock makes a call from another thread safe. `accept` is
the one that others are meant to call: what reduces risk at once is on disk before it is answered.
"""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from engine.execution.journal_file import (
    TIDY_BYTES,
    checksum,
    connect,
    damage,
    hold,
    is_damage,
    meta,
    open_file,
    reason_of,
)
from engine.model.errors import JournalError, StateError
from engine.model.orders import BECOMES, Intent, IntentState, Outcome
from engine.model.printable import storable_record
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


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """A command that is in force, and in no saved state of the core yet."""

    name: str
    target: str
    text: str
    user: str


_decode_accepted = msgspec.msgpack.Decoder(Accepted).decode


class Outbox:
    """The journal's rows for PostgreSQL, over a connection of its own; any one thread at a time.

    A trim is not flushed to disk: losing one repeats a move, which changes nothing. `on_damage`
    hears why the file is not what was written; nothing is moved from there on.
    """

    def __init__(
        self, path: Path, *, on_damage: Callable[[str], object] = lambda reason: None
    ) -> None:
        self._path = path
        self._on_damage = on_damage
        self._db = connect(path)
        try:
            self._db.execute("PRAGMA synchronous=NORMAL")
            self.journal_id = meta(self._db, "journal_id", path)
        except sqlite3.Error as e:
            self._db.close()
            raise StateError(f"{path}: not a journal ({e})") from e

    def entries(self, after_seq: int, limit: int) -> list[JournalEntry]:
        """Return up to `limit` rows after `after_seq`, oldest first.

        Raises:
            JournalError: the file is damaged.
        """
        try:
            rows = self._db.execute(
                "SELECT seq, positions, record, crc FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?",
                (after_seq, limit),
            ).fetchall()
            last = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'")
            last_seq = (last.fetchone() or (0,))[0]
        except (sqlite3.Error, UnicodeDecodeError) as e:
            if is_damage(e):
                self._on_damage(reason_of(e))
            raise JournalError(f"{self._path}: {reason_of(e)}") from e
        entries = []
        for seq, positions, record, crc in rows:
            whole = isinstance(record, bytes) and crc in (None, checksum(positions, record))
            if not (whole and after_seq < seq <= last_seq):
                reason = f"row {seq} of the outbox is not as it was written"
                self._on_damage(reason)
                raise JournalError(damage(self._path, reason))
            entries.append(JournalEntry(seq, _decode_record(record)))
            after_seq = seq
        return entries

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
    """The engine's journal file; one process at a time holds it.

    `damage` says what was found damaged since it was opened, "" for nothing: no entry may be begun.
    """

    def __init__(
        self, path: Path, *, durable: bool = True, outbox_max_rows: int = OUTBOX_MAX_ROWS
    ) -> None:
        self.path = path
        self.n_dropped = 0
        self.damage = ""
        self._n_backlog = 0
        self._n_logged_bytes = 0
        # Accepted commands that no saved state has, each with its number.
        self._accepted: dict[Accepted, int] = {}
        self._outbox_max_rows = outbox_max_rows
        self._mutex = threading.RLock()
        self._held = hold(path)
        try:
            self._db = open_file(path, durable=durable)
            self.journal_id = meta(self._db, "journal_id", path)
            self._accepted = dict(self._accepted_rows())
        except BaseException:
            self._held.close()
            raise
        self.last_accepted = max(self._accepted.values(), default=0)

    def commit(
        self,
        *,
        intents: Sequence[Intent] = (),
        outcomes: Sequence[Outcome] = (),
        records: Sequence[Record] = (),
        core: CoreState | None = None,
        flags: Mapping[str, Any] | None = None,
        accepted_up_to: int = 0,
    ) -> None:
        """Write everything given in one transaction; durable when this returns.

        `accepted_up_to`: the newest accepted command that the core's state has in it.

        Raises:
            JournalError: nothing of it is in the journal (disk full, an intent id used twice,
                an outcome of no intent, or one that cannot follow what is known).
        """
        with self._transaction():
            for intent in intents:
                row = (intent.id, int(IntentState.CREATED), intent.created_ns, _encoded(intent))
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
            if core is not None and self._accepted:
                self._db.execute("DELETE FROM accepted WHERE seq <= ?", (accepted_up_to,))
        if core is not None and self._accepted:
            with self._mutex:
                left = {c: seq for c, seq in self._accepted.items() if seq > accepted_up_to}
                self._accepted = left

    def accept(self, command: Accepted, audit: Record | None, *, wait_s: float) -> bool:
        """Write down a command that is in force already, with its audit entry if it has one.

        Any thread.

        False where the same one is on disk and in no saved state yet: nothing was written.

        Raises:
            JournalError: it is not on disk; the journal cannot be written, or is in use for longer
                than `wait_s`.
        """
        if not self._mutex.acquire(timeout=wait_s):
            raise JournalError(f"{self.path}: in use for more than {wait_s:g} s")
        try:
            if command in self._accepted:
                return False
            row = _encoded(command)
            with self._transaction():
                done = self._db.execute(
                    "INSERT INTO accepted (command, crc) VALUES (?, ?)", (row, checksum(row))
                )
                self._append([] if audit is None else [audit])
            assert done.lastrowid is not None
            self._accepted[command] = self.last_accepted = done.lastrowid
            return True
        finally:
            self._mutex.release()

    def accepted(self) -> list[Accepted]:
        """Return the accepted commands that no saved state has, oldest first."""
        with self._mutex:
            return sorted(self._accepted, key=self._accepted.__getitem__)

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
        return [i for i, _ in self._intents("WHERE state IN (0, 4) ORDER BY id")]

    def intent(self, intent_id: int) -> tuple[Intent, Outcome | None] | None:
        """Return an intent and its latest outcome."""
        found = self._intents("WHERE id = ?", intent_id)
        return found[0] if found else None

    def last_intent_id(self) -> int:
        """Return the highest intent id ever written, 0 for none."""
        return int(self._rows("SELECT coalesce(max(id), 0) FROM intents")[0][0])

    def prune(self, settled_before_ns: int) -> None:
        """Forget settled intents created before a time; the newest, and damage, always stay."""
        with self._transaction():
            self._db.execute(
                "DELETE FROM intents WHERE created_ns < ? AND state NOT IN (0, 4)"
                " AND id < (SELECT max(id) FROM intents)"
                " AND (crc IS NULL OR crc = row_crc(id, state, created_ns, intent, outcome))",
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
            try:
                self._n_backlog = _backlog(self._db)
            except (
                sqlite3.Error,
                UnicodeDecodeError,
            ) as e:  # as it was last; whoever uses the file says what is wrong
                self._note(e)
            return self._n_backlog

    def found_damage(self, reason: str) -> JournalError:
        """Note that the file is not as it was written, on any thread; return an error for it."""
        self.damage = self.damage or damage(self.path, reason)
        return JournalError(self.damage)

    def close(self) -> None:
        """Close the file and release it."""
        with self._mutex:
            self._db.close()
            self._held.close()

    def _accepted_rows(self) -> Iterator[tuple[Accepted, int]]:
        for seq, row in self._rows("SELECT seq, command FROM accepted ORDER BY seq"):
            yield _decode_accepted(row), seq

    def _settle(self, outcome: Outcome) -> None:
        found = self._db.execute(
            "SELECT state, created_ns, intent, outcome, crc FROM intents WHERE id = ?",
            (outcome.intent_id,),
        ).fetchone()
        if found is None:
            raise JournalError(f"an outcome for intent {outcome.intent_id}, which does not exist")
        self._check_intent(outcome.intent_id, *found)
        before = IntentState(found[0])
        if outcome.state not in BECOMES[before]:
            text = f"{before.name} cannot become {outcome.state.name}"
            raise JournalError(f"intent {outcome.intent_id}: {text}")
        state, told = int(outcome.state), _encoded(outcome)
        crc = checksum(outcome.intent_id, state, *found[1:3], told)
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
            row = (int(positions), _encoded(record))
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
            except (sqlite3.Error, UnicodeDecodeError) as e:
                self._note(e)
                raise JournalError(f"{self.path}: {reason_of(e)}; nothing was written") from e

    def _note(self, error: Exception) -> None:
        if is_damage(error):
            self.found_damage(reason_of(error))

    def _intents(self, where: str, *values: int) -> list[tuple[Intent, Outcome | None]]:
        columns = "id, state, created_ns, intent, outcome, crc"
        rows = self._rows(f"SELECT {columns} FROM intents {where}", *values)  # noqa: S608
        for row in rows:
            self._check_intent(*row)
        return [
            (_decode_intent(told), None if outcome is None else _decode_outcome(outcome))
            for _, _, _, told, outcome, _ in rows
        ]

    def _check_intent(self, intent_id: int, *row: Any) -> None:
        *values, crc = row
        told = isinstance(values[2], bytes) and isinstance(values[3], bytes | None)
        if not told or crc not in (None, checksum(intent_id, *values)):
            raise self.found_damage(f"intent {intent_id} is not as it was written")

    def _rows(self, sql: str, *values: int) -> list[Any]:
        with self._mutex:
            try:
                return self._db.execute(sql, values).fetchall()
            except (sqlite3.Error, UnicodeDecodeError) as e:
                self._note(e)
                raise JournalError(f"{self.path}: {reason_of(e)}") from e


def _encoded(record: Any) -> bytes:
    """Return a record's bytes; a text of others with half a character keeps nothing from disk."""
    try:
        return _encode(record)
    except UnicodeEncodeError:
        return _encode(storable_record(record))


def _digest(core: CoreState) -> bytes:
    head = f"{core.seq} {len(core.blob)} {len(core.extra)} ".encode()
    return sha256(head + core.blob + core.extra).digest()


def _backlog(db: sqlite3.Connection) -> int:
    # Both ends of the key: no scan, whatever is waiting.
    first, last = db.execute(
        "SELECT (SELECT min(seq) FROM outbox), (SELECT max(seq) FROM outbox)"
    ).fetchone()
    return 0 if first is None else int(last - first + 1)
