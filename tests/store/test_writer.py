"""Each journal row reaches PostgreSQL once, in order, whatever dies or is refused meanwhile."""

import math
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, func, select, text
from sqlalchemy.orm import Session

from engine.execution.journal import Journal, Outbox
from engine.model.records import (
    AuditRow,
    BarsRow,
    JournalEntry,
    MetricsRow,
    OrderRow,
    PositionItem,
    PositionsRow,
    Record,
    SignalRow,
    StrategyRow,
    TradeRow,
)
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE, NS_PER_S, to_datetime
from engine.store import tables as t
from engine.store.embedded import Urls
from engine.store.writer import Writer

NOW_NS = 1_793_500_000 * NS_PER_S
NAN = math.nan
Move = Callable[[], Writer]


def audit(n: int) -> AuditRow:
    return AuditRow(time_ns=NOW_NS, event_type="COMMAND", actor="SYSTEM", details={"n": n})


def bars(n: int, **changes: Any) -> BarsRow:
    columns: dict[str, Any] = {
        "symbol": "EURUSD",
        "timeframe_minutes": 1,
        "source": "mt5",
        "time_ns": [NOW_NS + i * NS_PER_MINUTE for i in range(n)],
        "open": [1.1 + i / 1e5 for i in range(n)],
        "high": [1.2] * n,
        "low": [1.0] * n,
        "close": [1.10345] * n,
        "volume": [NAN] * n,
        "spread": [0.00008] * n,
    }
    return BarsRow(**(columns | changes))


def trade(**changes: Any) -> TradeRow:
    row: dict[str, Any] = {
        "trade_key": "17-EURUSD",
        "strategy": "eur",
        "symbol": "EURUSD",
        "direction": "BUY",
        "lot_size": 0.1,
        "entry_time_ns": NOW_NS,
        "entry_price": 1.10345,
        "stop": 1.1,
        "target": NAN,
        "intent_id": 7,
        "shares": {"eur-ma": 0.75, "eur-rsi": 0.25},
    }
    return TradeRow(**(row | changes))


def position(ticket: int, strategy: str = "eur") -> PositionItem:
    return PositionItem(
        ticket=ticket,
        strategy=strategy,
        symbol="EURUSD",
        direction="BUY",
        lot_size=0.1,
        entry_price=1.1,
        current_price=1.2,
        profit_loss=10.0,
        open_time_ns=NOW_NS,
        stop=None,
        target=None,
    )


def one_of_each() -> list[Record]:
    order: dict[str, Any] = {
        "magic": (3 << 32) + 7,
        "intent_id": 7,
        "book": "eur",
        "symbol": "EURUSD",
        "action": "OPEN",
        "direction": "BUY",
        "lots": 0.1,
        "stop": NAN,
        "target": None,
        "order_ticket": 0,
        "deal_ticket": 0,
        "price": None,
        "created_ns": NOW_NS,
        "settled_ns": None,
        "retcode": 0,
    }
    return [
        SignalRow(strategy="eur-ma", time_ns=NOW_NS, symbol="EURUSD", signal="BUY", confidence=0.5),
        StrategyRow(
            name="eur-ma",
            kind="ma_cross",
            config={"params": {"fast": 20, "bad": NAN}},
            enabled=True,
            allocation=0.5,
            time_ns=NOW_NS,
        ),
        OrderRow(**order, state="CREATED"),
        OrderRow(**(order | {"retcode": 10009, "deal_ticket": 5}), state="DONE"),
        trade(),
        PositionsRow(time_ns=NOW_NS, positions=[position(1), position(2, strategy="")]),
        MetricsRow(
            date="2026-11-01",
            total_balance=100_000.1 + 0.2,
            equity=1e5,
            drawdown_pct=1.5,
            daily_pl=-3.25,
            win_rate=None,
            sharpe_ratio=NAN,
            leverage=1.0,
            time_ns=NOW_NS,
        ),
        bars(3),
        audit(1),
    ]


def contents(engine: Engine) -> dict[str, list[Any]]:
    """Return all rows of all tables, without the times of writing."""
    with engine.connect() as connection:
        return {
            table.name: connection.execute(
                select(*[c for c in table.c if c.name not in ("updated_at", "id")])
            ).all()
            for table in t.Base.metadata.sorted_tables
        }


