"""The audit log cannot be changed unnoticed, by nobody."""

import json
import threading
from collections.abc import Callable
from hashlib import sha256

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from engine.execution.journal import Journal, Outbox
from engine.model.errors import StoreError, UserError
from engine.model.records import AuditRow
from engine.model.times import from_datetime
from engine.store import migrate
from engine.store.audit import GENESIS, Head, head, head_of, newest, verify
from engine.store.connection import connect, lazy_engine
from engine.store.embedded import Urls
from engine.store.rows import KnownRows, RowStore
from engine.store.writer import Writer

NOW_NS = 1_793_500_000_123_456_789
YEAR_NS = 365 * 86_400 * 10**9
BOX_NS = 1_796_000_000_987_654_321


def audit(n: int) -> AuditRow:
    details = {"n": n, "text": 'ünï "q" \\ \n\t\x07', "nested": {"b": [1.5, None], "a": 1e22}}
    return AuditRow(
        time_ns=NOW_NS + n * YEAR_NS // 10,
        event_type="COMMAND",
        actor="ann é",
        details=details,
        box_ns=BOX_NS,
    )


@pytest.fixture
def chained(journal: Journal, move: Callable[[], Writer], session: Session) -> Session:
    """Twenty entries over three years."""
    journal.commit(records=[audit(n) for n in range(20)])
    move()
    return session


def test_an_untouched_chain_holds(chained: Session) -> None:
    """Entries of several years form one chain without gaps, from the genesis to the head."""
    assert verify(chained).first_broken_id is None
    entries = newest(chained, 100)
    assert [e.id for e in entries] == list(range(1, 21))
    assert entries[0].previous_hash == GENESIS
    assert head(chained) == (20, entries[-1].hash)
    assert [e.id for e in newest(chained, 2)] == [19, 20]


def test_an_empty_chain_holds(session: Session) -> None:
    """Nothing written is nothing broken."""
    assert verify(session).first_broken_id is None


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
            assert verify(session).first_broken_id == broken, change
            session.rollback()
            assert verify(session).first_broken_id is None


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
    assert verify(chained).first_broken_id is None


def test_a_forged_place_is_overruled(operator: Engine, session: Session) -> None:
    """Ids and hashes given by whoever inserts are replaced by the chain's own."""
    with operator.begin() as connection:
        RowStore(connection, KnownRows()).store([audit(1)])
        connection.execute(
            text(
                "INSERT INTO audit_logs VALUES"
                " (77, '2026-11-01', 'TRADE', 'bob', '{}', 'SUCCESS', 'forged', 'forged')"
            )
        )
    assert verify(session).first_broken_id is None
    assert head(session)[0] == 2


def test_two_writers_make_one_chain(operator: Engine, session: Session) -> None:
    """Concurrent inserts are serial in the chain, and one rolled back leaves no gap."""
    start = threading.Barrier(3)

    def insert(offset: int) -> None:
        start.wait(10)
        for n in range(20):
            with operator.connect() as connection, connection.begin() as transaction:
                RowStore(connection, KnownRows()).store([audit(offset)])
                if n % 5 == 0:
                    transaction.rollback()

    threads = [threading.Thread(target=insert, args=(offset,)) for offset in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert verify(session).first_broken_id is None
    assert head(session)[0] == 3 * 16


# What JSONB cannot hold is a poison row's business.
words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    details=st.dictionaries(words, values, max_size=4),
    actor=words,
    box_ns=st.integers(0, 9_000_000_000_000_000_000),
)
def test_whatever_is_written_verifies(
    operator: Engine, details: dict[str, object], actor: str, box_ns: int
) -> None:
    """Any details and any actor give an entry whose hash is computed alike on both sides."""
    with operator.connect() as connection, Session(connection) as session:
        row = AuditRow(
            time_ns=NOW_NS, event_type="CONFIG", actor=actor, details=details, box_ns=box_ns
        )
        RowStore(connection, KnownRows()).store([row])
        assert verify(session).first_broken_id is None
        session.rollback()


def rewritten(connection: Connection, change: str) -> None:
    """Change entries as the owner can: triggers off, then every hash and the head computed anew."""
    connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
    connection.exec_driver_sql(change)
    rows = connection.execute(
        text(
            "SELECT id, (extract(epoch FROM timestamp) * 1000000)::bigint, event_type, actor,"
            " details::text, status, (extract(epoch FROM box_time) * 1000000)::bigint"
            " FROM audit_logs ORDER BY id"
        )
    ).all()
    previous = GENESIS
    for place, (id_, us, event, actor, details, status, box_us) in enumerate(rows, 1):
        said = [
            f'"{previous}"',
            place,
            us,
            json.dumps(event),
            json.dumps(actor, ensure_ascii=False),
        ]
        said += [details, json.dumps(status), *([] if box_us is None else [box_us])]
        now = sha256(f"[{', '.join(map(str, said))}]".encode()).hexdigest()
        connection.execute(
            text("UPDATE audit_logs SET id = :new, previous_hash = :p, hash = :h WHERE id = :old"),
            {"new": place, "old": id_, "p": previous, "h": now},
        )
        previous = now
    connection.execute(
        text("UPDATE audit_head SET id = :id, hash = :hash"), {"id": len(rows), "hash": previous}
    )


