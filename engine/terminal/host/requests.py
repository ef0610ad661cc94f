"""Order requests as the module wants them: plain dicts, strict types, symbol rules applied."""

import math
from typing import Any, Final

from engine.model.broker import OrderRequest
from engine.model.errors import NotSent
from engine.terminal.host.symbol_rules import (
    SymbolFacts,
    fillings_for,
    round_to_tick,
    volume_problem,
)

ACTION_DEAL: Final = 1
ACTION_SLTP: Final = 6
TYPE_BUY: Final = 0
TYPE_SELL: Final = 1
# The module takes 29 UTF-16 units, some servers 28; MT5.md §1 advises 27 ASCII.
COMMENT_MAX: Final = 27


def deal_request(order: OrderRequest, facts: SymbolFacts) -> dict[str, Any]:
    """Return the dict for a market order, or raise NotSent saying what is wrong with it."""
    problem = volume_problem(float(order.lots), facts)
    if order.direction not in (1, -1):
        problem = f"direction {order.direction} is neither 1 nor -1"
    elif not (math.isfinite(order.price) and order.price > 0):
        problem = f"price {order.price} is not a positive number"
    elif len(order.comment) > COMMENT_MAX or not order.comment.isascii():
        problem = f"comment {order.comment!r} is not ASCII of at most {COMMENT_MAX} characters"
    elif order.magic < 0 or order.position < 0:
        problem = f"magic {order.magic} and position {order.position} must not be negative"
    fillings = fillings_for(facts)
    if order.filling >= len(fillings):
        problem = f"none of its {len(fillings)} filling modes is taken"
    if problem:
        raise NotSent(f"{order.symbol}: {problem}")
    request: dict[str, Any] = {
        "action": ACTION_DEAL,
        "symbol": facts.broker_name,
        "volume": float(order.lots),
        "type": TYPE_BUY if order.direction > 0 else TYPE_SELL,
        "price": round_to_tick(float(order.price), facts),
        "deviation": int(order.deviation_points),
        "magic": int(order.magic),
        "comment": str(order.comment),
        "type_time": 0,
        "type_filling": fillings[order.filling],
    }
    if order.position:
        request["position"] = int(order.position)
    request.update(_levels(order.symbol, order.stop, order.target, facts, keep_zero=False))
    return request


def modify_request(
    symbol: str, ticket: int, stop: float, target: float, facts: SymbolFacts
) -> dict[str, Any]:
    """Return the dict that sets a position's stop and target; 0.0 removes a level."""
    if ticket <= 0:
        raise NotSent(f"{symbol}: position {ticket} is no ticket")
    return {
        "action": ACTION_SLTP,
        "symbol": facts.broker_name,
        "position": int(ticket),
        **_levels(symbol, stop, target, facts, keep_zero=True),
    }


def _levels(
    symbol: str, stop: float, target: float, facts: SymbolFacts, *, keep_zero: bool
) -> dict[str, float]:
    levels = {}
    for key, price in (("sl", stop), ("tp", target)):
        if not math.isfinite(price) or price < 0:
            raise NotSent(f"{symbol}: {key} {price} is not a price (0.0 is none)")
        if price or keep_zero:
            levels[key] = round_to_tick(float(price), facts)
    return levels
