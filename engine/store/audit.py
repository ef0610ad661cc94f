"""The audit chain: each entry's hash covers the one before, so a changed past shows.

PostgreSQL chains on insert (`sql/versions`); here the chain is computed again, independently.
Whoever owns the database could rewrite the whole chain: note its last hash elsewhere.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple

from sqlalchemy import Text, cast, select
from sqlalchemy.orm import Session

from engine.model.times import NS_PER_S, from_datetime
from engine.store.tables import AuditHead, AuditLog

GENESIS = "0" * 64
_NS_PER_US = NS_PER_S // 1_000_000


class _Entry(NamedTuple):
    id: int
    timestamp: datetime
    event_type: str
    actor: str
    details: str
    status: str
    previous_hash: str
    hash: str


def verify_chain(session: Session) -> int | None:
    """Return the id of the first entry that is missing or not as written; None: all is well."""
    query = select(
        AuditLog.id,
        AuditLog.timestamp,
        AuditLog.event_type,
        AuditLog.actor,
        cast(AuditLog.details, Text),
        AuditLog.status,
        AuditLog.previous_hash,
        AuditLog.hash,
    ).order_by(AuditLog.id)
    # The head first: entries added meanwhile lie beyond it.
    head_id, head_hash = session.execute(select(AuditHead.id, AuditHead.hash)).one()
    expected_id, previous = 1, GENESIS
    with session.execute(query.execution_options(yield_per=2_000)) as rows:
        for row in rows:
            entry = _Entry(*row)
            if entry.id != expected_id or entry.previous_hash != previous:
                return expected_id
            if _hash(entry) != entry.hash or (entry.id == head_id and entry.hash != head_hash):
                return entry.id
            expected_id, previous = entry.id + 1, entry.hash
    return None if expected_id > head_id else expected_id


def newest(session: Session, limit: int) -> Sequence[AuditLog]:
    """Return the last entries, oldest first."""
    query = select(AuditLog).order_by(AuditLog.id.desc()).limit(limit)
    return list(reversed(session.scalars(query).all()))


def head(session: Session) -> tuple[int, str]:
    """Return the chain's length and its last hash."""
    length, last_hash = session.execute(select(AuditHead.id, AuditHead.hash)).one()
    return length, last_hash


def _hash(entry: _Entry) -> str:
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
    return sha256(f"[{', '.join(parts)}]".encode()).hexdigest()


def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