REWRITES = [
    # What the owner does; which of the heads of 5, 12 and 20 stand afterwards, and how the others.
    ("UPDATE audit_logs SET actor = 'bob' WHERE id = 12", ("stands", "differs", "differs")),
    ("UPDATE audit_logs SET actor = 'bob' WHERE id = 1", ("differs", "differs", "differs")),
    ("DELETE FROM audit_logs WHERE id = 7", ("stands", "differs", "missing")),
    ("DELETE FROM audit_logs WHERE id > 12", ("stands", "stands", "missing")),
    ("DELETE FROM audit_logs", ("missing", "missing", "missing")),
    ("UPDATE audit_logs SET box_time = NULL WHERE id = 20", ("stands", "stands", "differs")),
]


@pytest.mark.parametrize(("change", "found"), REWRITES)
def test_a_rewritten_trail_is_found_by_a_head_that_was_noted(
    chained: Session, owner: Engine, change: str, found: tuple[str, ...]
) -> None:
    """Who owns the database makes a trail that is unbroken in itself; a head that was noted
    elsewhere tells it, and proves the entries up to it."""
    noted = [Head(e.id, e.hash) for e in newest(chained, 20) if e.id in (5, 12, 20)]
    assert [e.found for e in verify(chained, noted).expected] == ["stands"] * 3
    with owner.connect() as connection, Session(connection) as session:
        rewritten(connection, change)
        said = verify(session, noted)
        assert said.first_broken_id is None
        assert tuple(e.found for e in said.expected) == found
        assert not said.ok
        stand = [n.id for n, f in zip(noted, found, strict=True) if f == "stands"]
        assert said.proved_id == max(stand, default=0)
        assert verify(session).ok  # without a noted head nothing of it shows
        session.rollback()
    chained.rollback()
    assert verify(chained, noted).ok


def test_a_break_before_a_noted_head_proves_what_is_before_it(
    chained: Session, owner: Engine
) -> None:
    """A head that the check reaches unbroken proves its entries; a later one is unknown."""
    noted = [Head(e.id, e.hash) for e in newest(chained, 20) if e.id in (5, 12)]
    with owner.connect() as connection, Session(connection) as session:
        session.execute(text("SET LOCAL session_replication_role = replica"))
        session.execute(text("UPDATE audit_logs SET actor = 'bob' WHERE id = 9"))
        said = verify(session, noted)
        assert (said.first_broken_id, said.why) == (9, "is not as it was written")
        assert [e.found for e in said.expected] == ["stands", "unknown"]
        assert said.proved_id == 5
        session.rollback()


def test_the_head_of_nothing_can_be_noted_too(session: Session) -> None:
    """Who notes the head before the first entry proves that the trail was empty."""
    assert verify(session, [Head(0, GENESIS)]).ok
    assert not verify(session, [Head(0, "1" * 64)]).ok
    assert [e.found for e in verify(session, [Head(1, GENESIS)]).expected] == ["missing"]


def test_a_missing_end_is_said(chained: Session, owner: Engine) -> None:
    """Where nothing says how long the trail is, nothing is called unbroken."""
    with owner.connect() as connection, Session(connection) as session:
        session.execute(text("DELETE FROM audit_head"))
        with pytest.raises(StoreError, match="nothing says where the audit trail ends"):
            verify(session)
        session.rollback()


@pytest.mark.parametrize(
    "text_", ["", "12", f"12:{'a' * 63}", f"x:{'a' * 64}", f"-1:{'a' * 64}", f"1:{'A' * 64}"]
)
def test_what_is_no_head_is_said(text_: str) -> None:
    """A slip in what was noted is no finding about the trail."""
    with pytest.raises(UserError, match="is no ID:HASH"):
        head_of(text_)
    assert head_of(f" 12:{'a' * 64}\n") == Head(12, "a" * 64)


