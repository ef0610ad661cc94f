"""A broker's checks of a request, in its order; the first that fails names the return code."""

import math
from typing import Any, Final

import msgspec

from engine.model.symbols import SymbolSpec
from engine.terminal.simulated.broker.broker import Broker
from engine.terminal.simulated.broker.pending_checks import PendingChecks
from engine.terminal.simulated.broker.rules import (
    GRID_TOLERANCE,
    is_frozen,
    on_grid,
    over_position_limit,
    over_volume_limit,
    valid_levels,
    valid_volume,
)
from engine.terminal.simulated.broker.state import SimOrder, SimPosition
from engine.terminal.simulated.faults import Switches
from engine.terminal.simulated.module import constants as c

ACCEPTED: Final = 0
# The module has no constant for it.
HEDGE_PROHIBITED: Final = 10046

COMMENTS: Final = {
    ACCEPTED: "Done",
    c.TRADE_RETCODE_DONE: "Request executed",
    c.TRADE_RETCODE_DONE_PARTIAL: "Request executed partially",
    c.TRADE_RETCODE_PLACED: "Order placed",
    c.TRADE_RETCODE_REQUOTE: "Requote",
    c.TRADE_RETCODE_REJECT: "Request rejected",
    c.TRADE_RETCODE_TIMEOUT: "Request timeout",
    c.TRADE_RETCODE_INVALID: "Invalid request",
    c.TRADE_RETCODE_INVALID_VOLUME: "Invalid volume",
    c.TRADE_RETCODE_INVALID_PRICE: "Invalid price",
    c.TRADE_RETCODE_INVALID_STOPS: "Invalid stops",
    c.TRADE_RETCODE_TRADE_DISABLED: "Trade is disabled",
    c.TRADE_RETCODE_MARKET_CLOSED: "Market closed",
    c.TRADE_RETCODE_NO_MONEY: "No money",
    c.TRADE_RETCODE_PRICE_OFF: "No prices",
    c.TRADE_RETCODE_TOO_MANY_REQUESTS: "Too many requests",
    c.TRADE_RETCODE_NO_CHANGES: "No changes",
    c.TRADE_RETCODE_CLIENT_DISABLES_AT: "AutoTrading disabled by client",
    c.TRADE_RETCODE_DONE_PARTIAL: "Request executed partially",
    c.TRADE_RETCODE_INVALID_EXPIRATION: "Invalid expiration",
    c.TRADE_RETCODE_FROZEN: "Order locked for processing",
    c.TRADE_RETCODE_INVALID_FILL: "Unsupported filling mode",
    c.TRADE_RETCODE_CONNECTION: "No connection",
    c.TRADE_RETCODE_LIMIT_ORDERS: "Too many pending orders",
    c.TRADE_RETCODE_LIMIT_VOLUME: "Volume limit reached",
    c.TRADE_RETCODE_LIMIT_POSITIONS: "Position limit reached",
    c.TRADE_RETCODE_INVALID_ORDER: "Invalid order",
    c.TRADE_RETCODE_CLOSE_ORDER_EXIST: "Close order already exists",
    c.TRADE_RETCODE_FIFO_CLOSE: "Positions of a symbol close oldest first",
    HEDGE_PROHIBITED: "Hedging is prohibited",
    c.TRADE_RETCODE_POSITION_CLOSED: "Position doesn't exist",
    c.TRADE_RETCODE_INVALID_CLOSE_VOLUME: "Invalid close volume",
    c.TRADE_RETCODE_LONG_ONLY: "Only long positions allowed",
    c.TRADE_RETCODE_SHORT_ONLY: "Only short positions allowed",
    c.TRADE_RETCODE_CLOSE_ONLY: "Only position closing allowed",
}

# The filling enum of a request against the symbol's bitmask; RETURN has no bit.
FILLING_BITS: Final = {c.ORDER_FILLING_FOK: 1, c.ORDER_FILLING_IOC: 2, c.ORDER_FILLING_BOC: 4}
# Requests that name an order or a position by ticket need no symbol.
_BY_TICKET: Final = {
    c.TRADE_ACTION_SLTP: "position",
    c.TRADE_ACTION_CLOSE_BY: "position",
    c.TRADE_ACTION_MODIFY: "order",
    c.TRADE_ACTION_REMOVE: "order",
}
_ACTIONS: Final = (c.TRADE_ACTION_DEAL, c.TRADE_ACTION_PENDING, *_BY_TICKET)

_ONE_SIDED: Final = {
    c.SYMBOL_TRADE_MODE_LONGONLY: (c.TRADE_RETCODE_LONG_ONLY, -1),
    c.SYMBOL_TRADE_MODE_SHORTONLY: (c.TRADE_RETCODE_SHORT_ONLY, 1),
}


class SimVerdict(msgspec.Struct, frozen=True):
    """`retcode` 0 accepts; the rest is what an accepted request closes, changes or leaves working.

    `order` of a pending request is the order as it will work, not yet numbered.
    """

    retcode: int
    position: SimPosition | None = None
    other: SimPosition | None = None
    order: SimOrder | None = None


