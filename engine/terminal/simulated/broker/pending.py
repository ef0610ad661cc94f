"""Orders that work: triggered by prices, filled as far as there is liquidity, expired in time.

Buys look at the ask, sells at the bid. A gap through an order's price fills at the open, better
for a limit and worse for a stop, as stops and targets of positions do. An order that cannot be
margined when its price comes is rejected.
"""

from typing import Final

import msgspec

from engine.decision.money import round_price
from engine.terminal.simulated.broker.broker import Broker, SimTrade
from engine.terminal.simulated.broker.liquidity import Liquidity
from engine.terminal.simulated.broker.state import SimOrder, SimPosition
from engine.terminal.simulated.module import constants as c

LIMITS: Final = (c.ORDER_TYPE_BUY_LIMIT, c.ORDER_TYPE_SELL_LIMIT)
STOP_LIMITS: Final = {
    c.ORDER_TYPE_BUY_STOP_LIMIT: c.ORDER_TYPE_BUY_LIMIT,
    c.ORDER_TYPE_SELL_STOP_LIMIT: c.ORDER_TYPE_SELL_LIMIT,
}
MARKET: Final = (c.ORDER_TYPE_BUY, c.ORDER_TYPE_SELL)
_DAY_S: Final = 86_400

Prices = tuple[float, float, float]


class Pending:
    """The working orders of one broker."""

    def __init__(self, broker: Broker, liquidity: Liquidity) -> None:
        self._broker = broker
        self._liquidity = liquidity

    def match(self, symbol: str, time_ns: int, next_ns: int, bids: Prices, spread: float) -> None:
        """Fill what (open, high, low) bids reached at `time_ns`; new prices come at `next_ns`."""
        digits = self._broker.market.specs[symbol].digits
        ask, ask_high, ask_low = (float(round_price(b + spread, digits)) for b in bids)
        asks = ask, ask_high, ask_low
        for order in [o for o in self._broker.working.values() if o.symbol == symbol]:
            if time_ns >= order.since_ns:
                side = asks if order.direction > 0 else bids
                self._match_one(order, time_ns, next_ns, side)

    def _match_one(self, order: SimOrder, time_ns: int, next_ns: int, prices: Prices) -> None:
        price = _reached(order, *prices)
        if price is None:
            return
        if limit := STOP_LIMITS.get(order.type):
            # The limit is looked at from the next prices on: what came first is not known.
            self._broker.amend(
                msgspec.structs.replace(
                    order, type=limit, price=order.price_stoplimit, since_ns=next_ns
                )
            )
            return
        self.fill(order, price, time_ns, next_ns)

    def fill(self, order: SimOrder, price: float, time_ns: int, next_ns: int) -> None:
        """Fill an order at `price` as far as its filling, the liquidity and the margin allow.

        Prices before `next_ns` do not touch what it makes.
        """
        broker = self._broker
        position = self._position(order)
        if order.position_id and position is None and order.type in MARKET:
            broker.drop(order, c.ORDER_STATE_CANCELED, time_ns)  # what it closes has gone
            return
        lots = min(order.lots_left, self._liquidity.left(order.symbol, order.direction))
        opposite = position is not None and position.direction != order.direction
        if opposite and broker.account.hedging and position:
            lots = min(lots, position.lots)
        wanted_whole = order.type_filling == c.ORDER_FILLING_FOK
        if lots <= 0.0 or (wanted_whole and lots < order.lots_left):
            if order.type_filling in (c.ORDER_FILLING_FOK, c.ORDER_FILLING_IOC):
                broker.drop(order, c.ORDER_STATE_CANCELED, time_ns)
            return
        closing = opposite and position is not None and lots <= position.lots
        if not closing and not self._affordable(order, lots):
            broker.drop(order, c.ORDER_STATE_REJECTED, time_ns)
            return
        self._liquidity.take(order.symbol, order.direction, lots)
        order = msgspec.structs.replace(order, since_ns=next_ns)
        broker.execute(_trade(order, lots, price, time_ns), position, order)

    def _affordable(self, order: SimOrder, lots: float) -> bool:
        money = self._broker.money
        return money.margin_after(order.symbol, order.direction * lots) <= money.figures().equity

    def _position(self, order: SimOrder) -> SimPosition | None:
        """Return the position that an order adds to, closes or reverses."""
        if not self._broker.account.hedging:
            return self._broker.netted(order.symbol)
        return self._broker.positions.get(order.position_id or order.ticket)

    def expire(self, now_ns: int) -> None:
        """End the orders whose time is over."""
        server_s = self._broker.server_msc(now_ns) // 1000
        daily = self._broker.config.orders != "gtc"
        for order in list(self._broker.working.values()):
            type_time = order.type_time
            if daily and type_time == c.ORDER_TIME_GTC:
                type_time = c.ORDER_TIME_DAY
            ends_s = ends_at_s(type_time, order.expiration_s, order.time_msc // 1000)
            if ends_s is not None and server_s >= ends_s:
                self._broker.drop(order, c.ORDER_STATE_EXPIRED, now_ns)


def ends_at_s(type_time: int, expiration_s: int, set_up_s: int) -> int | None:
    """Return when an order's time is over, server seconds; None for never."""
    if type_time == c.ORDER_TIME_DAY:
        return (set_up_s // _DAY_S + 1) * _DAY_S
    if type_time == c.ORDER_TIME_SPECIFIED:
        return expiration_s
    if type_time == c.ORDER_TIME_SPECIFIED_DAY:
        return (expiration_s // _DAY_S + 1) * _DAY_S
    return None


def crosses(order: SimOrder, bid: float, ask: float) -> bool:
    """Tell whether a limit order could be filled at once."""
    if order.type not in LIMITS:
        return False
    return ask <= order.price if order.direction > 0 else bid >= order.price


def _reached(order: SimOrder, opens: float, high: float, low: float) -> float | None:
    """Return what an order fills at within prices of its side; None if they did not reach it."""
    if order.type in MARKET:
        return opens
    # A buy limit and a sell stop wait below the market.
    below = (order.type in LIMITS) == (order.direction > 0)
    if below:
        if opens <= order.price:
            return opens
        return order.price if low <= order.price else None
    if opens >= order.price:
        return opens
    return order.price if high >= order.price else None


def _trade(order: SimOrder, lots: float, price: float, time_ns: int) -> SimTrade:
    return SimTrade(
        symbol=order.symbol,
        direction=order.direction,
        lots=lots,
        price=price,
        time_ns=time_ns,
        reason=order.reason,
        magic=order.magic,
        comment=order.comment,
        sl=order.sl,
        tp=order.tp,
        since_ns=order.since_ns,
        type_filling=order.type_filling,
        rests=order.type_filling in (c.ORDER_FILLING_RETURN, c.ORDER_FILLING_BOC),
    )
