"""Journal records as table rows: one upsert by natural key a kind, within the caller's transaction.

Numbers that are not finite become NULL, in columns and inside JSON. Strategies are found by name;
a name that nobody has described yet gets a row of type UNKNOWN rather than a failure.
"""

import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert

from engine.model.records import (
    Amounts,
    AuditRow,
    BarsRow,
    MetricsRow,
    OrderRow,
    PositionsRow,
    Record,
    SignalRow,
    StrategyRow,
    TradeRow,
)
from engine.model.times import to_datetime
from engine.store.tables import (
    AuditLogTable,
    Base,
    OrderTable,
    PortfolioMetricTable,
    PositionTable,
    StrategySignalTable,
    StrategyTable,
    TradeShareTable,
    TradeTable,
)

Row = dict[str, Any]


class KnownRows:
    """Strategies' ids and partitions known to exist; cleared when a transaction is undone."""

    def __init__(self) -> None:
        self.strategy_ids: dict[str, int] = {}
        self.partitions: set[tuple[str, int]] = set()

    def clear(self) -> None:
        """Forget everything."""
        self.strategy_ids.clear()
        self.partitions.clear()


class RowStore:
    """Stores records within one transaction."""

    def __init__(self, connection: Connection, seen: KnownRows) -> None:
        self._connection = connection
        self._seen = seen
        self._kinds: dict[type[Any], Callable[[list[Any]], None]] = {
            StrategyRow: self._strategies,
            BarsRow: self._bars,
            SignalRow: self._signals,
            OrderRow: self._orders,
            TradeRow: self._trades,
            PositionsRow: self._positions,
            MetricsRow: self._metrics,
            AuditRow: self._audit,
        }

    def store(self, records: Sequence[Record]) -> None:
        """Store records kind by kind, each kind in the order given."""
        for kind, put in self._kinds.items():
            if chosen := [record for record in records if type(record) is kind]:
                put(chosen)

    def _strategies(self, records: list[StrategyRow]) -> None:
        rows = [
            {
                "name": r.name,
                "type": r.kind,
                "config": json_value(r.config),
                "enabled": r.enabled,
                "allocation": number(r.allocation) or 0.0,
                "created_at": to_datetime(r.time_ns),
                "updated_at": to_datetime(r.time_ns),
            }
            for r in records
        ]
        self._upsert(StrategyTable, rows, key=("name",), keep=("created_at",))

    def _bars(self, records: list[BarsRow]) -> None:
        for r in records:
            times = [to_datetime(time_ns) for time_ns in r.time_ns]
            columns = {
                name: [number(value) for value in getattr(r, name)]
                for name in ("open", "high", "low", "close", "volume", "spread")
            }
            for at in {time.year: time for time in times}.values():
                self._ensure_partition("market_data", at)
            self._connection.execute(
                _INSERT_BARS,
                {
                    "symbol": r.symbol,
                    "timeframe": r.timeframe_minutes,
                    "source": r.source,
                    "timestamp": times,
                    **columns,
                },
            )

    def _signals(self, records: list[SignalRow]) -> None:
        rows = [
            {
                "strategy_id": self.strategy_id(r.strategy),
                "timestamp": self._partition_of("strategy_signals", r.time_ns),
                "symbol": r.symbol,
                "signal": r.signal,
                "confidence": number(r.confidence),
                "details": json_value(r.details),
            }
            for r in records
        ]
        self._connection.execute(insert(StrategySignalTable).on_conflict_do_nothing(), rows)

    def _orders(self, records: list[OrderRow]) -> None:
        rows = [
            {
                "magic": r.magic,
                "intent_id": r.intent_id,
                "strategy_id": self.strategy_id(r.book),
                "symbol": r.symbol,
                "action": r.action,
                "direction": r.direction,
                "lots": number(r.lots),
                "stop": number(r.stop),
                "target": number(r.target),
                "state": r.state,
                "retcode": r.retcode,
                "order_ticket": r.order_ticket,
                "deal_ticket": r.deal_ticket,
                "price": number(r.price),
                "created_at": to_datetime(r.created_ns),
                "settled_at": moment(r.settled_ns),
                "detail": r.detail,
                "checks": None if r.decision is None else json_value(r.decision.document()),
                "code": r.code or None,
            }
            for r in records
        ]
        self._upsert(OrderTable, rows, key=("magic", "created_at"))

    def _trades(self, records: list[TradeRow]) -> None:
        self._upsert(TradeTable, [self._trade(r) for r in records], key=("trade_key",))
        for r in records:
            if not r.shares:
                continue
            trade_id = self._connection.scalar(
                select(TradeTable.id).where(TradeTable.trade_key == r.trade_key)
            )
            shares = [
                {
                    "trade_id": trade_id,
                    "strategy_id": self.strategy_id(name),
                    "share": share,
                    **_part(r.parts.get(name)),
                }
                for name, share in r.shares.items()
            ]
            self._upsert(TradeShareTable, shares, key=("trade_id", "strategy_id"), keep=("share",))

    def _trade(self, r: TradeRow) -> Row:
        return {
            "trade_key": r.trade_key,
            "strategy_id": self.strategy_id(r.strategy),
            "symbol": r.symbol,
            "direction": r.direction,
            "entry_price": number(r.entry_price),
            "exit_price": number(r.exit_price),
            "lot_size": number(r.lot_size),
            "profit_loss": number(r.profit_loss),
            "entry_time": to_datetime(r.entry_time_ns),
            "exit_time": moment(r.exit_time_ns),
            "status": "OPEN" if r.exit_time_ns is None else "CLOSED",
            "stop": number(r.stop),
            "target": number(r.target),
            "commission": number(r.commission),
            "swap": number(r.swap),
            "exit_reason": r.exit_reason,
            **{
                name: getattr(r, name) or None
                for name in (
                    "intent_id",
                    "order_ticket",
                    "deal_ticket",
                    "close_order_ticket",
                    "close_deal_ticket",
                )
            },
        }

    def _positions(self, records: list[PositionsRow]) -> None:
        newest = max(records, key=lambda r: r.time_ns)
        as_of = to_datetime(newest.time_ns)
        shown = self._connection.scalar(select(func.max(PositionTable.as_of)))
        if shown is not None and shown > as_of:
            return
        self._connection.execute(delete(PositionTable))
        rows = [
            {
                "ticket": p.ticket,
                "strategy_id": self.strategy_id(p.strategy) if p.strategy else None,
                "symbol": p.symbol,
                "direction": p.direction,
                "lot_size": number(p.lot_size),
                "entry_price": number(p.entry_price),
                "current_price": number(p.current_price),
                "profit_loss": number(p.profit_loss),
                "open_time": to_datetime(p.open_time_ns),
                "stop": number(p.stop),
                "target": number(p.target),
                "as_of": as_of,
            }
            for p in newest.positions
        ]
        if rows:
            self._connection.execute(insert(PositionTable), rows)

    def _metrics(self, records: list[MetricsRow]) -> None:
        rows = [
            {
                "date": r.date,
                "total_balance": number(r.total_balance),
                "equity": number(r.equity),
                "drawdown_pct": number(r.drawdown_pct),
                "daily_pl": number(r.daily_pl),
                "win_rate": number(r.win_rate),
                "sharpe_ratio": number(r.sharpe_ratio),
                "leverage": number(r.leverage),
                "volatility": number(r.volatility),
                "var": number(r.value_at_risk),
                "correlation_matrix": json_value(r.correlations),
                "updated_at": to_datetime(r.time_ns),
            }
            for r in records
        ]
        self._upsert(PortfolioMetricTable, rows, key=("date",))

    def _audit(self, records: list[AuditRow]) -> None:
        rows = [
            {
                "timestamp": self._partition_of("audit_logs", r.time_ns),
                "event_type": r.event_type,
                "actor": r.actor,
                "details": json_value(r.details),
                "status": r.status,
                "box_time": moment(r.box_ns or None),
            }
            for r in records
        ]
        self._connection.execute(insert(AuditLogTable).inline(), rows)

    def strategy_id(self, name: str) -> int:
        """Return a strategy's id, making a row of type UNKNOWN for a new name."""
        known = self._seen.strategy_ids.get(name)
        if known is None:
            make = insert(StrategyTable).values(name=name, type="UNKNOWN").on_conflict_do_nothing()
            self._connection.execute(make)
            known = self._connection.execute(
                select(StrategyTable.id).where(StrategyTable.name == name)
            ).scalar_one()
            self._seen.strategy_ids[name] = known
        return known

    def _partition_of(self, table: str, time_ns: int) -> datetime:
        at = to_datetime(time_ns)
        self._ensure_partition(table, at)
        return at

    def _ensure_partition(self, table: str, at: datetime) -> None:
        if (table, at.year) not in self._seen.partitions:
            ensure_partition(self._connection, table, at)
            self._seen.partitions.add((table, at.year))

    def _upsert(
        self, table: type[Base], rows: list[Row], *, key: tuple[str, ...], keep: Sequence[str] = ()
    ) -> None:
        statement = insert(table)
        changed = {name: statement.excluded[name] for name in rows[0] if name not in (*key, *keep)}
        self._connection.execute(
            statement.on_conflict_do_update(index_elements=key, set_=changed), rows
        )


