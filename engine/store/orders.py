"""Orders as they were decided, found by the numbers an operator has at hand."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from engine.model.times import from_datetime, iso_utc
from engine.store.tables import Order, Strategy, Trade, TradeShare


def explained_order(session: Session, number: int) -> dict[str, Any] | None:
    """Return the newest order with this magic or order ticket and what it was decided on.

    Of an order that closed a position: the one that opened it. None where there is no such order.
    """
    order = _newest(session, or_(Order.magic == number, Order.order_ticket == number))
    if order is None:
        return None
    if order.action == "CLOSE":
        trade = session.scalar(
            select(Trade)
            .where(Trade.close_order_ticket == order.order_ticket)
            .order_by(Trade.id.desc())
        )
        opened = trade and _newest(session, Order.order_ticket == trade.order_ticket)
        order = opened or order
    return {
        "time": iso_utc(from_datetime(order.created_at)),
        "magic": order.magic,
        "order": order.order_ticket,
        "book": session.scalar(select(Strategy.name).where(Strategy.id == order.strategy_id)),
        "symbol": order.symbol,
        "action": order.action,
        "state": order.state,
        "detail": order.detail,
        "filled_price": None if order.price is None else float(order.price),
        "decision": order.checks,
        "result": _result(session, order),
    }


def _newest(session: Session, where: Any) -> Order | None:
    return session.scalars(select(Order).where(where).order_by(Order.id.desc()).limit(1)).first()


def _result(session: Session, order: Order) -> Mapping[str, Any] | None:
    """Return what became of the position an order opened, None while it is open or never was."""
    trade = session.scalars(
        select(Trade)
        .where(Trade.order_ticket == order.order_ticket, Trade.status == "CLOSED")
        .order_by(Trade.id.desc())
    ).first()
    if trade is None or not order.order_ticket or trade.exit_time is None:
        return None
    parts = session.execute(
        select(Strategy.name, TradeShare.profit, TradeShare.commission, TradeShare.swap)
        .join(Strategy, Strategy.id == TradeShare.strategy_id)
        .where(TradeShare.trade_id == trade.id)
        .order_by(Strategy.name)
    ).all()
    return {
        "exit_time": iso_utc(from_datetime(trade.exit_time)),
        "exit_price": float(trade.exit_price or 0),
        "exit_reason": (trade.exit_reason or "").lower(),
        "commission_ccy": float(trade.commission),
        "swap_ccy": float(trade.swap),
        "profit_ccy": float(trade.profit_loss or 0),
        "parts": {
            name: {
                "gross_profit_ccy": float(profit or 0),
                "commission_ccy": float(commission or 0),
                "swap_ccy": float(swap or 0),
            }
            for name, profit, commission, swap in parts
        },
    }
