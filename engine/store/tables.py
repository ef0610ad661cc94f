"""PostgreSQL tables, typed. `sql/versions` creates them; a test holds the two equal.

Money and prices are NUMERIC, times timestamptz in UTC, JSON is JSONB. Nothing read from here goes
back into a decision. `market_data`, `strategy_signals` and `audit_logs` are partitioned by the
UTC year of their time; `pmpro_ensure_partition` creates a year when the first row asks for it.
"""

import uuid
from datetime import date as day
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    FetchedValue,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

PARTITIONED = ("market_data", "strategy_signals", "audit_logs")


class Base(DeclarativeBase):
    """Base of the mappings: one type a Python type, one naming rule."""

    metadata = MetaData(
        naming_convention={
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ck": "%(table_name)s_%(constraint_name)s_check",
            "fk": "%(table_name)s_%(column_0_name)s_fkey",
            "pk": "%(table_name)s_pkey",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        int: BigInteger,
        str: Text,
        Decimal: Numeric,
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[Any]: JSONB,
    }


def _identity() -> Mapped[int]:
    return mapped_column(Identity(always=True), primary_key=True)


def _strategy() -> Mapped[int]:
    return mapped_column(ForeignKey("strategies.id"))


class StrategyTable(Base):
    """A strategy, or a book: type ENSEMBLE. UNKNOWN: named by a row before it was described."""

    __tablename__ = "strategies"

    id: Mapped[int] = _identity()
    name: Mapped[str] = mapped_column(unique=True)
    type: Mapped[str]
    config: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    allocation: Mapped[Decimal] = mapped_column(server_default=text("0"))
    performance_score: Mapped[Decimal | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class MarketDataTable(Base):
    """A closed bar; its natural key is its primary key. `timeframe` in minutes."""

    __tablename__ = "market_data"
    __table_args__ = (
        CheckConstraint("low <= high", "low_high"),
        {"postgresql_partition_by": "RANGE (timestamp)"},
    )

    symbol: Mapped[str] = mapped_column(primary_key=True)
    timeframe: Mapped[int] = mapped_column(Integer, primary_key=True)
    timestamp: Mapped[datetime] = mapped_column(primary_key=True)
    open: Mapped[Decimal]
    high: Mapped[Decimal]
    low: Mapped[Decimal]
    close: Mapped[Decimal]
    volume: Mapped[Decimal | None]
    spread: Mapped[Decimal | None]
    source: Mapped[str]


class StrategySignalTable(Base):
    """A change of a strategy's output."""

    __tablename__ = "strategy_signals"
    __table_args__ = (
        UniqueConstraint("strategy_id", "timestamp"),
        CheckConstraint("signal IN ('BUY', 'SELL', 'HOLD')", "signal"),
        CheckConstraint("confidence BETWEEN 0 AND 1", "confidence"),
        {"postgresql_partition_by": "RANGE (timestamp)"},
    )

    id: Mapped[int] = _identity()
    strategy_id: Mapped[int] = _strategy()
    timestamp: Mapped[datetime] = mapped_column(primary_key=True)
    symbol: Mapped[str]
    signal: Mapped[str]
    confidence: Mapped[Decimal | None]
    details: Mapped[dict[str, Any]]


class TradeTable(Base):
    """A trade from entry to exit; `trade_key` is the writer's natural key."""

    __tablename__ = "trades"
    __table_args__ = (
        CheckConstraint("direction IN ('BUY', 'SELL')", "direction"),
        CheckConstraint("status IN ('OPEN', 'CLOSED')", "status"),
        Index(None, "strategy_id", "entry_time"),
        Index(None, "entry_time"),
    )

    id: Mapped[int] = _identity()
    trade_key: Mapped[str] = mapped_column(unique=True)
    strategy_id: Mapped[int] = _strategy()
    symbol: Mapped[str]
    direction: Mapped[str]
    entry_price: Mapped[Decimal]
    exit_price: Mapped[Decimal | None]
    lot_size: Mapped[Decimal]
    profit_loss: Mapped[Decimal | None]
    entry_time: Mapped[datetime]
    exit_time: Mapped[datetime | None]
    status: Mapped[str]
    stop: Mapped[Decimal | None]
    target: Mapped[Decimal | None]
    commission: Mapped[Decimal]
    swap: Mapped[Decimal]
    exit_reason: Mapped[str | None]
    intent_id: Mapped[int | None]
    order_ticket: Mapped[int | None]
    deal_ticket: Mapped[int | None]
    close_order_ticket: Mapped[int | None]
    close_deal_ticket: Mapped[int | None]


class TradeShareTable(Base):
    """A member's share of its book's trade, fixed at entry; its parts once the trade is closed.

    `profit` is before commission and swap. Parts sum to the trade's amounts exactly.
    """

    __tablename__ = "trade_shares"

    trade_id: Mapped[int] = mapped_column(ForeignKey("trades.id"), primary_key=True)
    strategy_id: Mapped[int] = mapped_column(ForeignKey("strategies.id"), primary_key=True)
    share: Mapped[Decimal]
    profit: Mapped[Decimal | None]
    commission: Mapped[Decimal | None]
    swap: Mapped[Decimal | None]


class PositionTable(Base):
    """A position open at `as_of`; no strategy: EXTERNAL. The table holds the newest set."""

    __tablename__ = "positions"
    __table_args__ = (CheckConstraint("direction IN ('BUY', 'SELL')", "direction"),)

    id: Mapped[int] = _identity()
    ticket: Mapped[int] = mapped_column(unique=True)
    strategy_id: Mapped[int | None] = mapped_column(ForeignKey("strategies.id"))
    symbol: Mapped[str]
    direction: Mapped[str]
    lot_size: Mapped[Decimal]
    entry_price: Mapped[Decimal]
    current_price: Mapped[Decimal | None]
    profit_loss: Mapped[Decimal | None]
    open_time: Mapped[datetime]
    stop: Mapped[Decimal | None]
    target: Mapped[Decimal | None]
    as_of: Mapped[datetime]


class OrderTable(Base):
    """An intent and what became of it. A new journal counts magics anew, hence the key.

    `checks` is what an entry was decided on: rules as {name: [value, limit]}, votes, sizing, order.
    `code` names what ran: the audit entry of that start or of that strategy file says what it was.
    """

    __tablename__ = "orders"
    __table_args__ = (
        UniqueConstraint("magic", "created_at"),
        Index(None, "strategy_id", "created_at"),
        Index(None, "order_ticket"),
    )

    id: Mapped[int] = _identity()
    magic: Mapped[int]
    intent_id: Mapped[int]
    strategy_id: Mapped[int] = _strategy()
    symbol: Mapped[str]
    action: Mapped[str]
    direction: Mapped[str]
    lots: Mapped[Decimal]
    stop: Mapped[Decimal | None]
    target: Mapped[Decimal | None]
    state: Mapped[str]
    retcode: Mapped[int]
    order_ticket: Mapped[int]
    deal_ticket: Mapped[int]
    price: Mapped[Decimal | None]
    created_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]
    detail: Mapped[str]
    checks: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    code: Mapped[str | None]


class PortfolioMetricTable(Base):
    """The portfolio's figures of a server day."""

    __tablename__ = "portfolio_metrics"

    id: Mapped[int] = _identity()
    date: Mapped[day] = mapped_column(unique=True)
    total_balance: Mapped[Decimal]
    equity: Mapped[Decimal]
    drawdown_pct: Mapped[Decimal]
    daily_pl: Mapped[Decimal]
    win_rate: Mapped[Decimal | None]
    sharpe_ratio: Mapped[Decimal | None]
    correlation_matrix: Mapped[dict[str, Any] | None]
    var: Mapped[Decimal | None]
    volatility: Mapped[Decimal | None]
    leverage: Mapped[Decimal | None]
    updated_at: Mapped[datetime]


class RlModelTable(Base):
    """A trained allocation policy."""

    __tablename__ = "rl_models"

    id: Mapped[int] = _identity()
    version: Mapped[str] = mapped_column(unique=True)
    episode: Mapped[int | None]
    reward: Mapped[Decimal | None]
    total_profit: Mapped[Decimal | None]
    model_path: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    is_active: Mapped[bool] = mapped_column(server_default=text("false"))
    algorithm: Mapped[str]
    seeds: Mapped[list[Any]]
    data_start: Mapped[datetime | None]
    data_end: Mapped[datetime | None]
    metrics: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    checksum: Mapped[str]


class BacktestResultTable(Base):
    """A backtest; no strategy: of a whole portfolio.

    `portfolio` is the file that makes it again, `document` what was printed, both as text: JSONB
    keeps no order of members. Rows of before revision 0006 have neither.
    """

    __tablename__ = "backtest_results"
    __table_args__ = (Index(None, "strategy_id", "created_at"),)

    id: Mapped[int] = _identity()
    strategy_id: Mapped[int | None] = mapped_column(ForeignKey("strategies.id"))
    start_date: Mapped[datetime]
    end_date: Mapped[datetime]
    total_return: Mapped[Decimal | None]
    sharpe_ratio: Mapped[Decimal | None]
    win_rate: Mapped[Decimal | None]
    max_drawdown: Mapped[Decimal | None]
    trades_count: Mapped[int]
    results: Mapped[dict[str, Any]]
    config_hash: Mapped[str]
    data_hash: Mapped[str]
    code_version: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    name: Mapped[str] = mapped_column(server_default="")
    note: Mapped[str] = mapped_column(server_default="")
    portfolio: Mapped[str | None]
    document: Mapped[str | None]


class ParityScoreTable(Base):
    """How alike a strategy's trades and a backtest's were, in the batches of (from, to]."""

    __tablename__ = "parity_scores"
    __table_args__ = (
        UniqueConstraint("strategy_id", "from_time"),
        CheckConstraint("alike_count BETWEEN 0 AND trades_count", "alike_count"),
    )

    id: Mapped[int] = _identity()
    strategy_id: Mapped[int] = _strategy()
    from_time: Mapped[datetime]
    to_time: Mapped[datetime]
    trades_count: Mapped[int]
    alike_count: Mapped[int]
    live_profit: Mapped[Decimal]
    backtest_profit: Mapped[Decimal]
    gaps: Mapped[list[Any]]


class AuditLogTable(Base):
    """An entry that nobody can change. A trigger gives id (no gaps) and both hashes.

    `timestamp` is the market's time, `box_time` the box's own; earlier versions wrote none.
    """

    __tablename__ = "audit_logs"
    __table_args__ = (
        CheckConstraint("status IN ('SUCCESS', 'FAILED')", "status"),
        Index(None, "timestamp"),
        Index("audit_logs_magic_idx", text("(details ->> 'magic')"), "timestamp"),
        {"postgresql_partition_by": "RANGE (timestamp)"},
    )

    id: Mapped[int] = mapped_column(FetchedValue(), primary_key=True, autoincrement=False)
    timestamp: Mapped[datetime] = mapped_column(primary_key=True)
    event_type: Mapped[str]
    actor: Mapped[str]
    details: Mapped[dict[str, Any]]
    status: Mapped[str]
    previous_hash: Mapped[str] = mapped_column(FetchedValue())
    hash: Mapped[str] = mapped_column(FetchedValue())
    box_time: Mapped[datetime | None]


class AuditHeadTable(Base):
    """The one row that says where the audit chain ends; moved by its trigger only."""

    __tablename__ = "audit_head"
    __table_args__ = (CheckConstraint("one", "one"),)

    one: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    id: Mapped[int]
    hash: Mapped[str]


class WriterStateTable(Base):
    """How far a journal has been moved, set in the transaction that moves."""

    __tablename__ = "writer_state"

    journal_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    last_seq: Mapped[int]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class WriterRejectTable(Base):
    """A journal row that PostgreSQL refused for its values, kept as JSON text."""

    __tablename__ = "writer_rejects"

    journal_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    record: Mapped[str]
    error: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
