"""An order told from its end to its beginning: deals, order, size, rules, votes, signals."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.model.symbols import price_text
from engine.model.times import from_datetime
from engine.model.views.decisions import judged
from engine.model.views.details import OrderDetail, RuleView, SignalView, VoteView
from engine.store.orders import find_order, outcome_of, trade_of
from engine.store.tables import OrderTable, StrategySignalTable, StrategyTable


def order_detail(session: Session, number: int) -> OrderDetail | None:
    """Return the order with this ticket or magic; None where there is none."""
    order = find_order(session, number)
    if order is None:
        return None
    document: Mapping[str, Any] = order.checks or {}
    votes = tuple(VoteView(**vote) for vote in document.get("votes", ()))
    trade = trade_of(session, order)
    result = outcome_of(session, trade)
    levels = document.get("order", {})
    return OrderDetail(
        time_ns=from_datetime(order.created_at),
        magic=order.magic,
        order=order.order_ticket,
        deal=order.deal_ticket,
        close_order=0 if trade is None else trade.close_order_ticket or 0,
        close_deal=0 if trade is None else trade.close_deal_ticket or 0,
        book=session.scalar(select(StrategyTable.name).where(StrategyTable.id == order.strategy_id))
        or "",
        symbol=order.symbol,
        action=order.action,
        direction=order.direction,
        lots=float(order.lots),
        state=order.state,
        retcode=order.retcode,
        detail=order.detail,
        price=_number(order.price),
        stop=_number(levels.get("stop")),
        target=_number(levels.get("target")),
        refusal=document.get("refusal") or "",
        rules=tuple(RuleView(**rule._asdict()) for rule in judged(document)) if document else (),
        votes=votes,
        steps=tuple(_steps(document["sizing"])) if document else (),
        signals=_signals(session, order, votes),
        result=_result(result),
        parts={} if result is None else _parts(result),
        code=document.get("code", ""),
    )


def _signals(
    session: Session, order: OrderTable, votes: tuple[VoteView, ...]
) -> tuple[SignalView, ...]:
    """Return each voter's last change of its output up to the order."""
    found = []
    for vote in votes:
        row = session.scalar(
            select(StrategySignalTable)
            .join(StrategyTable, StrategyTable.id == StrategySignalTable.strategy_id)
            .where(
                StrategyTable.name == vote.strategy,
                StrategySignalTable.timestamp <= order.created_at,
            )
            .order_by(StrategySignalTable.timestamp.desc())
            .limit(1)
        )
        if row is not None:
            found.append(
                SignalView(
                    time_ns=from_datetime(row.timestamp),
                    strategy=vote.strategy,
                    symbol=row.symbol,
                    signal=row.signal,
                    confidence=_number(row.confidence),
                )
            )
    return tuple(found)


def _steps(sizing: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return how the lots came about, in words."""
    steps = [("method", sizing["method"]), ("equity", f"{sizing['equity_ccy']:z,.2f}")]
    steps += [
        (name.replace("_", " "), _text(sizing[name]))
        for name in ("stop_distance", "target_distance", "wanted_lots")
    ]
    steps += [
        ("× allocation", _text(sizing["allocation"])),
        ("× drawdown tier", _text(sizing["tier_factor"])),
        (f"rounded down to {sizing['step_lots']:g}", _text(sizing["lots"])),
    ]
    return steps


def _result(result: Mapping[str, Any] | None) -> str:
    if result is None:
        return ""
    return (
        f"closed by {result['exit_reason']} at {price_text(result['exit_price'])},"
        f" {result['exit_time']}:"
        f" {result['profit_ccy']:+z,.2f} with commission {result['commission_ccy']:z,.2f}"
        f" and swap {result['swap_ccy']:z,.2f}"
    )


def _parts(result: Mapping[str, Any]) -> dict[str, float]:
    return {name: sum(amounts.values()) for name, amounts in result["parts"].items()}


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _text(value: float | None) -> str:
    return "–" if value is None else f"{value:.7g}"
