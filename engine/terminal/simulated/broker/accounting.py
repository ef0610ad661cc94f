"""The account in money at the current quotes: profit, margin, equity. Nothing here changes it."""

import msgspec

from engine.decision.money import CURRENCY_DIGITS, profit_ccy, round_ccy
from engine.decision.stop_out import margin_ccy
from engine.terminal.simulated.broker.market import SimMarket
from engine.terminal.simulated.broker.state import AccountRecord, SimPosition


class Figures(msgspec.Struct, frozen=True):
    """The account in money; `margin_level` in percent, 0.0 without margin."""

    balance: float
    profit: float
    equity: float
    margin: float
    margin_free: float
    margin_level: float


class Accounting:
    """Figures of an account over its open positions (shared with the broker, not copied)."""

    def __init__(
        self,
        market: SimMarket,
        account: AccountRecord,
        positions: dict[int, SimPosition],
        leverage: int,
    ) -> None:
        self._market = market
        self._account = account
        self._positions = positions
        self._leverage = leverage

    def closing_price(self, position: SimPosition) -> float:
        """Return the quote a position closes at: long on bid, short on ask."""
        quote = self._market.quotes[position.symbol]
        return quote.bid if position.direction > 0 else quote.ask

    def profit(self, position: SimPosition, lots: float, price: float) -> float:
        """Return the rounded profit of closing `lots` of a position at `price`."""
        return self.profit_of(position.symbol, position.direction, lots, position.price_open, price)

    def open_profit(self, position: SimPosition) -> float:
        """Return the rounded profit of closing a position now."""
        return self.profit(position, position.lots, self.closing_price(position))

    def profit_of(
        self, symbol: str, direction: int, lots: float, opened: float, closed: float
    ) -> float:
        """Return the rounded profit of a round trip in account currency, at today's conversion."""
        unrounded = profit_ccy(
            direction,
            lots,
            opened,
            closed,
            self._market.specs[symbol].digits,
            self._market.specs[symbol].contract_size,
            self._market.conversion(symbol),
        )
        return float(round_ccy(unrounded, CURRENCY_DIGITS))

    def margin_of(self, symbol: str, lots: float, price: float) -> float:
        """Return the margin of `lots` at `price`, unrounded."""
        spec = self._market.specs[symbol]
        conversion = self._market.conversion(symbol)
        return margin_ccy(lots, spec.contract_size, price, conversion, float(self._leverage))

    def margin_after(self, symbol: str = "", lots: float = 0.0) -> float:
        """Return the account's margin after trading signed `lots` at the current bids.

        Of a symbol's two sides the larger counts; on netting an opposite trade reduces the net.
        """
        long: dict[str, float] = {}
        short: dict[str, float] = {}
        for position in self._positions.values():
            side = long if position.direction > 0 else short
            side[position.symbol] = side.get(position.symbol, 0.0) + position.lots
        if symbol and self._account.hedging:
            side = long if lots > 0 else short
            side[symbol] = side.get(symbol, 0.0) + abs(lots)
        elif symbol:
            long[symbol] = abs(long.get(symbol, 0.0) - short.pop(symbol, 0.0) + lots)
        total = 0.0
        traded = long.keys() | short.keys()
        for name in (symbol for symbol in self._market.specs if symbol in traded):
            larger = max(long.get(name, 0.0), short.get(name, 0.0))
            total += self.margin_of(name, larger, self._market.quotes[name].bid)
        return float(round_ccy(total, CURRENCY_DIGITS))

    def figures(self) -> Figures:
        """Return the account in money at the current quotes."""
        profit = 0.0
        for position in self._positions.values():
            profit += self.open_profit(position)
            profit += round_ccy(position.swap_ccy, CURRENCY_DIGITS)
        profit = float(round_ccy(profit, CURRENCY_DIGITS))
        balance = self._account.balance_ccy
        equity = float(round_ccy(balance + profit, CURRENCY_DIGITS))
        margin = self.margin_after()
        free = float(round_ccy(equity - margin, CURRENCY_DIGITS))
        level = equity / margin * 100.0 if margin else 0.0
        return Figures(balance, profit, equity, margin, free, level)
