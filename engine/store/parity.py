"""What live did in some hours, as the database has it; and the scores of a comparison with it."""

from collections.abc import Iterable, Iterator

import msgspec
from sqlalchemy import func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased

from engine.model.live_day import LiveCommand, LiveDay, LiveOrder, LiveTrade
from engine.model.parity import Gap, ParityScore
from engine.model.times import NS_PER_MINUTE, from_datetime, to_datetime
from engine.model.views.commands import COMMANDS
from engine.store.tables import (
    AuditLogTable,
    MarketDataTable,
    OrderTable,
    ParityScoreTable,
    PortfolioMetricTable,
    StrategyTable,
    TradeShareTable,
    TradeTable,
)

_FILLED = "DONE"


def moved_until_ns(session: Session) -> int:
    """Return the last batch of which everything is in the database; 0 for none."""
    newest = session.scalar(select(func.max(PortfolioMetricTable.updated_at)))
    return 0 if newest is None else from_datetime(newest)


def live_day(session: Session, from_ns: int, to_ns: int) -> LiveDay:
    """Return what live did and saw between two batches, and the minute after the last one."""
    first, last = to_datetime(from_ns), to_datetime(to_ns + NS_PER_MINUTE)
    bars: dict[str, list[tuple[int, float, float, float]]] = {}
    seen = (
        select(
            MarketDataTable.symbol,
            MarketDataTable.timestamp,
            MarketDataTable.high,
            MarketDataTable.low,
            MarketDataTable.close,
        )
        .where(MarketDataTable.timeframe == 1, MarketDataTable.timestamp >= first)
        .where(MarketDataTable.timestamp < last, MarketDataTable.source == "terminal")
    )
    for symbol, at, *values in session.execute(seen):
        high, low, close = map(float, values)
        bars.setdefault(symbol, []).append((from_datetime(at), high, low, close))
    return LiveDay(
        trades=tuple(_trades(session, from_ns, to_ns)),
        orders=tuple(_orders(session, from_ns, to_ns)),
        commands=tuple(_commands(session, from_ns, to_ns)),
        bars=bars,
    )


def _trades(session: Session, from_ns: int, to_ns: int) -> Iterator[LiveTrade]:
    book, member = aliased(StrategyTable), aliased(StrategyTable)
    query = (
        select(TradeTable, book.name)
        .join(book, book.id == TradeTable.strategy_id)
        .where(TradeTable.entry_time < to_datetime(to_ns + NS_PER_MINUTE))
        .where(or_(TradeTable.exit_time.is_(None), TradeTable.exit_time >= to_datetime(from_ns)))
    )
    trades = session.execute(query).all()
    shares: dict[int, dict[str, float]] = {trade.id: {} for trade, _ in trades}
    parts = (
        select(TradeShareTable.trade_id, member.name, TradeShareTable.share)
        .join(member, member.id == TradeShareTable.strategy_id)
        .where(TradeShareTable.trade_id.in_(shares))
    )
    for trade_id, name, share in session.execute(parts):
        shares[trade_id][name] = float(share)
    for trade, name in trades:
        yield LiveTrade(
            book=name,
            symbol=trade.symbol,
            direction=trade.direction,
            lots=float(trade.lot_size),
            entry_ns=from_datetime(trade.entry_time),
            exit_ns=0 if trade.exit_time is None else from_datetime(trade.exit_time),
            reason=(trade.exit_reason or "").lower(),
            profit_ccy=float(trade.profit_loss or 0),
            shares={n: s for n, s in shares[trade.id].items() if s > 0.0},
        )