def test_every_kind_arrives(journal: Journal, move: Move, session: Session) -> None:
    """Each record kind is stored with its values; NaN is NULL, names become strategies."""
    journal.commit(records=one_of_each())
    status = move().status
    assert (status.status, status.n_moved, status.n_rejected) == ("stopped", 9, 0)
    assert journal.backlog() == 0
    kinds = dict(session.execute(select(t.StrategyTable.name, t.StrategyTable.type)).all())
    assert kinds == {"eur-ma": "ma_cross", "eur": "UNKNOWN", "eur-rsi": "UNKNOWN"}
    strategy = session.scalars(select(t.StrategyTable).filter_by(name="eur-ma")).one()
    assert strategy.config == {"params": {"fast": 20, "bad": None}}
    signal = session.scalars(select(t.StrategySignalTable)).one()
    assert (signal.strategy_id, signal.timestamp) == (strategy.id, to_datetime(NOW_NS))
    order = session.scalars(select(t.OrderTable)).one()
    assert (order.state, order.retcode, order.deal_ticket, order.stop) == ("DONE", 10009, 5, None)
    bar = session.scalars(select(t.MarketDataTable).order_by(t.MarketDataTable.timestamp)).first()
    assert bar is not None
    assert (bar.close, bar.spread, bar.volume) == (Decimal("1.10345"), Decimal("0.00008"), None)
    metric = session.scalars(select(t.PortfolioMetricTable)).one()
    assert (metric.total_balance, metric.sharpe_ratio) == (Decimal("100000.3"), None)
    external = session.scalars(select(t.PositionTable).order_by(t.PositionTable.ticket)).all()[1]
    assert external.strategy_id is None
    assert session.scalar(select(func.count()).select_from(t.AuditLogTable)) == 1


class ForgetfulOutbox:
    """An outbox that dies after the database's commit, before its trim."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self.journal_id = outbox.journal_id
        self.died = threading.Event()

    def entries(self, after_seq: int, limit: int) -> list[JournalEntry]:
        return self._outbox.entries(after_seq, limit)

    def trim(self, up_to_seq: int) -> None:
        self.died.set()
        raise OSError("killed")

    def backlog(self) -> int:
        return self._outbox.backlog()


def test_moved_twice_changes_nothing(
    journal: Journal, outbox: Outbox, database: Urls, operator: Engine, move: Move
) -> None:
    """A death between PostgreSQL's commit and the journal's trim leaves no second copy."""
    journal.commit(records=one_of_each())
    forgetful = ForgetfulOutbox(outbox)
    writer = Writer(forgetful, database.operator, poll_s=0.01)
    writer.start()
    assert forgetful.died.wait(10)
    assert not writer.stop(flush_s=0.0)
    assert journal.backlog() == 9
    before = contents(operator)
    assert move().status.n_moved == 0
    assert journal.backlog() == 0
    assert contents(operator) == before


class WatchedOutbox:
    """An outbox that tells that it is read."""

    def __init__(self, outbox: Outbox) -> None:
        self.journal_id = outbox.journal_id
        self.read = threading.Event()
        self._outbox = outbox

    def entries(self, after_seq: int, limit: int) -> list[JournalEntry]:
        self.read.set()
        return self._outbox.entries(after_seq, limit)

    def trim(self, up_to_seq: int) -> None:
        self._outbox.trim(up_to_seq)

    def backlog(self) -> int:
        return self._outbox.backlog()


def test_a_resting_writer_leaves_the_processor_alone(
    journal: Journal, outbox: Outbox, database: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is moved while the engine is busy; all of it once it has time, or when it stops."""
    monkeypatch.setattr("engine.store.writer.REST_MOST_S", 60.0)
    journal.commit(records=[audit(1)])
    watched = WatchedOutbox(outbox)
    writer = Writer(watched, database.operator, poll_s=0.001)
    writer.rest()
    writer.start()
    assert not watched.read.wait(0.2)
    writer.wake()
    assert watched.read.wait(10)
    writer.rest()
    journal.commit(records=[audit(2)])
    assert writer.stop(10)
    assert journal.backlog() == 0


