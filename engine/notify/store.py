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

    A file that cannot be read is set aside: yesterday's alerts must not keep an engine from
    starting.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._db = _open(path)
            self.loaded = self._load()
        except sqlite3.DatabaseError as error:
            log.error("alerts_set_aside", path=str(path), error=str(error))
            path.replace(path.with_name(path.name + ".damaged"))
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            self._db = _open(path)
            self.loaded = []

    def _load(self) -> list[Alert]:
        alerts = []
        for alert_id, body in self._db.execute("SELECT id, body FROM alerts ORDER BY id"):
            try:
                alerts.append(_decode(body))
            except msgspec.MsgspecError as error:
                log.error("alert_unreadable", alert=alert_id, error=str(error))
        return alerts

    def save(self, changed: Sequence[Alert], forgotten: Sequence[int]) -> None:
        """Write alerts, durably and all or none.

        Raises:
            sqlite3.Error: the disk is full or broken.
        """
        if not (changed or forgotten):
            return
        with self._db:
            self._db.executemany(
                "INSERT OR REPLACE INTO alerts (id, body) VALUES (?, ?)",
                [(alert.id, _encode(alert)) for alert in changed],
            )
            self._db.executemany("DELETE FROM alerts WHERE id = ?", [(i,) for i in forgotten])

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_BUSY_S, check_same_thread=False)
    try:
        path.chmod(0o600)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE IF NOT EXISTS alerts (id INTEGER PRIMARY KEY, body BLOB NOT NULL)")
        db.commit()
    except sqlite3.DatabaseError:
        db.close()
        raise
    return db