def test_the_box_s_time_stands_beside_the_market_s(
    journal: Journal, move: Callable[[], Writer], session: Session, owner: Engine
) -> None:
    """It is stored to the microsecond, the hash covers it, and who changes it alone is found."""
    journal.commit(records=[audit(1)])
    move()
    (entry,) = newest(session, 1)
    assert from_datetime(entry.timestamp) == (NOW_NS + YEAR_NS // 10) // 1000 * 1000
    assert entry.box_time is not None
    assert from_datetime(entry.box_time) == BOX_NS // 1000 * 1000
    assert verify(session).ok
    with owner.connect() as connection, Session(connection) as other:
        for change in ("box_time + interval '1 us'", "NULL"):
            other.execute(text("SET LOCAL session_replication_role = replica"))
            other.execute(text(f"UPDATE audit_logs SET box_time = {change}"))
            assert verify(other).first_broken_id == 1
            other.rollback()


def test_entries_of_before_and_after_the_box_s_time_are_one_chain(
    database: Urls,
    journal: Journal,
    move: Callable[[], Writer],
    session: Session,
    operator: Engine,
) -> None:
    """Written under the older schema, the newer one, the older again and the newer again, the
    entries verify whenever this version's schema is there; a journal's rows without a box time
    are stored as they are."""

    def write() -> None:
        with operator.begin() as connection:
            connection.exec_driver_sql(
                "SELECT pmpro_ensure_partition('audit_logs', '2026-11-30');"
                "INSERT INTO audit_logs (timestamp, event_type, actor, details, status)"
                " VALUES ('2026-11-30', 'COMMAND', 'ann', '{}', 'SUCCESS')"
            )

    older = "0003"
    migrate.downgrade(database.owner, older)
    write()
    migrate.upgrade(database.owner)
    assert verify(session).ok
    session.rollback()
    journal.commit(records=[audit(1), msgspec.structs.replace(audit(2), box_ns=0)])
    move()
    assert verify(session).ok
    assert [e.box_time is None for e in newest(session, 3)] == [True, False, True]
    session.rollback()
    migrate.downgrade(database.owner, older)
    write()
    migrate.upgrade(database.owner)
    assert verify(session).ok
    assert head(session).id == 4


def test_a_journal_of_the_version_before_is_read() -> None:
    """Audit rows that wait from before an upgrade have no box time, and are moved."""
    old = {"row": "AuditRow", "time_ns": 1, "event_type": "TRADE", "actor": "a", "details": {}}
    assert msgspec.convert(old, AuditRow).box_ns == 0


def test_refused_entries_are_no_unbroken_trail(chained: Session, owner: Engine) -> None:
    """An entry that the database would not take is in no trail, and the check says so."""
    assert verify(chained).ok
    with owner.connect() as connection, Session(connection) as session:
        for kind in ("AuditRow", "OrderRow"):
            session.execute(
                text(
                    "INSERT INTO writer_rejects (journal_id, seq, kind, record, error)"
                    " VALUES (gen_random_uuid(), 1, :kind, '{}', 'x')"
                ),
                {"kind": kind},
            )
        said = verify(session)
        assert (said.first_broken_id, said.n_rejected, said.ok) == (None, 1, False)
        session.rollback()


def test_whoever_the_url_is_the_engine_is_the_operator(
    database: Urls, journal: Journal, outbox: Outbox
) -> None:
    """With the owner's URL, as on a server of one's own, the writer's rows arrive, and neither its
    connections nor any other but migrations can change the trail, however they try."""
    writer = Writer(outbox, database.owner, poll_s=0.01)
    writer.start()
    journal.commit(records=[audit(n) for n in range(3)])
    assert writer.stop(flush_s=20.0), writer.status
    engines = (writer._engine, connect(database.owner), lazy_engine(database.owner))
    for engine in engines:
        for first in ("SELECT 1", "RESET ROLE", "SET SESSION AUTHORIZATION DEFAULT"):
            for change in (
                "UPDATE audit_logs SET actor = 'bob'",
                "DELETE FROM audit_logs",
                "TRUNCATE audit_logs",
                "UPDATE audit_head SET id = 0",
                "ALTER TABLE audit_logs DISABLE TRIGGER ALL",
                "SET LOCAL session_replication_role = replica",
                "DROP TABLE audit_logs",
            ):
                with engine.connect() as connection:
                    connection.exec_driver_sql(first)
                    with pytest.raises(DBAPIError, match=r"permission denied|must be owner"):
                        connection.exec_driver_sql(change)
        with Session(engine) as session:
            assert session.scalar(text("SELECT current_user")) == "pmpro_operator"
            assert verify(session).entries == 3
        engine.dispose()


def test_a_login_that_may_not_operate_is_told_what_to_do(server_urls: Urls) -> None:
    """A database of one's own whose login is no operator is refused in one line with its remedy."""
    admin = create_engine(server_urls.owner.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql("CREATE ROLE nobodys LOGIN PASSWORD 'x'")
    admin.dispose()
    url = server_urls.owner.set(username="nobodys", password="x")
    with pytest.raises(StoreError, match="GRANT pmpro_operator TO the URL's login") as error:
        connect(url)
    assert "\n" not in str(error.value)