def test_a_rest_ends_without_the_one_who_asked_for_it(
    journal: Journal, outbox: Outbox, database: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine thread that is lost in a batch does not keep rows from the database."""
    monkeypatch.setattr("engine.store.writer.REST_MOST_S", 0.05)
    watched = WatchedOutbox(outbox)
    writer = Writer(watched, database.operator)
    writer.rest()
    writer.start()
    assert watched.read.wait(10)
    assert writer.stop(10)


def test_a_new_journal_starts_anew(
    journal: Journal, database: Urls, move: Move, session: Session, tmp_path: Any
) -> None:
    """Another journal's rows are not taken for moved because of their numbers."""
    journal.commit(records=[audit(1), audit(2)])
    move()
    other = Journal(tmp_path / "other.sqlite")
    other.commit(records=[audit(3)])
    outbox = Outbox(other.path)
    writer = Writer(outbox, database.operator)
    writer.start()
    assert writer.stop(10)
    outbox.close()
    other.close()
    assert session.scalar(select(func.count()).select_from(t.AuditLogTable)) == 3


def test_order_is_kept(journal: Journal, move: Move, session: Session) -> None:
    """Audit entries stand in the journal's order; the last word about a row wins."""
    for n in range(1200):
        journal.commit(records=[audit(n)])
    journal.commit(records=[trade(), trade(stop=1.05)])
    journal.commit(
        records=[
            trade(
                stop=1.05,
                exit_time_ns=NOW_NS + 1,
                exit_price=1.2,
                exit_reason="TARGET",
                profit_loss=96.5,
                commission=-0.7,
                close_deal_ticket=9,
            )
        ]
    )
    move()
    details = session.scalars(select(t.AuditLogTable.details).order_by(t.AuditLogTable.id)).all()
    assert [d["n"] for d in details] == list(range(1200))
    closed = session.scalars(select(t.TradeTable)).one()
    assert (closed.status, closed.exit_reason, closed.stop) == ("CLOSED", "TARGET", Decimal("1.05"))
    assert (closed.profit_loss, closed.close_deal_ticket) == (Decimal("96.5"), 9)
    shares = session.scalars(
        select(t.TradeShareTable.share).order_by(t.TradeShareTable.share)
    ).all()
    assert shares == [Decimal("0.25"), Decimal("0.75")]


def test_positions_are_replaced_by_newer_ones_only(
    journal: Journal, move: Move, session: Session
) -> None:
    """The table shows the newest set of open positions, also an empty one."""
    shown = select(t.PositionTable.ticket).order_by(t.PositionTable.ticket)
    for time_ns, tickets, expected in (
        (NOW_NS, [1, 2], [1, 2]),
        (NOW_NS + 10_000, [2, 3], [2, 3]),
        (NOW_NS + 5_000, [9], [2, 3]),
        (NOW_NS + 20_000, [], []),
    ):
        journal.commit(
            records=[PositionsRow(time_ns=time_ns, positions=[position(n) for n in tickets])]
        )
        move()
        assert session.scalars(shown).all() == expected
        session.rollback()


def test_a_bar_is_stored_once_and_corrected(journal: Journal, move: Move, session: Session) -> None:
    """Bars overlap freely: one row a symbol, timeframe and time, holding the last values."""
    journal.commit(records=[bars(500), bars(2, close=[1.15, 1.16], volume=[5.0, 6.0])])
    year = 365 * NS_PER_DAY
    journal.commit(records=[bars(2, time_ns=[NOW_NS - 2 * year, NOW_NS + year])])
    move()
    rows = session.scalars(select(t.MarketDataTable).order_by(t.MarketDataTable.timestamp)).all()
    assert len(rows) == 502
    assert [row.close for row in rows[1:4]] == [
        Decimal("1.15"),
        Decimal("1.16"),
        Decimal("1.10345"),
    ]


@pytest.mark.parametrize(
    "poison",
    [
        AuditRow(time_ns=NOW_NS, event_type="X", actor="a", details={}, status="MAYBE"),
        SignalRow(strategy="s", time_ns=NOW_NS, symbol="X", signal="BUY", confidence=7.0),
        bars(2, time_ns=[NOW_NS, NOW_NS]),
        bars(1, low=[2.0]),
        trade(entry_price=NAN),
        trade(order_ticket=2**63),
    ],
    ids=["check", "range", "twice", "low-high", "null", "overflow"],
)
def test_a_poison_row_blocks_nothing(
    poison: Record, journal: Journal, move: Move, session: Session
) -> None:
    """A row that PostgreSQL refuses is kept aside with its error; its neighbours are stored."""
    journal.commit(records=[audit(1), poison, *one_of_each()])
    status = move().status
    assert (status.n_moved, status.n_rejected, status.backlog) == (10, 1, 0)
    reject = session.scalars(select(t.WriterRejectTable)).one()
    assert (reject.kind, reject.seq) == (type(poison).__name__, 2)
    assert reject.error
    assert session.scalar(select(func.count()).select_from(t.AuditLogTable)) == 2
    assert session.scalar(select(t.WriterStateTable.last_seq)) == 11


@pytest.mark.parametrize("text", ["a\0b", "half \ud83d", "byte \udcff"])
def test_what_no_database_holds_is_written_out(
    text: str, journal: Journal, move: Move, session: Session
) -> None:
    """A NUL or half a character drops no entry: it stands there in letters, in every text."""
    shown = text.encode("unicode_escape").decode()
    details = {"why": text, text: [text, {"k": (text, 1)}]}
    journal.commit(
        records=[
            AuditRow(time_ns=NOW_NS, event_type="X", actor=text, details=details),
            trade(exit_reason=text, exit_time_ns=NOW_NS, exit_price=1.2),
        ]
    )
    status = move().status
    assert (status.n_moved, status.n_rejected) == (2, 0)
    row = session.scalars(select(t.AuditLogTable)).one()
    assert (row.actor, row.details) == (shown, {"why": shown, shown: [shown, {"k": [shown, 1]}]})
    assert session.scalars(select(t.TradeTable.exit_reason)).one() == shown


@pytest.mark.parametrize("is_audit", [True, False])
def test_a_refused_row_is_said(
    is_audit: bool, outbox: Outbox, journal: Journal, database: Urls
) -> None:
    """A missing audit entry is critical, whatever else was refused; the reason stands there."""
    bad = AuditRow(time_ns=NOW_NS, event_type="X", actor="a", details={}, status="MAYBE")
    journal.commit(records=[trade(order_ticket=2**63), *[bad, bad] * is_audit, audit(1)])
    said: list[tuple[str, str]] = []
    writer = Writer(outbox, database.operator, on_reject=lambda *what: said.append(what))
    writer.start()
    assert writer.stop()
    ((level, text),) = said
    assert level == ("critical" if is_audit else "error")
    assert text.startswith("2 audit entries were" if is_audit else "1 row was")
    assert ("status" in text) == is_audit
    assert text.endswith("kept in writer_rejects")


def test_a_database_away_loses_nothing(
    journal: Journal, outbox: Outbox, database: Urls, owner: Engine, session: Session
) -> None:
    """While connections are refused rows wait and the status says so; then all arrive, once."""
    name = database.owner.database
    admin = create_engine(database.owner.set(database="postgres"), isolation_level="AUTOCOMMIT")
    writer = Writer(outbox, database.operator, poll_s=0.01, backoff_max_s=0.05)
    writer.start()
    journal.commit(records=[audit(0)])
    wait_for(lambda: writer.status.n_moved == 1)
    with admin.connect() as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
            {"name": name},
        )
        for n in range(1, 300):
            journal.commit(records=[audit(n)])
        wait_for(lambda: writer.status.status.startswith("away: ") and writer.status.n_failures > 2)
        assert writer.status.backlog == 299
        assert "\n" not in writer.status.status
        connection.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    admin.dispose()
    wait_for(lambda: writer.status.status == "ok" and writer.status.backlog == 0)
    assert writer.stop()
    details = session.scalars(select(t.AuditLogTable.details).order_by(t.AuditLogTable.id)).all()
    assert [d["n"] for d in details] == list(range(300))


