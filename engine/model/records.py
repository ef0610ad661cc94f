"""Rows on their way to PostgreSQL: written to the local journal first, moved by the writer.

Each has a natural key, so that moving it twice changes nothing. Money and prices travel as
float64 and become NUMERIC in the table; nothing reads them back into a decision.
"""

from typing import Any

import msgspec

from engine.model.views.decisions import Decision


class _Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="row"):
    """Base of journal rows; the tag is the class name."""


class StrategyRow(_Record, frozen=True, kw_only=True, tag=True):
    """A strategy or a book (`kind` ENSEMBLE) as the portfolio has it; key: name."""

    name: str
    kind: str
    config: dict[str, Any]
    enabled: bool
    allocation: float
    time_ns: int


class SignalRow(_Record, frozen=True, kw_only=True, tag=True):
    """A change of a strategy's output; key: strategy, time."""

    strategy: str
    time_ns: int
    symbol: str
    signal: str
    confidence: float
    details: dict[str, Any] = {}


class Amounts(msgspec.Struct, frozen=True, array_like=True):
    """A member's part of a closed trade, in account currency; costs paid are negative."""

    profit_ccy: float
    commission_ccy: float
    swap_ccy: float


class TradeRow(_Record, frozen=True, kw_only=True, tag=True):
    """A trade opened or closed; key: `trade_key` (magic and account). Closing updates the row.

    `parts` are each member's profit before costs, commission and swap of a closed trade: whole
    cents that sum to the trade's.
    """

    trade_key: str
    strategy: str
    symbol: str
    direction: str
    lot_size: float
    entry_time_ns: int
    entry_price: float
    stop: float | None
    target: float | None
    exit_time_ns: int | None = None
    exit_price: float | None = None
    exit_reason: str | None = None
    commission: float = 0.0
    swap: float = 0.0
    profit_loss: float | None = None
    intent_id: int = 0
    order_ticket: int = 0
    deal_ticket: int = 0
    close_order_ticket: int = 0
    close_deal_ticket: int = 0
    shares: dict[str, float] = {}
    parts: dict[str, Amounts] = {}


class PositionItem(msgspec.Struct, frozen=True, kw_only=True):
    """One open position inside a PositionsRow."""

    ticket: int
    strategy: str
    symbol: str
    direction: str
    lot_size: float
    entry_price: float
    current_price: float
    profit_loss: float
    open_time_ns: int
    stop: float | None
    target: float | None


class PositionsRow(_Record, frozen=True, kw_only=True, tag=True):
    """All open positions at a time; replaces the table's content if newer."""

    time_ns: int
    positions: list[PositionItem]


class MetricsRow(_Record, frozen=True, kw_only=True, tag=True):
    """Portfolio metrics of a server day; key: date (ISO); a later row of the day replaces it."""

    date: str
    total_balance: float
    equity: float
    drawdown_pct: float
    daily_pl: float
    win_rate: float | None
    sharpe_ratio: float | None
    leverage: float
    time_ns: int
    volatility: float | None = None
    value_at_risk: float | None = None
    correlations: dict[str, dict[str, float | None]] | None = None


class OrderRow(_Record, frozen=True, kw_only=True, tag=True):
    """An intent and what became of it; key: magic. A later state replaces the row.

    `code` names what ran when it was decided, "" of earlier versions.
    """

    magic: int
    intent_id: int
    book: str
    symbol: str
    action: str
    direction: str
    lots: float
    stop: float | None
    target: float | None
    state: str
    retcode: int
    order_ticket: int
    deal_ticket: int
    price: float | None
    created_ns: int
    settled_ns: int | None
    detail: str = ""
    decision: Decision | None = None
    code: str = ""


class AuditRow(_Record, frozen=True, kw_only=True, tag=True):
    """An audit entry; key: the journal's sequence. The database chains the hashes.

    `time_ns` is the market's time, `box_ns` the box's own; rows of earlier versions have none, 0.
    """

    time_ns: int
    event_type: str
    actor: str
    details: dict[str, Any]
    status: str = "SUCCESS"
    box_ns: int = 0


class BarsRow(_Record, frozen=True, kw_only=True, tag=True):
    """Closed bars of one symbol; key: symbol, timeframe, time. Columns are parallel lists."""

    symbol: str
    timeframe_minutes: int
    source: str
    time_ns: list[int]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float]
    spread: list[float]


Record = (
    StrategyRow | SignalRow | TradeRow | PositionsRow | MetricsRow | OrderRow | AuditRow | BarsRow
)


class JournalEntry(msgspec.Struct, frozen=True):
    """A record with its place in the journal; `journal_id` names the journal file for ever."""

    seq: int
    record: Record
