"""The broker's memory: an SQLite file, written before each reply and each broker-side deal.

A killed process loses nothing (WAL, synchronous=NORMAL: only a power cut could take the last
moments). On a disk that takes nothing the broker goes on all the same, as one elsewhere would: what
it did is written with its next change once there is room. One process at a time: the file stays
locked while it is open.
"""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from engine.model.errors import StateError
from engine.terminal.simulated.broker.state import AccountRecord, Deal, SimOrder, SimPosition

T = TypeVar("T")
_log = structlog.get_logger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS account (id INTEGER PRIMARY KEY CHECK (id = 1), body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS positions (ticket INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS orders (ticket INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS deals (ticket INTEGER PRIMARY KEY, body BLOB NOT NULL);
"""


_NO_ROOM = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
)
_encode = msgspec.json.encode


class SimLedger:
    """Account, positions, orders and deals on disk; `path` None keeps them in memory."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        # Of rows that are not written yet: the body by table and ticket, None for one that is gone.
        self._unwritten: dict[tuple[str, int], bytes | None] = {}
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            # The host serialises calls, but not always from the thread that made the object.
            self._db = sqlite3.connect(path or ":memory:", timeout=1.0, check_same_thread=False)
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_SCHEMA)
        except (sqlite3.Error, OSError) as error:
            raise StateError(f"broker ledger {path}: {error}") from error

    def account(self) -> AccountRecord | None:
        """Return the account as last written; None in a new ledger."""
        row = self._read("SELECT body FROM account", AccountRecord)
        return row[0] if row else None

    def positions(self) -> list[SimPosition]:
        """Return the open positions in ticket order."""
        return self._read("SELECT body FROM positions ORDER BY ticket", SimPosition)

    def orders(self) -> list[SimOrder]:
        """Return all filled orders in ticket order."""
        return self._read("SELECT body FROM orders ORDER BY ticket", SimOrder)

    def deals(self) -> list[Deal]:
        """Return all deals in ticket order."""
        return self._read("SELECT body FROM deals ORDER BY ticket", Deal)

    def write(
        self,
        account: AccountRecord,
        *,
        positions: Iterable[SimPosition] = (),
        closed: Iterable[int] = (),
        orders: Iterable[SimOrder] = (),
        deals: Iterable[Deal] = (),
    ) -> None:
        """Write a change as one transaction, with what waits; without room on the disk it waits.

        Raises:
            StateError: it can never be written; nothing of it is.
        """
        self._unwritten["account", 1] = _encode(account)
        self._unwritten |= {("positions", ticket): None for ticket in closed}
        for table, rows in (("positions", positions), ("orders", orders), ("deals", deals)):
            self._unwritten |= {(table, row.ticket): _encode(row) for row in rows}
        try:
            self._write_waiting()
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _NO_ROOM:
                raise StateError(f"broker ledger {self._path}: {error}") from error
            _log.error("broker_ledger_waits", rows=len(self._unwritten), error=str(error))

    def _write_waiting(self) -> None:
        with self._db as db:
            for (table, ticket), body in self._unwritten.items():
                key = "id" if table == "account" else "ticket"
                if body is None:
                    db.execute(f"DELETE FROM {table} WHERE {key} = ?", (ticket,))  # noqa: S608
                else:
                    row = (ticket, body)
                    db.execute(f"INSERT OR REPLACE INTO {table} VALUES (?, ?)", row)  # noqa: S608
        self._unwritten.clear()

    def close(self) -> None:
        """Close the file and release it."""
        self._db.close()

    def _read(self, query: str, kind: type[T]) -> list[T]:
        try:
            rows = self._db.execute(query).fetchall()
            return [msgspec.json.decode(body, type=kind) for (body,) in rows]
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            raise StateError(f"broker ledger {self._path} is damaged: {error}") from error
