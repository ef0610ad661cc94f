"""The alerts in the state directory: what is not delivered or acknowledged outlives a restart."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec
import structlog

from engine.notify.records import Alert

log = structlog.get_logger(__name__)

_BUSY_S = 1.0
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Alert).decode


class AlertStore:
    """A SQLite file with one row an alert; the caller sees to one thread at a time.

    A damaged file is set aside, and without a disk alerts are not kept: neither yesterday's alerts
    nor today's disk may keep an engine from starting.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.loaded: list[Alert] = []
        self._db: sqlite3.Connection | None = None
        try:
            self._db = _open_sound(path)
            self.loaded = _load(self._db)
        except (sqlite3.Error, OSError) as error:
            log.error("alerts_not_kept", path=str(path), error=str(error))

    def save(self, changed: Sequence[Alert], forgotten: Sequence[int]) -> None:
        """Write alerts, durably and all or none.

        Raises:
            sqlite3.Error: the disk is full or broken.
        """
        if not (changed or forgotten):
            return
        if self._db is None:
            raise sqlite3.OperationalError("the file could not be opened at the start")
        with self._db:
            self._db.executemany(
                "INSERT OR REPLACE INTO alerts (id, body) VALUES (?, ?)",
                [(alert.id, _encode(alert)) for alert in changed],
            )
            self._db.executemany("DELETE FROM alerts WHERE id = ?", [(i,) for i in forgotten])

    def close(self) -> None:
        """Close the file."""
        if self._db is not None:
            self._db.close()


def _open_sound(path: Path) -> sqlite3.Connection:
    """Return the file opened; a damaged one is set aside and a new one begun."""
    try:
        return _open(path)
    except sqlite3.OperationalError:  # locked, full, not allowed: it may be sound
        raise
    except sqlite3.DatabaseError as error:
        log.error("alerts_set_aside", path=str(path), error=str(error))
        path.replace(path.with_name(path.name + ".damaged"))
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        return _open(path)


def _load(db: sqlite3.Connection) -> list[Alert]:
    alerts = []
    for alert_id, body in db.execute("SELECT id, body FROM alerts ORDER BY id"):
        try:
            alerts.append(_decode(body))
        except msgspec.MsgspecError as error:
            log.error("alert_unreadable", alert=alert_id, error=str(error))
    return alerts


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_BUSY_S, check_same_thread=False)
    try:
        path.chmod(0o600)
        (state,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if state != "ok":
            raise sqlite3.DatabaseError(state)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE IF NOT EXISTS alerts (id INTEGER PRIMARY KEY, body BLOB NOT NULL)")
        db.commit()
    except (sqlite3.Error, OSError):
        db.close()
        raise
    return db
