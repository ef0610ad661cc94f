"""A broker's checks of requests that place, change or remove a working order."""

from typing import Any, Final

import msgspec

from engine.decision.money import round_price
from engine.model.symbols import SymbolSpec
from engine.terminal.simulated.broker.broker import Broker
from engine.terminal.simulated.broker.pending import LIMITS, MARKET, STOP_LIMITS, ends_at_s
from engine.terminal.simulated.broker.rules import (
    GRID_TOLERANCE,
    is_frozen,
    on_grid,
    over_position_limit,
    over_volume_limit,
    valid_levels,
    valid_volume,
)
from engine.terminal.simulated.broker.state import SimOrder
from engine.terminal.simulated.module import constants as c

_TYPES: Final = (
    c.ORDER_TYPE_BUY_LIMIT,
    c.ORDER_TYPE_SELL_LIMIT,
    c.ORDER_TYPE_BUY_STOP,
    c.ORDER_TYPE_SELL_STOP,
    c.ORDER_TYPE_BUY_STOP_LIMIT,
    c.ORDER_TYPE_SELL_STOP_LIMIT,
)
_TIMED: Final = (c.ORDER_TIME_SPECIFIED, c.ORDER_TIME_SPECIFIED_DAY)
# Bit of a symbol's filling mode that allows BOC.
_PASSIVE = 4

Answer = tuple[int, SimOrder | None]


