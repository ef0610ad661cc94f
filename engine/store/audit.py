"""The audit chain: each entry's hash covers the one before, so a changed past shows.

PostgreSQL chains on insert (`sql/versions`); here the chain is computed again, independently.
Whoever owns the database could rewrite the whole chain, or cut its end off: only a head (an
entry's id and hash) that was noted elsewhere tells, and it proves the entries up to it.
"""

import json
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Literal, NamedTuple

import msgspec
from sqlalchemy import Text, cast, func, select
from sqlalchemy.orm import Session

from engine.model.errors import StoreError, UserError
from engine.model.times import NS_PER_S, from_datetime
from engine.store.tables import AuditHeadTable, AuditLogTable, WriterRejectTable

GENESIS = "0" * 64
_NS_PER_US = NS_PER_S // 1_000_000


class Head(NamedTuple):
    """Where the chain ends, or once ended: an entry's id and hash; 0 and zeros before the first."""

    id: int
    hash: str

    def __str__(self) -> str:
        return f"{self.id}:{self.hash}"


def head_of(text: str) -> Head:
    """Return a head as it is printed, `ID:HASH`.

    Raises:
        UserError: it is none.
    """
    found = re.fullmatch(r"(\d{1,18}):([0-9a-f]{64})", text.strip())
    if found is None:
        raise UserError(
            f"{text!r} is no ID:HASH of an audit entry, such as 12:{GENESIS[:6]}… with 64 digits"
        )
    return Head(int(found[1]), found[2])


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a head that was noted.

    "stands": the entries up to it are those of then. "differs": another entry is in its place.
    "missing": the trail ends before it. "unknown": the trail is broken before it.
    """

    id: int
    hash: str
    found: Literal["stands", "differs", "missing", "unknown"]


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What a check of the chain found.

    `entries` and `last_hash` are what the database says of its end. `first_broken_id`: of the first
    entry that is missing or not as it was written, None for none, and why. `n_rejected` entries
    were refused by the database when they were to be written: they are in no trail.
    """

    entries: int
    last_hash: str
    first_broken_id: int | None
    why: str
    expected: tuple[Expected, ...]
    n_rejected: int

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong with it."""
        stand = all(noted.found == "stands" for noted in self.expected)
        return self.first_broken_id is None and stand and not self.n_rejected

    @property
    def proved_id(self) -> int:
        """Up to which entry a noted head proves the trail; 0 for none."""
        return max((noted.id for noted in self.expected if noted.found == "stands"), default=0)


class _AuditEntry(NamedTuple):
    id: int
    timestamp: datetime
    event_type: str
    actor: str
    details: str
    status: str
    previous_hash: str
    hash: str
    box_time: datetime | None


def verify(session: Session, expected: Sequence[Head] = ()) -> Verified:
    """Compute the chain again, from its first entry to its head, and look for noted heads.

    Raises:
        StoreError: the row that says where the chain ends is missing.
    """
    # The head first: entries added meanwhile lie beyond it.
    end = head(session)
    noted = {0: GENESIS} if any(e.id == 0 for e in expected) else {}
    wanted = {e.id for e in expected}
    previous, expected_id, broken = GENESIS, 1, ""
    for entry in _entries(session):
        broken = _fault(entry, Head(expected_id, previous), end)
        if broken:
            break
        if entry.id in wanted:
            noted[entry.id] = entry.hash
        expected_id, previous = entry.id + 1, entry.hash
    if not broken and expected_id <= end.id:
        broken = "is missing: the trail ends before it"
    return Verified(
        entries=end.id,
        last_hash=end.hash,
        first_broken_id=expected_id if broken else None,
        why=broken,
        expected=tuple(_found(e, noted, broken=bool(broken)) for e in expected),
        n_rejected=_n_rejected(session),
    )


def _entries(session: Session) -> Iterator[_AuditEntry]:
    query = select(
        AuditLogTable.id,
        AuditLogTable.timestamp,
        AuditLogTable.event_type,
        AuditLogTable.actor,
        cast(AuditLogTable.details, Text),
        AuditLogTable.status,
        AuditLogTable.previous_hash,
        AuditLogTable.hash,
        AuditLogTable.box_time,
    ).order_by(AuditLogTable.id)
    with session.execute(query.execution_options(yield_per=2_000)) as rows:
        for row in rows:
            yield _AuditEntry(*row)


def _fault(entry: _AuditEntry, place: Head, end: Head) -> str:
    """Return what is wrong with the entry that stands at `place` (its id, the hash before it)."""
    if entry.id != place.id:
        return "is missing"
    if entry.previous_hash != place.hash:
        return "does not follow the one before it"
    if _hash(entry) != entry.hash:
        return "is not as it was written"
    if entry.id == end.id and entry.hash != end.hash:
        return "is not the one that the trail ended with"
    return ""


def _found(expected: Head, noted: dict[int, str], *, broken: bool) -> Expected:
    there = noted.get(expected.id)
    if there is not None:
        found: Literal["stands", "differs", "missing", "unknown"] = (
            "stands" if there == expected.hash else "differs"
        )
    else:
        found = "unknown" if broken else "missing"
    return Expected(id=expected.id, hash=expected.hash, found=found)


def _n_rejected(session: Session) -> int:
    query = select(func.count()).where(WriterRejectTable.kind == "AuditRow")
    return session.execute(query).scalar_one()


def hash_of(session: Session, entry_id: int) -> str | None:
    """Return an entry's hash as it is stored, None where there is no such entry."""
    if entry_id == 0:
        return GENESIS
    return session.scalar(select(AuditLogTable.hash).where(AuditLogTable.id == entry_id))


def newest(session: Session, limit: int) -> Sequence[AuditLogTable]:
    """Return the last entries, oldest first."""
    query = select(AuditLogTable).order_by(AuditLogTable.id.desc()).limit(limit)
    return list(reversed(session.scalars(query).all()))


def head(session: Session) -> Head:
    """Return where the chain ends.

    Raises:
        StoreError: the row that says so is missing.
    """
    found = session.execute(select(AuditHeadTable.id, AuditHeadTable.hash)).one_or_none()
    if found is None:
        raise StoreError(
            "audit_head is empty: nothing says where the audit trail ends; keep this database as "
            "it is and compare it with a backup"
        )
    return Head(*found)


def _hash(entry: _AuditEntry) -> str:
    # The text of a JSONB array, as PostgreSQL prints it.
    parts = [
        _json(entry.previous_hash),
        str(entry.id),
        str(from_datetime(entry.timestamp) // _NS_PER_US),
        _json(entry.event_type),
        _json(entry.actor),
        entry.details,
        _json(entry.status),
    ]
    if entry.box_time is not None:  # earlier versions wrote none
        parts.append(str(from_datetime(entry.box_time) // _NS_PER_US))
    return sha256(f"[{', '.join(parts)}]".encode()).hexdigest()


def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
