"""The audit log cannot be changed unnoticed, by nobody."""

import threading
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from engine.execution.journal import Journal
from engine.model.records import AuditRow
from engine.store.audit import GENESIS, head, newest, verify_chain
from engine.store.rows import RowStore, Seen
from engine.store.writer import Writer

NOW_NS = 1_793_500_000_123_456_789
YEAR_NS = 365 * 86_400 * 10**9


def audit(n: int) -> AuditRow:
    details = {"n": n, "text": 'ünï "q" \\ \n\t\x07', "nested": {"b": [1.5, None], "a": 1e22}}
    return AuditRow(
        time_ns=NOW_NS + n * YEAR_NS // 10, event_type="COMMAND", actor="ann é", details=details
    )


@pytest.fixture
def chained(journal: Journal, move: Callable[[], Writer], session: Session) -> Session:
    """Twenty entries over three years."""
    journal.commit(records=[audit(n) for n in range(20)])
    move()
    return session


def test_an_untouched_chain_holds(chained: Session) -> None:
    """Entries of several years form one chain without gaps, from the genesis to the head."""
    assert verify_chain(chained) is None
    entries = newest(chained, 100)
    assert [e.id for e in entries] == list(range(1, 21))
    assert entries[0].previous_hash == GENESIS
    assert head(chained) == (20, entries[-1].hash)
    assert [e.id for e in newest(chained, 2)] == [19, 20]


def test_an_empty_chain_holds(session: Session) -> None:
    """Nothing written is nothing broken."""
    assert verify_chain(session) is None


CHANGES = [
    ("UPDATE audit_logs SET details = '{}' WHERE id = 7", 7),
    ("UPDATE audit_logs SET actor = 'bob' WHERE id = 1", 1),
    ("UPDATE audit_logs SET timestamp = timestamp + interval '1 us' WHERE id = 9", 9),
    ("UPDATE audit_logs SET status = 'FAILED' WHERE id = 20", 20),
    ("DELETE FROM audit_logs WHERE id = 12", 12),
    ("DELETE FROM audit_logs WHERE id >= 19", 19),
    ("DELETE FROM audit_logs WHERE id <= 2", 1),
    ("DELETE FROM audit_logs", 1),
    ("UPDATE audit_logs SET hash = previous_hash WHERE id = 20", 20),
    ("UPDATE audit_logs SET previous_hash = hash WHERE id = 5", 5),
]


def test_any_change_is_found(chained: Session, owner: Engine) -> None:
    """With every trigger switched off, a changed or removed entry is named."""
    with owner.connect() as connection, Session(connection) as session:
        for change, broken in CHANGES:
            session.execute(text("SET LOCAL session_replication_role = replica"))
            changed = connection.exec_driver_sql(change)
            assert changed.rowcount > 0
            assert verify_chain(session) == broken, change
            session.rollback()
            assert verify_chain(session) is None


def test_nobody_changes_entries(chained: Session, owner: Engine) -> None:
    """No role can update, delete or truncate, neither the table nor one of its years."""
    changes = [
        change.format(table)
        for table in ("audit_logs", "audit_logs_2026")
        for change in ("UPDATE {} SET actor = 'bob'", "DELETE FROM {}", "TRUNCATE {}")
    ]
    with owner.connect() as connection:
        for role in ("pmpro_viewer", "pmpro_operator", "pmpro_admin", "pmpro_owner"):
            for change in changes:
                connection.exec_driver_sql(f"SET LOCAL ROLE {role}")
                with pytest.raises(DBAPIError, match=r"append-only|permission denied"):
                    connection.exec_driver_sql(change)
                connection.rollback()
    assert verify_chain(chained) is None


def test_a_forged_place_is_overruled(operator: Engine, session: Session) -> None:
    """Ids and hashes given by whoever inserts are replaced by the chain's own."""
    with operator.begin() as connection:
        RowStore(connection, Seen()).store([audit(1)])
        connection.execute(
            text(
                "INSERT INTO audit_logs VALUES"
                " (77, '2026-11-01', 'TRADE', 'bob', '{}', 'SUCCESS', 'forged', 'forged')"
            )
        )
    assert verify_chain(session) is None
    assert head(session)[0] == 2


def test_two_writers_make_one_chain(operator: Engine, session: Session) -> None:
    """Concurrent inserts are serial in the chain, and one rolled back leaves no gap."""
    start = threading.Barrier(3)

    def insert(offset: int) -> None:
        start.wait(10)
        for n in range(20):
            with operator.connect() as connection, connection.begin() as transaction:
                RowStore(connection, Seen()).store([audit(offset)])
                if n % 5 == 0:
                    transaction.rollback()

    threads = [threading.Thread(target=insert, args=(offset,)) for offset in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert verify_chain(session) is None
    assert head(session)[0] == 3 * 16


# What JSONB cannot hold is a poison row's business.
words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(details=st.dictionaries(words, values, max_size=4), actor=words)
def test_whatever_is_written_verifies(
    operator: Engine, details: dict[str, object], actor: str
) -> None:
    """Any details and any actor give an entry whose hash is computed alike on both sides."""
    with operator.connect() as connection, Session(connection) as session:
        row = AuditRow(time_ns=NOW_NS, event_type="CONFIG", actor=actor, details=details)
        RowStore(connection, Seen()).store([row])
        assert verify_chain(session) is None
        session.rollback()
