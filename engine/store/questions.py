"""What consoles ask the database, answered as plain records within the caller's session."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import Select, Text, cast, func, select
from sqlalchemy.orm import Session

from engine.model.errors import UserError
from engine.model.times import from_datetime, to_datetime
from engine.model.views.details import (
    AuditEntry,
    AuditOf,
    AuditPage,
    Backtest,
    BacktestOf,
    BacktestsOf,
    BacktestView,
    Orders,
    OrdersOf,
    OrderView,
    RecordDetail,
    RecordOf,
    SignalView,
    StrategyOf,
    TestedMonth,
    TestedStrategy,
    TestedTrade,
    TradeView,
)
from engine.store.order_detail import order_detail
from engine.store.parity import parity_scores
from engine.store.tables import (
    AuditLogTable,
    BacktestResultTable,
    OrderTable,
    StrategySignalTable,
    StrategyTable,
    TradeShareTable,
    TradeTable,
)

PARITY_DAYS = 30
_PARTS: dict[str, Any] = {
    "strategies": tuple[TestedStrategy, ...],
    "months": tuple[TestedMonth, ...],
    "trades": tuple[TestedTrade, ...],
}
_MADE_OF = ("code_version", "config_hash", "data_hash", "digest")


def audit(session: Session, asked: AuditOf) -> AuditPage:
    """Return a page of the audit log."""
    rows, older, newer = _page(
        session, _matching(asked), AuditLogTable.id, AuditLogTable.timestamp, asked
    )
    entries = tuple(_entry(row) for (row,) in rows)
    return AuditPage(entries=entries, older=older, newer=newer)


def _page(
    session: Session, query: Any, by: Any, time: Any, asked: AuditOf | OrdersOf
) -> tuple[list[Any], bool, bool]:
    """Return the rows within the bound, in order, and whether there may be more on either side."""
    forward = bool(asked.after_id or asked.after_ns)
    if asked.after_id:
        query = query.where(by > asked.after_id)
    elif asked.after_ns:
        query = query.where(time >= to_datetime(asked.after_ns))
    elif asked.before_id:
        query = query.where(by < asked.before_id)
    found = list(
        session.execute(query.order_by(by if forward else by.desc()).limit(asked.limit + 1))
    )
    more, rows = len(found) > asked.limit, found[: asked.limit]
    if not forward:
        rows.reverse()
    return rows, forward or more, more if forward else bool(asked.before_id)


def _matching(asked: AuditOf) -> Select[AuditLogTable]:
    query = select(AuditLogTable)
    if asked.event_type:
        query = query.where(AuditLogTable.event_type == asked.event_type)
    if asked.status:
        query = query.where(AuditLogTable.status == asked.status)
    if asked.pattern:
        words = func.concat_ws(
            " ",
            AuditLogTable.event_type,
            AuditLogTable.actor,
            AuditLogTable.status,
            cast(AuditLogTable.details, Text),
        )
        query = query.where(words.op("~*")(asked.pattern))
    return query


def record(session: Session, asked: RecordOf) -> RecordDetail:
    """Return an audit entry with the order it names, or an order by ticket or magic.

    Raises:
        UserError: there is no such record.
    """
    entry = None
    if asked.audit_id:
        row = session.scalar(select(AuditLogTable).where(AuditLogTable.id == asked.audit_id))
        if row is None:
            raise UserError(f"there is no audit entry {asked.audit_id}")
        entry = _entry(row)
    number = asked.order or (0 if entry is None else entry.order)
    order = order_detail(session, number) if number else None
    if order is None and entry is None:
        raise UserError(f"the database has no order {number}: a new order arrives in a moment")
    return RecordDetail(audit=entry, order=order)


def _entry(row: AuditLogTable) -> AuditEntry:
    return AuditEntry(
        id=row.id,
        time_ns=from_datetime(row.timestamp),
        event_type=row.event_type,
        actor=row.actor,
        status=row.status,
        details=json.dumps(row.details, ensure_ascii=False),
        order=_order_of(row.details),
        box_ns=0 if row.box_time is None else from_datetime(row.box_time),
    )


def _order_of(details: Mapping[str, Any]) -> int:
    for key in ("order", "order_ticket", "magic"):
        value = details.get(key)
        if isinstance(value, int) and value:
            return value
    return 0


def orders(session: Session, asked: OrdersOf) -> Orders:
    """Return a page of the orders."""
    query = select(OrderTable, StrategyTable.name).join(
        StrategyTable, StrategyTable.id == OrderTable.strategy_id
    )
    rows, older, newer = _page(session, query, OrderTable.id, OrderTable.created_at, asked)
    entries = tuple(
        OrderView(
            id=row.id,
            time_ns=from_datetime(row.created_at),
            order=row.order_ticket,
            magic=row.magic,
            book=book,
            symbol=row.symbol,
            action=row.action,
            direction=row.direction,
            lots=float(row.lots),
            state=row.state,
            price=as_float(row.price),
            detail=row.detail,
        )
        for row, book in rows
    )
    return Orders(entries=entries, older=older, newer=newer)


def strategy(session: Session, asked: StrategyOf) -> dict[str, Any]:
    """Return the kept fields of a `StrategyDetail`, each list oldest first."""
    trades = _trades(session, asked)
    total, equity = 0.0, []
    for trade in trades:
        if trade.exit_ns:
            total += trade.profit_ccy
            equity.append((trade.exit_ns, round(total, 2) + 0.0))
    return {
        "signals": _signals(session, asked),
        "trades": trades,
        "equity": tuple(equity),
        "parity": parity_scores(session, asked.name, PARITY_DAYS),
    }


def _signals(session: Session, asked: StrategyOf) -> tuple[SignalView, ...]:
    rows = session.scalars(
        select(StrategySignalTable)
        .join(StrategyTable, StrategyTable.id == StrategySignalTable.strategy_id)
        .where(StrategyTable.name == asked.name)
        .order_by(StrategySignalTable.timestamp.desc())
        .limit(asked.limit)
    ).all()
    return tuple(
        SignalView(
            time_ns=from_datetime(row.timestamp),
            strategy=asked.name,
            symbol=row.symbol,
            signal=row.signal,
            confidence=as_float(row.confidence),
        )
        for row in reversed(rows)
    )


def _trades(session: Session, asked: StrategyOf) -> tuple[TradeView, ...]:
    rows = session.execute(
        select(TradeTable, TradeShareTable)
        .join(TradeShareTable, TradeShareTable.trade_id == TradeTable.id)
        .join(StrategyTable, StrategyTable.id == TradeShareTable.strategy_id)
        .where(StrategyTable.name == asked.name)
        .order_by(TradeTable.entry_time.desc())
        .limit(asked.limit)
    ).all()
    return tuple(_trade(trade, share) for trade, share in reversed(rows))


def _trade(trade: TradeTable, share: TradeShareTable) -> TradeView:
    parts = (share.profit, share.commission, share.swap)
    return TradeView(
        order=trade.order_ticket or 0,
        symbol=trade.symbol,
        direction=trade.direction,
        lots=float(trade.lot_size),
        entry_ns=from_datetime(trade.entry_time),
        entry_price=float(trade.entry_price),
        exit_ns=0 if trade.exit_time is None else from_datetime(trade.exit_time),
        exit_price=as_float(trade.exit_price),
        reason=(trade.exit_reason or "").lower(),
        share_frac=float(share.share),
        profit_ccy=sum(float(part or 0) for part in parts),
    )


def backtests(session: Session, asked: BacktestsOf) -> tuple[BacktestView, ...]:
    """Return stored backtests, newest first."""
    rows = session.execute(_SHORT.order_by(BacktestResultTable.id.desc()).limit(asked.limit))
    return tuple(_view(row) for row in rows)


def backtest(session: Session, asked: BacktestOf) -> Backtest:
    """Return one stored backtest.

    Raises:
        UserError: there is none with this id.
    """
    names = ("summary", "books", "equity", *_PARTS, *_MADE_OF)
    parts = [_RESULTS[name] for name in names]
    row = session.execute(
        _SHORT.add_columns(*parts).where(BacktestResultTable.id == asked.id)
    ).one_or_none()
    if row is None:
        raise UserError(f"there is no backtest {asked.id}")
    summary, books, equity, *others = row[-len(parts) :]
    lists, made_of = others[: len(_PARTS)], others[len(_PARTS) :]
    return Backtest(
        view=_view(row),
        summary=summary,
        books={book["book"]: book["net_profit_ccy"] for book in books},
        made_of=dict(zip(_MADE_OF, map(str, made_of), strict=True)),
        equity=tuple((int(at), float(value)) for at, value in equity or ()),
        **{
            name: msgspec.convert(rows or (), kind)
            for (name, kind), rows in zip(_PARTS.items(), lists, strict=True)
        },
    )


# A whole `results` holds the portfolio and every strategy's figures: only parts are read.
_RESULTS = BacktestResultTable.results
_SHORT = select(
    BacktestResultTable.id,
    BacktestResultTable.created_at,
    BacktestResultTable.start_date,
    BacktestResultTable.end_date,
    BacktestResultTable.total_return,
    BacktestResultTable.sharpe_ratio,
    BacktestResultTable.max_drawdown,
    BacktestResultTable.win_rate,
    BacktestResultTable.trades_count,
    _RESULTS["symbols"].label("symbols"),
    BacktestResultTable.name,
    # Results of before revision 0006 have the portfolio's name in the name's place.
    func.coalesce(
        _RESULTS["made_of"]["name"].astext, _RESULTS["made_of"]["portfolio"].astext
    ).label("portfolio"),
)


def _view(row: Any) -> BacktestView:
    return BacktestView(
        id=row.id,
        created_ns=from_datetime(row.created_at),
        from_ns=from_datetime(row.start_date),
        to_ns=from_datetime(row.end_date),
        total_return_frac=as_float(row.total_return),
        sharpe_ratio=as_float(row.sharpe_ratio),
        max_drawdown_frac=as_float(row.max_drawdown),
        win_rate_frac=as_float(row.win_rate),
        n_trades=row.trades_count,
        symbols=tuple(part["symbol"] for part in row.symbols or ()),
        portfolio=row.portfolio or "",
        name=row.name,
    )


def as_float(value: Decimal | None) -> float:
    """Return a number of the database, NaN for none."""
    return float("nan") if value is None else float(value)
