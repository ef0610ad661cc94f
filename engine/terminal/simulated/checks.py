"""A broker's checks of a request, in its order; the first that fails names the return code."""

import math
from typing import Any, Final

import msgspec

from engine.decision.money import round_price
from engine.model.symbols import SymbolSpec
from engine.terminal.simulated import constants as c
from engine.terminal.simulated.broker import Broker
from engine.terminal.simulated.faults import Switches
from engine.terminal.simulated.market import Quote
from engine.terminal.simulated.state import Position

ACCEPTED: Final = 0

COMMENTS: Final = {
    ACCEPTED: "Done",
    c.TRADE_RETCODE_DONE: "Request executed",
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
    c.TRADE_RETCODE_INVALID_FILL: "Unsupported filling mode",
    c.TRADE_RETCODE_CONNECTION: "No connection",
    c.TRADE_RETCODE_POSITION_CLOSED: "Position doesn't exist",
    c.TRADE_RETCODE_INVALID_CLOSE_VOLUME: "Invalid close volume",
    c.TRADE_RETCODE_LONG_ONLY: "Only long positions allowed",
    c.TRADE_RETCODE_SHORT_ONLY: "Only short positions allowed",
    c.TRADE_RETCODE_CLOSE_ONLY: "Only position closing allowed",
}

# The filling enum of a request against the symbol's bitmask (FOK 1, IOC 2); market execution
# knows neither RETURN nor, for market orders, BOC.
_FILLING_BITS: Final = {c.ORDER_FILLING_FOK: 1, c.ORDER_FILLING_IOC: 2}

_ONE_SIDED: Final = {
    c.SYMBOL_TRADE_MODE_LONGONLY: (c.TRADE_RETCODE_LONG_ONLY, -1),
    c.SYMBOL_TRADE_MODE_SHORTONLY: (c.TRADE_RETCODE_SHORT_ONLY, 1),
}

_GRID_TOLERANCE = 1e-6


class Verdict(msgspec.Struct, frozen=True):
    """`retcode` 0 accepts; `position` is the one that an accepted request closes or changes."""

    retcode: int
    position: Position | None = None


