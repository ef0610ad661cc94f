"""The journal's file: its tables, one holder, every row checksummed, damage refused at the start.

A start reads the whole file: SQLite's own check of pages and indexes, then each row's checksum. So
a changed byte is one line that says what to do, never a forgotten order. One that changes later is
found when its row is used.
"""

import os
import sqlite3
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from zlib import crc32

from engine.model.errors import StateError

FORMAT: Final = "2"
BUSY_S = 10.0
# SQLite itself tidies the log up at 4 MB, in the midst of a commit.
TIDY_BYTES = 1_000_000
# Flushing a file that grows takes several times as long: the log has its length from the start.
_LOG_BYTES = 4 * TIDY_BYTES
# A file that an outage of PostgreSQL has blown up is written anew, at a start.
COMPACT_BYTES = 64_000_000

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (
    key TEXT PRIMARY KEY, value TEXT NOT NULL, crc INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS intents (
    id INTEGER PRIMARY KEY, state INTEGER NOT NULL, created_ns INTEGER NOT NULL,
    intent BLOB NOT NULL, outcome BLOB, crc INTEGER);
CREATE INDEX IF NOT EXISTS intents_unsettled ON intents (id) WHERE state IN (0, 4);
CREATE INDEX IF NOT EXISTS intents_created ON intents (created_ns);
CREATE TABLE IF NOT EXISTS outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, positions INTEGER NOT NULL, record BLOB NOT NULL,
    crc INTEGER);