def _orders(session: Session, from_ns: int, to_ns: int) -> Iterator[LiveOrder]:
    query = (
        select(OrderTable, StrategyTable.name)
        .join(StrategyTable, StrategyTable.id == OrderTable.strategy_id)
        .where(OrderTable.created_at >= to_datetime(from_ns))
        .where(
            OrderTable.created_at < to_datetime(to_ns + NS_PER_MINUTE), OrderTable.state != _FILLED
        )
        .order_by(OrderTable.created_at)
    )
    for order, book in session.execute(query):
        code = f" {order.retcode}" if order.retcode else ""
        yield LiveOrder(
            time_ns=from_datetime(order.created_at),
            book=book,
            symbol=order.symbol,
            text=f"{order.state}{code} {order.detail}".strip(),
        )


def _commands(session: Session, from_ns: int, to_ns: int) -> Iterator[LiveCommand]:
    query = (
        select(AuditLogTable)
        .where(AuditLogTable.timestamp >= to_datetime(from_ns))
        .where(AuditLogTable.timestamp < to_datetime(to_ns + NS_PER_MINUTE))
        .where(AuditLogTable.event_type.in_(("COMMAND", "STRATEGY", "RISK_CHECK", "MARKET")))
        .order_by(AuditLogTable.id)
    )
    for entry in session.scalars(query):
        details = entry.details
        command = COMMANDS.get(details.get("command", ""))
        at_ns = from_datetime(entry.timestamp)
        if command and command.explains != "nothing" and entry.status == "SUCCESS":
            concerned = "" if command.explains == "all" else details.get(command.explains, "")
            text = f"`{command.name} {details.get('target', '')}`".replace(" `", "`")
            text = f"after {text} by {entry.actor}"
            yield LiveCommand(time_ns=at_ns, text=text, target=str(concerned))
        elif "orders_off_to_ns" in details:
            first_ns, last_ns = details["orders_off_from_ns"], details["orders_off_to_ns"]
            text = "live took the batch late, with orders off"
            yield LiveCommand(time_ns=first_ns, until_ns=last_ns, text=text, target="")
        elif "quarantined" in details:
            name = str(details["strategy"])
            yield LiveCommand(time_ns=at_ns, text=f"after {name} was quarantined", target=name)
        elif "state" in details:
            text = f"after {details['state']}: {details.get('reason', '')}"
            yield LiveCommand(time_ns=at_ns, text=text, target="")


def save_scores(session: Session, scores: Iterable[ParityScore]) -> None:
    """Store scores; the same hours again replace what was there."""
    ids = {
        row.name: row.id for row in session.execute(select(StrategyTable.name, StrategyTable.id))
    }
    for score in scores:
        if score.strategy not in ids:
            continue  # it was never stored: nothing can refer to it
        values = {
            "to_time": to_datetime(score.to_ns),
            "trades_count": score.n_trades,
            "alike_count": score.n_alike,
            "live_profit": score.live_ccy,
            "backtest_profit": score.tested_ccy,
            "gaps": msgspec.to_builtins(score.gaps),
        }
        key = {"strategy_id": ids[score.strategy], "from_time": to_datetime(score.from_ns)}
        session.execute(
            insert(ParityScoreTable)
            .values(key | values)
            .on_conflict_do_update(index_elements=list(key), set_=values)
        )


def parity_scores(session: Session, strategy: str, limit: int) -> tuple[ParityScore, ...]:
    """Return a strategy's newest scores, oldest first."""
    rows = session.scalars(
        select(ParityScoreTable)
        .join(StrategyTable, StrategyTable.id == ParityScoreTable.strategy_id)
        .where(StrategyTable.name == strategy)
        .order_by(ParityScoreTable.from_time.desc())
        .limit(limit)
    ).all()
    return tuple(
        ParityScore(
            strategy=strategy,
            from_ns=from_datetime(row.from_time),
            to_ns=from_datetime(row.to_time),
            n_trades=row.trades_count,
            n_alike=row.alike_count,
            live_ccy=float(row.live_profit),
            tested_ccy=float(row.backtest_profit),
            gaps=msgspec.convert(tuple(row.gaps), tuple[Gap, ...]),
        )
        for row in reversed(rows)
    )
