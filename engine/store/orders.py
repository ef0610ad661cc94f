"""Orders as they were decided, found by the numbers an operator has at hand."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from engine.model.times import from_datetime, iso_utc
from engine.store.tables import OrderTable, StrategyTable, TradeShareTable, TradeTable


def explained_order(session: Session, number: int) -> dict[str, Any] | None:
    """Return the newest order with this magic or order ticket and what it was decided on.

    Of an order that closed a position: the one that opened it. None where there is no such order.
    """
    order = find_order(session, number)
    if order is None:
        return None
    return {
        "time": iso_utc(from_datetime(order.created_at)),
        "magic": order.magic,
        "order": order.order_ticket,
        "book": session.scalar(
            select(StrategyTable.name).where(StrategyTable.id == order.strategy_id)
        ),
        "symbol": order.symbol,
        "action": order.action,
        "state": order.state,
        "detail": order.detail,
        "filled_price": None if order.price is None else float(order.price),
        "code": order.code,
        "decision": order.checks,
        "result": outcome_of(session, trade_of(session, order)),
    }


def find_order(session: Session, number: int) -> OrderTable | None:
    """Return the newest order with this magic or ticket; of a close, the one that opened."""
    order = _newest(session, or_(OrderTable.magic == number, OrderTable.order_ticket == number))
    if order is None or order.action != "CLOSE":
        return order
    trade = session.scalar(
        select(TradeTable)
        .where(TradeTable.close_order_ticket == order.order_ticket)
        .order_by(TradeTable.id.desc())
    )
    opened = trade and _newest(session, OrderTable.order_ticket == trade.order_ticket)
    return opened or order


def _newest(session: Session, where: Any) -> OrderTable | None:
    return session.scalars(
        select(OrderTable).where(where).order_by(OrderTable.id.desc()).limit(1)
    ).first()


def trade_of(session: Session, order: OrderTable) -> TradeTable | None:
    """Return the closed trade that an order opened, None while it is open or never was."""
    if not order.order_ticket:
        return None
    return session.scalars(
        select(TradeTable)
        .where(TradeTable.order_ticket == order.order_ticket, TradeTable.status == "CLOSED")
        .order_by(TradeTable.id.desc())
    ).first()


def outcome_of(session: Session, trade: TradeTable | None) -> Mapping[str, Any] | None:
    """Return what became of a closed position."""
    if trade is None or trade.exit_time is None:
        return None
    parts = session.execute(
        select(
            StrategyTable.name,
            TradeShareTable.profit,
            TradeShareTable.commission,
            TradeShareTable.swap,
        )
        .join(StrategyTable, StrategyTable.id == TradeShareTable.strategy_id)
        .where(TradeShareTable.trade_id == trade.id)
        .order_by(StrategyTable.name)
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