class Checks:
    """The checks of one terminal. `selected`: symbols in Market Watch, shared with it."""

    def __init__(self, broker: Broker, switches: Switches, selected: set[str]) -> None:
        self._broker = broker
        self._market = broker.market
        self._switches = switches
        self._selected = selected
        self._pending = PendingChecks(broker)

    def check(self, request: Any, now_ns: int) -> SimVerdict:
        """Judge a request (TradeRequest) at the current quotes."""
        retcode = self._general(request, self._symbol(request), now_ns)
        if retcode:
            return SimVerdict(retcode)
        if request.action == c.TRADE_ACTION_DEAL:
            return self._deal(request)
        if request.action == c.TRADE_ACTION_SLTP:
            return self._levels(request)
        if request.action == c.TRADE_ACTION_CLOSE_BY:
            return self._close_by(request)
        retcode, order = self._pending.check(request, now_ns)
        if request.action == c.TRADE_ACTION_PENDING and order and not retcode:
            retcode = self._side(order.symbol, order.direction)
        return SimVerdict(retcode, order=order)

    def _symbol(self, request: Any) -> str:
        if request.symbol or request.action not in _BY_TICKET:
            return str(request.symbol)
        named: SimOrder | SimPosition | None = (
            self._broker.working.get(request.order)
            if _BY_TICKET[request.action] == "order"
            else self._broker.positions.get(request.position)
        )
        return named.symbol if named else ""

    def _general(self, request: Any, symbol: str, now_ns: int) -> int:
        if not self._switches.connected:
            return c.TRADE_RETCODE_CONNECTION
        if not self._switches.algo_trading:
            return c.TRADE_RETCODE_CLIENT_DISABLES_AT
        if request.action not in _ACTIONS:
            return c.TRADE_RETCODE_INVALID
        if not symbol and request.action in _BY_TICKET:
            by_order = _BY_TICKET[request.action] == "order"
            return c.TRADE_RETCODE_INVALID_ORDER if by_order else c.TRADE_RETCODE_POSITION_CLOSED
        if symbol not in self._market.specs or symbol not in self._selected:
            return c.TRADE_RETCODE_INVALID
        mode = self._switches.trade_modes.get(symbol, c.SYMBOL_TRADE_MODE_FULL)
        read_only = self._switches.investor or self._switches.other_login
        if read_only or mode == c.SYMBOL_TRADE_MODE_DISABLED:
            return c.TRADE_RETCODE_TRADE_DISABLED
        if self._switches.sessions and not self._market.is_open(symbol, now_ns):
            return c.TRADE_RETCODE_MARKET_CLOSED
        if symbol not in self._market.quotes or math.isnan(self._market.conversion(symbol)):
            return c.TRADE_RETCODE_PRICE_OFF
        return ACCEPTED

    def _deal(self, request: Any) -> SimVerdict:
        if request.type not in (c.ORDER_TYPE_BUY, c.ORDER_TYPE_SELL):
            return SimVerdict(c.TRADE_RETCODE_INVALID)
        direction = 1 if request.type == c.ORDER_TYPE_BUY else -1
        spec = self._market.specs[request.symbol]
        if not self._takes_filling(request.type_filling):
            return SimVerdict(c.TRADE_RETCODE_INVALID_FILL)
        if not valid_volume(request.volume, spec):
            return SimVerdict(c.TRADE_RETCODE_INVALID_VOLUME)
        found = self._affected(request, direction)
        if found.retcode:
            return found
        retcode = (
            self._price(request, direction, spec)
            or self._entry(request, direction, found.position)
            or ACCEPTED
        )
        return SimVerdict(retcode, None if retcode else found.position)

    def _takes_filling(self, filling: int) -> bool:
        """Market execution knows no RETURN, and market orders no BOC."""
        config = self._broker.config
        if filling == c.ORDER_FILLING_RETURN:
            return config.execution != "market"
        passive = filling == c.ORDER_FILLING_BOC
        return not passive and bool(FILLING_BITS.get(filling, 0) & config.filling_mode)

    def _affected(self, request: Any, direction: int) -> SimVerdict:
        """Find the position that a deal closes, adds to or reverses."""
        if not request.position:
            hedging = self._broker.account.hedging
            return SimVerdict(ACCEPTED, None if hedging else self._broker.netted(request.symbol))
        position = self._broker.positions.get(request.position)
        if position is None:
            return SimVerdict(c.TRADE_RETCODE_POSITION_CLOSED)
        if position.symbol != request.symbol:
            return SimVerdict(c.TRADE_RETCODE_INVALID)
        if self._broker.account.hedging:
            if position.direction == direction:
                return SimVerdict(c.TRADE_RETCODE_INVALID)
            if request.volume > position.lots:
                return SimVerdict(c.TRADE_RETCODE_INVALID_CLOSE_VOLUME)
            return SimVerdict(self._close(position), position)
        return SimVerdict(ACCEPTED, position)

    def _close(self, position: SimPosition) -> int:
        """Check what only the closing of one of several positions needs."""
        broker = self._broker
        if any(order.position_id == position.identifier for order in broker.working.values()):
            return c.TRADE_RETCODE_CLOSE_ORDER_EXIST
        if broker.config.account.fifo:
            oldest = next(p for p in broker.positions.values() if p.symbol == position.symbol)
            if oldest is not position:
                return c.TRADE_RETCODE_FIFO_CLOSE
        return c.TRADE_RETCODE_FROZEN if self._frozen(position) else ACCEPTED

    def _frozen(self, position: SimPosition) -> bool:
        """Tell whether the market is too near a position's stop or target to touch it."""
        quote, spec = self._market.quotes[position.symbol], self._market.specs[position.symbol]
        closing = quote.bid if position.direction > 0 else quote.ask
        freeze = self._broker.config.freeze_level_points
        return any(
            level and is_frozen(closing, level, spec, freeze)
            for level in (position.sl, position.tp)
        )

    def _close_by(self, request: Any) -> SimVerdict:
        positions = self._broker.positions
        position, other = positions.get(request.position), positions.get(request.position_by)
        if not self._broker.account.hedging:
            return SimVerdict(c.TRADE_RETCODE_INVALID)
        if position is None or other is None:
            return SimVerdict(c.TRADE_RETCODE_POSITION_CLOSED)
        if (position.symbol, position.direction) != (other.symbol, -other.direction):
            return SimVerdict(c.TRADE_RETCODE_INVALID)
        retcode = c.TRADE_RETCODE_FROZEN if self._frozen(position) or self._frozen(other) else 0
        return SimVerdict(retcode, position, other)

    def _price(self, request: Any, direction: int, spec: SymbolSpec) -> int:
        price = request.price
        if not (price >= 0.0 and on_grid(price, spec)):
            return c.TRADE_RETCODE_INVALID_PRICE
        if self._broker.config.execution in ("instant", "request"):
            if price == 0.0:
                return c.TRADE_RETCODE_INVALID_PRICE
            away_points = abs(price - self.fill_price(request.symbol, direction)) / spec.point
            if away_points > request.deviation + GRID_TOLERANCE:
                return c.TRADE_RETCODE_REQUOTE
        return ACCEPTED

    def fill_price(self, symbol: str, direction: int) -> float:
        """Return what a market order fills at: buys at ask, sells at bid."""
        quote = self._market.quotes[symbol]
        return quote.ask if direction > 0 else quote.bid

    def _entry(self, request: Any, direction: int, position: SimPosition | None) -> int:
        """Check what only opening needs: the allowed side, stops, margin."""
        symbol = request.symbol
        if position and position.direction != direction and request.volume <= position.lots:
            return ACCEPTED
        if retcode := self._side(symbol, direction):
            return retcode
        quote, spec = self._market.quotes[symbol], self._market.specs[symbol]
        closing = quote.bid if direction > 0 else quote.ask
        if not valid_levels(direction, request.sl, request.tp, closing, spec):
            return c.TRADE_RETCODE_INVALID_STOPS
        if over_position_limit(self._broker, symbol):
            return c.TRADE_RETCODE_LIMIT_POSITIONS
        if over_volume_limit(self._broker, symbol, direction, request.volume):
            return c.TRADE_RETCODE_LIMIT_VOLUME
        money = self._broker.money
        figures = money.figures()
        if money.margin_after(symbol, direction * request.volume) > figures.equity:
            return c.TRADE_RETCODE_NO_MONEY
        return ACCEPTED

    def _side(self, symbol: str, direction: int) -> int:
        """Check whether positions in a direction may be opened."""
        mode = self._switches.trade_modes.get(symbol, c.SYMBOL_TRADE_MODE_FULL)
        if mode == c.SYMBOL_TRADE_MODE_CLOSEONLY:
            return c.TRADE_RETCODE_CLOSE_ONLY
        retcode, forbidden = _ONE_SIDED.get(mode, (ACCEPTED, 0))
        if direction == forbidden:
            return retcode
        broker = self._broker
        if broker.account.hedging and not broker.config.account.hedge_allowed:
            held = (p for p in broker.positions.values() if p.symbol == symbol)
            if any(p.direction != direction for p in held):
                return HEDGE_PROHIBITED
        return ACCEPTED

    def _levels(self, request: Any) -> SimVerdict:
        position = self._broker.positions.get(request.position)
        if not request.position and not self._broker.account.hedging:
            position = self._broker.netted(request.symbol)
        if position is None:
            return SimVerdict(c.TRADE_RETCODE_POSITION_CLOSED)
        if request.symbol not in ("", position.symbol):
            return SimVerdict(c.TRADE_RETCODE_INVALID)
        if (position.sl, position.tp) == (request.sl, request.tp):
            return SimVerdict(c.TRADE_RETCODE_NO_CHANGES)
        if self._frozen(position):
            return SimVerdict(c.TRADE_RETCODE_FROZEN)
        quote, spec = self._market.quotes[position.symbol], self._market.specs[position.symbol]
        closing = quote.bid if position.direction > 0 else quote.ask
        if not valid_levels(position.direction, request.sl, request.tp, closing, spec):
            return SimVerdict(c.TRADE_RETCODE_INVALID_STOPS)
        return SimVerdict(ACCEPTED, position)