def test_stopping_with_the_database_away_is_bounded(
    journal: Journal, outbox: Outbox, tmp_path: Any
) -> None:
    """A stop gives up at its deadline and says that rows are left; they stay in the journal."""
    journal.commit(records=[audit(1)])
    writer = Writer(outbox, f"postgresql://x:secret@/x?host={tmp_path}")
    writer.start()
    assert not writer.stop(flush_s=0.3)
    assert not writer._thread.is_alive()
    assert journal.backlog() == 1
    assert "secret" not in writer.status.status


def wait_for(condition: Callable[[], bool], timeout_s: float = 15.0) -> None:
    """Wait on a state that another thread brings about."""
    pause = threading.Event()
    deadline = datetime.now(UTC).timestamp() + timeout_s
    while not condition():
        assert datetime.now(UTC).timestamp() < deadline, "not reached in time"
        pause.wait(0.01)


def test_what_came_before_the_stop_is_moved(
    database: Urls, journal: Journal, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that was written after the writer's last look, and before it was told to stop, is
    moved, not left for the next start."""
    writer = Writer(outbox, database.operator, poll_s=0.01)
    look = outbox.entries

    def look_too_early(after_seq: int, limit: int) -> list[JournalEntry]:
        found = look(after_seq, limit)
        if not writer._stopping.is_set():
            journal.commit(records=[audit(1)])
            writer._stopping.set()
        return found

    monkeypatch.setattr(outbox, "entries", look_too_early)
    writer.start()
    writer._thread.join(20)
    assert writer.status.n_moved == 1