class PendingChecks:
    """The checks of one broker's working orders; code 0 accepts, with the order as it will be."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def check(self, request: Any, now_ns: int) -> Answer:
        """Judge a request to place, change or remove an order."""
        if request.action == c.TRADE_ACTION_PENDING:
            return self._new(request, now_ns)
        order = self._broker.working.get(request.order)
        if order is None or request.symbol not in ("", order.symbol):
            return c.TRADE_RETCODE_INVALID_ORDER, None
        if self._is_frozen(order):
            return c.TRADE_RETCODE_FROZEN, None
        if request.action == c.TRADE_ACTION_REMOVE:
            return 0, order
        return self._changed(request, order, now_ns)

    def _new(self, request: Any, now_ns: int) -> Answer:
        if request.type not in _TYPES:
            return c.TRADE_RETCODE_INVALID, None
        spec = self._broker.market.specs[request.symbol]
        if not self._takes_filling(request):
            return c.TRADE_RETCODE_INVALID_FILL, None
        if not valid_volume(request.volume, spec):
            return c.TRADE_RETCODE_INVALID_VOLUME, None
        order = _levelled(_order(request, self._broker.server_msc(now_ns)), request, spec)
        retcode = self._levels(order, now_ns) or self._limits(order)
        return retcode, None if retcode else order

    def _takes_filling(self, request: Any) -> bool:
        """A pending order may always wait with its rest; BOC is for limits where it is allowed."""
        if request.type_filling == c.ORDER_FILLING_BOC:
            passive = request.type in LIMITS or request.type in STOP_LIMITS
            return passive and bool(self._broker.config.filling_mode & _PASSIVE)
        bits = {c.ORDER_FILLING_FOK: 1, c.ORDER_FILLING_IOC: 2}
        return request.type_filling == c.ORDER_FILLING_RETURN or bool(
            bits.get(request.type_filling, 0) & self._broker.config.filling_mode
        )

    def _changed(self, request: Any, order: SimOrder, now_ns: int) -> Answer:
        if order.type in MARKET:
            return c.TRADE_RETCODE_INVALID, None
        changed = msgspec.structs.replace(
            order,
            type_time=request.type_time,
            expiration_s=request.expiration if request.type_time in _TIMED else 0,
        )
        changed = _levelled(changed, request, self._broker.market.specs[order.symbol])
        if changed == order:
            return c.TRADE_RETCODE_NO_CHANGES, None
        retcode = self._levels(changed, now_ns)
        return retcode, None if retcode else changed

    def _levels(self, order: SimOrder, now_ns: int) -> int:
        """Check an order's prices, its stop and target, and its expiration."""
        spec = self._broker.market.specs[order.symbol]
        if not self._valid_price(order, spec):
            return c.TRADE_RETCODE_INVALID_PRICE
        opens = order.price_stoplimit if order.type in STOP_LIMITS else order.price
        if not valid_levels(order.direction, order.sl, order.tp, opens, spec):
            return c.TRADE_RETCODE_INVALID_STOPS
        ends_s = ends_at_s(order.type_time, order.expiration_s, order.time_msc // 1000)
        known = c.ORDER_TIME_GTC <= order.type_time <= c.ORDER_TIME_SPECIFIED_DAY
        if not known or (ends_s is not None and ends_s * 1000 <= self._broker.server_msc(now_ns)):
            return c.TRADE_RETCODE_INVALID_EXPIRATION
        return 0

    def _valid_price(self, order: SimOrder, spec: SymbolSpec) -> bool:
        """Tell whether an order's price is on its side of the market, far enough away.

        Exchanges take limit orders at any price.
        """
        if not (order.price > 0.0 and on_grid(order.price, spec)):
            return False
        nearest = max(spec.stops_level_points, 1.0) - GRID_TOLERANCE - 1e-3
        up = order.direction if order.type not in LIMITS else -order.direction
        if order.type in STOP_LIMITS:
            if not (order.price_stoplimit > 0.0 and on_grid(order.price_stoplimit, spec)):
                return False
            back = (order.price - order.price_stoplimit) * order.direction / spec.point
            if back < nearest:
                return False
        if order.type in LIMITS and self._broker.config.execution == "exchange":
            return True
        return (order.price - self._market(order)) * up / spec.point >= nearest

    def _market(self, order: SimOrder) -> float:
        """Return the price that an order is triggered by."""
        quote = self._broker.market.quotes[order.symbol]
        return quote.ask if order.direction > 0 else quote.bid

    def _is_frozen(self, order: SimOrder) -> bool:
        spec = self._broker.market.specs[order.symbol]
        freeze = self._broker.config.freeze_level_points
        return order.type not in MARKET and is_frozen(
            self._market(order), order.price, spec, freeze
        )

    def _limits(self, order: SimOrder) -> int:
        broker = self._broker
        most = broker.config.account.limit_orders
        if most and len(broker.working) >= most:
            return c.TRADE_RETCODE_LIMIT_ORDERS
        if over_position_limit(broker, order.symbol):
            return c.TRADE_RETCODE_LIMIT_POSITIONS
        if over_volume_limit(broker, order.symbol, order.direction, order.lots):
            return c.TRADE_RETCODE_LIMIT_VOLUME
        return 0


def _order(request: Any, server_msc: int) -> SimOrder:
    lots = float(request.volume)
    return SimOrder(
        ticket=0,
        symbol=request.symbol,
        type=request.type,
        lots=lots,
        lots_left=lots,
        price=0.0,
        sl=0.0,
        tp=0.0,
        magic=request.magic,
        comment=request.comment,
        reason=c.ORDER_REASON_EXPERT,
        type_filling=request.type_filling,
        type_time=request.type_time,
        expiration_s=request.expiration if request.type_time in _TIMED else 0,
        position_id=0,
        state=c.ORDER_STATE_PLACED,
        time_msc=server_msc,
    )


def _levelled(order: SimOrder, request: Any, spec: SymbolSpec) -> SimOrder:
    """Return an order with a request's prices, on the grid where they are near it."""
    limit = request.stoplimit if order.type in STOP_LIMITS else 0.0
    prices = (request.price, limit, request.sl, request.tp)
    price, limit, sl, tp = (
        float(round_price(p, spec.digits)) if on_grid(p, spec) else float(p) for p in prices
    )
    return msgspec.structs.replace(order, price=price, price_stoplimit=limit, sl=sl, tp=tp)