CREATE INDEX IF NOT EXISTS outbox_positions ON outbox (seq) WHERE positions;
CREATE TABLE IF NOT EXISTS core (
    one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL,
    blob BLOB NOT NULL, extra BLOB NOT NULL, hash BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS flags (
    key TEXT PRIMARY KEY, value TEXT NOT NULL, crc INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS accepted (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, command BLOB NOT NULL, crc INTEGER);
"""

# Counts rows whose checksum is another; rows of format 1 have none, which counts as none wrong.
_WRONG: Final = {
    "meta": "SELECT count(*) FROM meta WHERE crc != row_crc(key, value)",
    "intents": "SELECT count(*) FROM intents"
    " WHERE crc != row_crc(id, state, created_ns, intent, outcome)",
    "outbox": "SELECT count(*) FROM outbox WHERE crc != row_crc(positions, record)",
    "flags": "SELECT count(*) FROM flags WHERE crc != row_crc(key, value)",
    "accepted": "SELECT count(*) FROM accepted WHERE crc != row_crc(command)",
}
_OF_FORMAT_1: Final = ("meta", "intents", "outbox", "flags")
_UNWRITABLE: Final = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
)
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def checksum(*values: Any) -> int:
    """Return the checksum of a row's values, in the order of its columns."""
    crc = 0
    for value in values:
        part = value if isinstance(value, bytes) else str(value).encode()
        crc = crc32(b"%d:" % len(part) + part, crc)
    return crc


def connect(path: Path) -> sqlite3.Connection:
    """Open a connection that any one thread at a time may use."""
    return sqlite3.connect(path, timeout=BUSY_S, check_same_thread=False)


def hold(path: Path) -> sqlite3.Connection:
    """Hold an empty database beside the journal exclusively: portable, and freed by any death."""
    held = None
    try:
        held = sqlite3.connect(
            path.with_name(path.name + ".lock"),
            timeout=0,
            isolation_level=None,
            check_same_thread=False,
        )
        held.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as e:
        if held is not None:
            held.close()
        if _code(e) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            text = f"{path}: in use by another process, stop that engine first"
            raise StateError(text) from e
        raise _refusal(path, e) from e
    return held


def open_file(path: Path, *, durable: bool) -> sqlite3.Connection:
    """Open and check the journal, make it if there is none.

    Raises:
        StateError: it cannot be written, is damaged, or is of another version.
    """
    try:
        db = connect(path)
    except sqlite3.Error as e:
        raise _refusal(path, e) from e
    db.isolation_level = None
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute(f"PRAGMA synchronous={'FULL' if durable else 'OFF'}")
        found = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        _upgrade(db)
        db.executescript(_SCHEMA)
        _identify(db, path)
        _check_rows(db)
        if durable:
            _compact(db)
            _lengthen(path.with_name(path.name + "-wal"))
    except (sqlite3.Error, UnicodeDecodeError) as e:
        db.close()
        raise _refusal(path, e) from e
    except StateError:
        db.close()
        raise
    return db


def meta(db: sqlite3.Connection, key: str, path: Path) -> str:
    """Return what the file says of itself; StateError where it says nothing."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    if row is None:
        raise StateError(f"{path}: not a journal (no {key})")
    return str(row[0])


def _identify(db: sqlite3.Connection, path: Path) -> None:
    for key, value in (("journal_id", str(uuid.uuid4())), ("format", FORMAT)):
        row = (key, value, checksum(key, value))
        db.execute("INSERT OR IGNORE INTO meta (key, value, crc) VALUES (?, ?, ?)", row)
    written = meta(db, "format", path)
    if written != FORMAT:
        raise StateError(f"{path}: journal format {written}, this version reads {FORMAT}")


def _upgrade(db: sqlite3.Connection) -> None:
    """Give a journal of format 1 its checksums' columns."""
    tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    if "meta" not in tables:
        return
    if ("1",) not in db.execute("SELECT value FROM meta WHERE key = 'format'").fetchall():
        return
    db.execute("BEGIN IMMEDIATE")
    for table in _OF_FORMAT_1:
        db.execute(f"ALTER TABLE {table} ADD COLUMN crc INTEGER")
    db.execute("UPDATE meta SET value = ? WHERE key = 'format'", (FORMAT,))
    db.execute("COMMIT")


def _check_rows(db: sqlite3.Connection) -> None:
    db.create_function("row_crc", -1, checksum, deterministic=True)
    for table, count in _WRONG.items():
        wrong = db.execute(count).fetchone()[0]
        if wrong:
            raise sqlite3.DatabaseError(f"{wrong} row(s) of {table} fail their checksum")


def _compact(db: sqlite3.Connection) -> None:
    """Write a file anew that is mostly empty; a full disk leaves it as it is."""
    size, pages, free = (
        int(db.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_size", "page_count", "freelist_count")
    )
    if free * size < COMPACT_BYTES or 2 * free < pages:
        return
    with suppress(sqlite3.Error):
        db.execute("VACUUM")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _lengthen(log: Path) -> None:
    """Add zeros to the log; SQLite reads up to its last commit and writes over what follows."""
    with suppress(OSError), log.open("ab") as file:  # a full disk: it grows as it is written
        file.write(bytes(max(0, _LOG_BYTES - file.tell())))
        file.flush()
        os.fsync(file.fileno())


def is_damage(error: Exception) -> bool:
    """Tell whether an error of SQLite says that the file is no sound database."""
    # Python's own: a text that cannot be read.
    unread = isinstance(error, sqlite3.OperationalError) and not hasattr(error, "sqlite_errorcode")
    return unread or isinstance(error, UnicodeDecodeError) or _code(error) in _DAMAGED


def reason_of(error: Exception) -> str:
    """Return what an error of SQLite says, in a line."""
    if isinstance(error, UnicodeDecodeError):  # SQLite quotes a damaged name in its error
        return "a name in it cannot be read"
    return str(error).splitlines()[0]


def damage(path: Path, reason: str) -> str:
    """Return the line about a journal that was found damaged while an engine uses it."""
    remedy = "no entries; stop the engine, restore the file or move it away, then start again"
    return f"{path}: damaged in use ({reason}): {remedy}"


def _code(error: Exception) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _refusal(path: Path, error: Exception) -> StateError:
    reason = reason_of(error)
    if _code(error) in _UNWRITABLE:
        text = f"cannot be written ({reason}): see to the disk's space and the directory's rights"
        return StateError(f"{path}: {text}, then start again")
    return StateError(f"{path}: damaged journal ({reason}); restore it or move it away")