_INSERT_BARS = text(
    """
    INSERT INTO market_data
        (symbol, timeframe, source, timestamp, open, high, low, close, volume, spread)
    SELECT :symbol, :timeframe, :source, bar.* FROM unnest(
        CAST(:timestamp AS timestamptz[]), CAST(:open AS float8[]), CAST(:high AS float8[]),
        CAST(:low AS float8[]), CAST(:close AS float8[]), CAST(:volume AS float8[]),
        CAST(:spread AS float8[])) AS bar
    ON CONFLICT (symbol, timeframe, timestamp) DO UPDATE SET
        (open, high, low, close, volume, spread, source) =
        (excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume,
         excluded.spread, excluded.source)
    """
)


def ensure_partition(connection: Connection, table: str, at: datetime) -> None:
    """Make the partition of a time's UTC year if there is none; for `tables.PARTITIONED`."""
    connection.execute(
        text("SELECT pmpro_ensure_partition(:table, :at)"), {"table": table, "at": at}
    )


def _part(part: Amounts | None) -> Row:
    if part is None:
        return {"profit": None, "commission": None, "swap": None}
    return {"profit": part.profit_ccy, "commission": part.commission_ccy, "swap": part.swap_ccy}


def number(value: float | None) -> float | None:
    """Return the value, None where it is not finite."""
    return value if value is not None and math.isfinite(value) else None


def moment(time_ns: int | None) -> datetime | None:
    """Return an aware datetime, None for none."""
    return None if time_ns is None else to_datetime(time_ns)


def json_value(value: Any) -> Any:
    """Return the value with None for every number that JSON cannot hold."""
    if isinstance(value, float):
        return number(value)
    if isinstance(value, dict):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    return value