class Checks:
    """The checks of one terminal. `selected`: symbols in Market Watch, shared with it."""

    def __init__(self, broker: Broker, switches: Switches, selected: set[str]) -> None:
        self._broker = broker
        self._market = broker.market
        self._switches = switches
        self._selected = selected

    def check(self, request: Any, now_ns: int) -> Verdict:
        """Judge a request (TradeRequest) at the current quotes."""
        retcode = self._general(request, now_ns)
        if retcode:
            return Verdict(retcode)
        if request.action == c.TRADE_ACTION_SLTP:
            return self._levels(request)
        return self._deal(request)

    def _general(self, request: Any, now_ns: int) -> int:
        symbol = request.symbol
        if not self._switches.connected:
            return c.TRADE_RETCODE_CONNECTION
        if not self._switches.algo_trading:
            return c.TRADE_RETCODE_CLIENT_DISABLES_AT
        if request.action not in (c.TRADE_ACTION_DEAL, c.TRADE_ACTION_SLTP):
            return c.TRADE_RETCODE_INVALID
        if symbol not in self._market.specs or symbol not in self._selected:
            return c.TRADE_RETCODE_INVALID
        mode = self._switches.trade_modes.get(symbol, c.SYMBOL_TRADE_MODE_FULL)
        if self._switches.investor or mode == c.SYMBOL_TRADE_MODE_DISABLED:
            return c.TRADE_RETCODE_TRADE_DISABLED
        if self._switches.sessions and not self._market.is_open(symbol, now_ns):
            return c.TRADE_RETCODE_MARKET_CLOSED
        if symbol not in self._market.quotes or math.isnan(self._market.conversion(symbol)):
            return c.TRADE_RETCODE_PRICE_OFF
        return ACCEPTED

    def _deal(self, request: Any) -> Verdict:
        if request.type not in (c.ORDER_TYPE_BUY, c.ORDER_TYPE_SELL):
            return Verdict(c.TRADE_RETCODE_INVALID)
        direction = 1 if request.type == c.ORDER_TYPE_BUY else -1
        spec = self._market.specs[request.symbol]
        bit = _FILLING_BITS.get(request.type_filling, 0)
        if not bit & self._broker.config.filling_mode:
            return Verdict(c.TRADE_RETCODE_INVALID_FILL)
        if not _valid_volume(request.volume, spec):
            return Verdict(c.TRADE_RETCODE_INVALID_VOLUME)
        found = self._affected(request, direction)
        if found.retcode:
            return found
        retcode = (
            self._price(request, direction, spec)
            or self._entry(request, direction, found.position)
            or ACCEPTED
        )
        return Verdict(retcode, None if retcode else found.position)

    def _affected(self, request: Any, direction: int) -> Verdict:
        """Find the position that a deal closes, adds to or reverses."""
        if not request.position:
            hedging = self._broker.account.hedging
            return Verdict(ACCEPTED, None if hedging else self._broker.netted(request.symbol))
        position = self._broker.positions.get(request.position)
        if position is None:
            return Verdict(c.TRADE_RETCODE_POSITION_CLOSED)
        if position.symbol != request.symbol:
            return Verdict(c.TRADE_RETCODE_INVALID)
        if self._broker.account.hedging:
            if position.direction == direction:
                return Verdict(c.TRADE_RETCODE_INVALID)
            if request.volume > position.lots:
                return Verdict(c.TRADE_RETCODE_INVALID_CLOSE_VOLUME)
        return Verdict(ACCEPTED, position)

    def _price(self, request: Any, direction: int, spec: SymbolSpec) -> int:
        price = request.price
        if not (price >= 0.0 and _on_grid(price, spec)):
            return c.TRADE_RETCODE_INVALID_PRICE
        if self._broker.config.execution == "instant":
            if price == 0.0:
                return c.TRADE_RETCODE_INVALID_PRICE
            away_points = abs(price - self.fill_price(request.symbol, direction)) / spec.point
            if away_points > request.deviation + _GRID_TOLERANCE:
                return c.TRADE_RETCODE_REQUOTE
        return ACCEPTED

    def fill_price(self, symbol: str, direction: int) -> float:
        """Return what a market order fills at: buys at ask, sells at bid."""
        quote = self._market.quotes[symbol]
        return quote.ask if direction > 0 else quote.bid

    def _entry(self, request: Any, direction: int, position: Position | None) -> int:
        """Check what only opening needs: the allowed side, stops, margin."""
        symbol = request.symbol
        if position and position.direction != direction and request.volume <= position.lots:
            return ACCEPTED
        mode = self._switches.trade_modes.get(symbol, c.SYMBOL_TRADE_MODE_FULL)
        if mode == c.SYMBOL_TRADE_MODE_CLOSEONLY:
            return c.TRADE_RETCODE_CLOSE_ONLY
        retcode, forbidden = _ONE_SIDED.get(mode, (ACCEPTED, 0))
        if direction == forbidden:
            return retcode
        quote, spec = self._market.quotes[symbol], self._market.specs[symbol]
        if not _valid_levels(direction, request.sl, request.tp, quote, spec):
            return c.TRADE_RETCODE_INVALID_STOPS
        money = self._broker.money
        figures = money.figures()
        if money.margin_after(symbol, direction * request.volume) > figures.equity:
            return c.TRADE_RETCODE_NO_MONEY
        return ACCEPTED

    def _levels(self, request: Any) -> Verdict:
        position = self._broker.positions.get(request.position)
        if not request.position and not self._broker.account.hedging:
            position = self._broker.netted(request.symbol)
        if position is None:
            return Verdict(c.TRADE_RETCODE_POSITION_CLOSED)
        if position.symbol != request.symbol:
            return Verdict(c.TRADE_RETCODE_INVALID)
        if (position.sl, position.tp) == (request.sl, request.tp):
            return Verdict(c.TRADE_RETCODE_NO_CHANGES)
        quote, spec = self._market.quotes[position.symbol], self._market.specs[position.symbol]
        if not _valid_levels(position.direction, request.sl, request.tp, quote, spec):
            return Verdict(c.TRADE_RETCODE_INVALID_STOPS)
        return Verdict(ACCEPTED, position)


def _on_grid(price: float, spec: SymbolSpec) -> bool:
    return bool(abs(price - round_price(price, spec.digits)) < spec.point * 1e-3)


def _valid_volume(lots: float, spec: SymbolSpec) -> bool:
    steps = lots / spec.volume_step_lots
    return (
        spec.volume_min_lots - _GRID_TOLERANCE <= lots <= spec.volume_max_lots + _GRID_TOLERANCE
        and abs(steps - round(steps)) < _GRID_TOLERANCE * max(1.0, steps)
    )


def _valid_levels(direction: int, sl: float, tp: float, quote: Quote, spec: SymbolSpec) -> bool:
    """Tell whether stop and target lie on the grid, beyond the closing side by the stops level."""
    closing = quote.bid if direction > 0 else quote.ask
    nearest = max(spec.stops_level_points, 1.0) - _GRID_TOLERANCE
    for level, side in ((sl, -direction), (tp, direction)):
        if level == 0.0:
            continue
        away_points = (level - closing) * side / spec.point
        if not (level > 0.0 and _on_grid(level, spec) and away_points > nearest - 1e-3):
            return False
    return True
