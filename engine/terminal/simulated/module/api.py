"""The simulated terminal: an object with the functions and constants of the MetaTrader5 module.

Errors are None (some: False) plus `last_error()`; exceptions come only from misuse in Python. Times
are the server's wall clock encoded as epoch seconds. Simulation control (time, faults) is beside
the module's functions: `now_ns`, `advance`, `control`. Not thread-safe: its host serialises calls.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import msgspec

from engine.model.errors import StateError
from engine.terminal.simulated.broker.history import SimHistory
from engine.terminal.simulated.broker.state import Deal, SimOrder, SimPosition
from engine.terminal.simulated.controls import Controls
from engine.terminal.simulated.module import constants as c
from engine.terminal.simulated.module import structs, views
from engine.terminal.simulated.module.arguments import (
    ERROR_TEXTS,
    SimCallFailed,
    in_group,
    invalid,
    trade_request,
    want_date,
    want_float,
    want_int,
    want_text,
)
from engine.terminal.simulated.module.helpers import Helpers
from engine.terminal.simulated.module.structs import StructSequence
from engine.terminal.simulated.prices.rates import MINUTES, Rates

F = TypeVar("F", bound=Callable[..., Any])
H = TypeVar("H", SimOrder, Deal)
T = TypeVar("T", SimOrder, SimPosition)
Structs = tuple[StructSequence, ...]

_BUILD = 5000
_RELEASED = "1 Nov 2024"


def _answers(failure: bool | None, *, connected: bool = True) -> Callable[[F], F]:
    """Make a method a function of the module: faults strike, `failure` answers errors."""

    def decorate(method: F) -> F:
        name = method.__name__

        @functools.wraps(method)
        def call(self: "SimulatedTerminal", /, *args: Any, **keywords: Any) -> Any:
            try:
                self._strike(name, "before")
                self._catch_up()
                if connected and not self._initialized:
                    raise SimCallFailed(c.RES_E_INTERNAL_FAIL_CONNECT)
                result = self.faults.disturb(name, method(self, *args, **keywords))
                self._strike(name, "after")
            except SimCallFailed as error:
                self._error = error.code, error.text
                return failure
            except StateError as error:
                self._lose(error)
                self._error = c.RES_E_INTERNAL_FAIL_RECEIVE, ERROR_TEXTS[-10002]
                return failure
            self._error = c.RES_S_OK, ERROR_TEXTS[c.RES_S_OK]
            return result

        return cast("F", call)

    return decorate


class SimulatedTerminal(Controls, Helpers):
    """The MetaTrader5 module over simulated prices; constants are attributes."""

    __version__ = "5.0.6231"
    __author__ = "Portfolio Manager Pro"

    def _strike(self, name: str, when: str) -> None:
        fault = self.faults.strike(name, when)
        if fault and fault.kind == "restart":
            self._initialized = False
            raise SimCallFailed(c.RES_E_INTERNAL_FAIL_RECEIVE)

    @_answers(False, connected=False)
    def initialize(
        self,
        path: str | None = None,
        login: int | None = None,
        password: str | None = None,
        server: str | None = None,
        timeout: int = 60_000,  # noqa: ARG002
        portable: bool = False,  # noqa: ARG002
        **_ignored: Any,
    ) -> bool:
        """Connect to the terminal; any path will do. True or False."""
        if self._lost:
            raise SimCallFailed(c.RES_E_INTERNAL_FAIL_INIT)
        if path is not None:
            want_text("path", path)
        if login is not None:
            self._log_in(login, password, server)
        self._initialized = True
        return True

    @_answers(False)
    def login(
        self,
        login: int,
        password: str | None = None,
        server: str | None = None,
        timeout: int = 60_000,  # noqa: ARG002
        **_ignored: Any,
    ) -> bool:
        """Log in to the one account there is. True or False."""
        self._log_in(login, password, server)
        return True

    def _log_in(self, login: int, password: str | None, server: str | None) -> None:
        account = self.config.account
        if not isinstance(login, int):
            raise invalid("login")
        for name, value in (("password", password), ("server", server)):
            if value is not None:
                want_text(name, value)
        if account.any_login:
            own = msgspec.structs.replace(account, login=login, server=server or account.server)
            self.config = msgspec.structs.replace(self.config, account=own)
            return
        known = account.password is None or password == account.password
        if login != account.login or not known or server not in (None, "", account.server):
            raise SimCallFailed(c.RES_E_AUTH_FAILED)
        self.switches.other_login = 0

    def shutdown(self) -> bool:
        """Close the connection; everything but `initialize` fails until it is called again.

        It answers True always, as programs expect that look at the answer.
        """
        self._initialized = False
        self._error = c.RES_S_OK, ERROR_TEXTS[c.RES_S_OK]
        return True

    def last_error(self) -> tuple[int, str]:
        """Return (code, text) of the last call; (1, 'Success') after a good one."""
        return self._error

    @_answers(None)
    def version(self) -> tuple[int, int, str] | None:
        """Return (terminal version, build, release date)."""
        return 500, _BUILD, _RELEASED

    @_answers(None)
    def terminal_info(self) -> StructSequence | None:
        """Return TerminalInfo."""
        return views.terminal_info(self.switches, _BUILD)

    @_answers(None)
    def account_info(self) -> StructSequence | None:
        """Return AccountInfo."""
        return views.account_info(self.config, self.broker, self.switches)

    @_answers(None)
    def symbols_total(self) -> int | None:
        """Return the number of symbols."""
        return len(self.market.specs)

    @_answers(None)
    def symbols_get(self, group: str = "*", **_ignored: Any) -> Structs | None:
        """Return SymbolInfo of the symbols in a group."""
        names = in_group(self.market.specs, want_text("group", group))
        return tuple(self._symbol(name) for name in self.market.specs if name in names)

    @_answers(None)
    def symbol_info(self, symbol: str, /) -> StructSequence | None:
        """Return SymbolInfo."""
        return self._symbol(self._known(symbol))

    def _symbol(self, symbol: str) -> StructSequence:
        days = self.rates.last(symbol, c.TIMEFRAME_D1, 0, 2)
        return views.symbol_info(
            symbol, self.broker, self.switches, days, selected=symbol in self.selected
        )

    def _known(self, symbol: object, code: int = c.RES_E_NOT_FOUND) -> str:
        name = want_text("symbol", symbol)
        if name not in self.market.specs:
            raise SimCallFailed(code)
        return name

    @_answers(None)
    def symbol_info_tick(self, symbol: str, /) -> StructSequence | None:
        """Return the last Tick; the symbol must be in Market Watch."""
        if self._known(symbol) not in self.selected:
            raise SimCallFailed(c.RES_E_FAIL)
        return views.tick(symbol, self.broker)

    @_answers(False)
    def symbol_select(self, symbol: str, enable: bool = True, /) -> bool:
        """Put a symbol into Market Watch or take it out; not while it has positions or orders."""
        self._known(symbol, c.RES_E_FAIL)
        if enable:
            self.selected.add(symbol)
        elif symbol in self.broker.in_use():
            raise SimCallFailed(c.RES_E_FAIL)
        else:
            self.selected.discard(symbol)
        return True

    @_answers(None)
    def copy_rates_from(
        self, symbol: str, timeframe: int, date_from: Any, count: int, /
    ) -> Rates | None:
        """Return the `count` bars that open at or before a date."""
        symbol, timeframe = self._series(symbol, timeframe)
        date_s = want_date("date_from", date_from)
        return self.rates.until(symbol, timeframe, date_s, _count("count", count))

    @_answers(None)
    def copy_rates_from_pos(
        self, symbol: str, timeframe: int, start_pos: int, count: int, /
    ) -> Rates | None:
        """Return `count` bars ending at `start_pos`; 0 is the bar still forming."""
        symbol, timeframe = self._series(symbol, timeframe)
        start = want_int("start_pos", start_pos)
        if start < 0:
            raise SimCallFailed(c.RES_E_INVALID_PARAMS)
        return self.rates.last(symbol, timeframe, start, _count("count", count))

    @_answers(None)
    def copy_rates_range(
        self, symbol: str, timeframe: int, date_from: Any, date_to: Any, /
    ) -> Rates | None:
        """Return the bars that open between two dates, both included."""
        symbol, timeframe = self._series(symbol, timeframe)
        from_s, to_s = want_date("date_from", date_from), want_date("date_to", date_to)
        return self.rates.between(symbol, timeframe, from_s, to_s)

    def _series(self, symbol: object, timeframe: object) -> tuple[str, int]:
        name, length = self._known(symbol, c.RES_E_FAIL), want_int("timeframe", timeframe)
        if length not in MINUTES:
            raise SimCallFailed(c.RES_E_INVALID_PARAMS)
        return name, length

    @_answers(None)
    def copy_ticks_from(
        self, symbol: str, date_from: Any, count: int, flags: int, /
    ) -> Rates | None:
        """Return `count` ticks from a date on."""
        name = self._known(symbol, c.RES_E_FAIL)
        from_s = want_date("date_from", date_from)
        return self.rates.ticks(name, from_s, None, _count("count", count), _flags(flags))

    @_answers(None)
    def copy_ticks_range(
        self, symbol: str, date_from: Any, date_to: Any, flags: int, /
    ) -> Rates | None:
        """Return the ticks between two dates."""
        name = self._known(symbol, c.RES_E_FAIL)
        from_s, to_s = want_date("date_from", date_from), want_date("date_to", date_to)
        return self.rates.ticks(name, from_s, to_s, -1, _flags(flags))

    @_answers(False)
    def market_book_add(self, symbol: str, /) -> bool:
        """Subscribe to a symbol's depth; fails where the configuration limits no liquidity."""
        self.books.add(self._with_depth(symbol))
        return True

    @_answers(False)
    def market_book_release(self, symbol: str, /) -> bool:
        """End a subscription to depth."""
        self.books.discard(self._with_depth(symbol))
        return True

    @_answers(None)
    def market_book_get(self, symbol: str, /) -> Structs | None:
        """Return BookInfo of what is left at the quote, offers first; wants a subscription."""
        if self._with_depth(symbol) not in self.books:
            raise SimCallFailed(c.RES_E_NOT_FOUND)
        return views.book(symbol, self.market, self.liquidity)

    def _with_depth(self, symbol: object) -> str:
        name = self._known(symbol)
        if self.liquidity.lots is None:
            raise SimCallFailed(c.RES_E_UNSUPPORTED)
        return name

    @_answers(None)
    def order_calc_margin(
        self, action: int, symbol: str, volume: float, price: float, /
    ) -> float | None:
        """Return the margin of an order in account currency."""
        _side(action)
        name = self._converted(symbol)
        lots, at = want_float("volume", volume), want_float("price", price)
        quote = self.market.quotes.get(name)
        if quote and self.market.specs[name].base == self.config.account.currency:
            at = quote.bid  # its lots are in the account's currency: no price counts
        return views.rounded(self.broker.money.margin_of(name, lots, at))

    @_answers(None)
    def order_calc_profit(
        self, action: int, symbol: str, volume: float, price_open: float, price_close: float, /
    ) -> float | None:
        """Return the profit of a round trip in account currency, without costs."""
        name, direction = self._converted(symbol), _side(action)
        lots = want_float("volume", volume)
        opened, closed = (
            want_float("price_open", price_open),
            want_float("price_close", price_close),
        )
        return self.broker.money.profit_of(name, direction, lots, opened, closed)

    def _converted(self, symbol: object) -> str:
        """Return a symbol whose profits can be converted now."""
        name = self._known(symbol)
        if not self.market.conversion(name) > 0.0:
            raise SimCallFailed(c.RES_E_FAIL)
        return name

    @_answers(None)
    def order_check(self, *args: Any, **request: Any) -> StructSequence | None:
        """Return OrderCheckResult: would the order be accepted, and what would remain."""
        return self.trading.check(trade_request(args, request))

    @_answers(None)
    def order_send(self, *args: Any, **request: Any) -> StructSequence | None:
        """Send an order; return OrderSendResult. Written to the ledger before it is answered."""
        return self.trading.send(trade_request(args, request))

    @_answers(None)
    def positions_total(self) -> int | None:
        """Return the number of open positions."""
        return len(self.trading.visible_positions())

    @_answers(None)
    def positions_get(self, *args: Any, **filters: Any) -> Structs | None:
        """Return open positions: all, or by `ticket`, else `symbol`, else `group`."""
        found = self._filtered(self.trading.visible_positions(), args, filters)
        return tuple(views.position(p, self.broker) for p in found)

    @_answers(None)
    def orders_total(self) -> int | None:
        """Return the number of working orders."""
        return len(self.trading.visible_working())

    @_answers(None)
    def orders_get(self, *args: Any, **filters: Any) -> Structs | None:
        """Return working orders: all, or by `ticket`, else `symbol`, else `group`."""
        found = self._filtered(self.trading.visible_working(), args, filters)
        return tuple(views.order(order, self.broker) for order in found)

    def _filtered(self, found: list[T], args: tuple[Any, ...], filters: dict[str, Any]) -> list[T]:
        if args:
            raise SimCallFailed(c.RES_E_INVALID_PARAMS, "Unnamed arguments not allowed")
        if (ticket := _ticket(filters, "ticket")) is not None:
            return [item for item in found if item.ticket == ticket]
        if "symbol" in filters:
            symbol = want_text("symbol", filters["symbol"])
            return [item for item in found if item.symbol == symbol]
        if "group" in filters:
            names = in_group(self.market.specs, want_text("group", filters["group"]))
            return [item for item in found if item.symbol in names]
        return found

    @_answers(None)
    def history_orders_total(self, date_from: Any, date_to: Any, /) -> int | None:
        """Return the number of orders between two dates."""
        return len(self._history(self.trading.visible_orders(), (date_from, date_to), {}))

    @_answers(None)
    def history_orders_get(self, *dates: Any, **filters: Any) -> Structs | None:
        """Return orders between two dates (and `group`), or by `ticket`, or by `position`."""
        found = self._history(self.trading.visible_orders(), dates, filters)
        return tuple(views.order(order, self.broker) for order in found)

    @_answers(None)
    def history_deals_total(self, date_from: Any, date_to: Any, /) -> int | None:
        """Return the number of deals between two dates."""
        return len(self._history(self.trading.visible_deals(), (date_from, date_to), {}))

    @_answers(None)
    def history_deals_get(self, *dates: Any, **filters: Any) -> Structs | None:
        """Return deals between two dates (and `group`), or by order `ticket`, or by `position`."""
        found = self._history(self.trading.visible_deals(), dates, filters)
        return tuple(views.deal(deal) for deal in found)

    def _history(
        self, history: SimHistory[H], dates: tuple[Any, ...], filters: dict[str, Any]
    ) -> list[H]:
        if not dates:
            if (ticket := _ticket(filters, "ticket")) is not None:
                return history.of_order(ticket)
            if (position := _ticket(filters, "position")) is not None:
                return history.of_position(position)
        if len(dates) != 2:
            raise SimCallFailed(c.RES_E_INVALID_PARAMS)
        from_s, to_s = want_date("date_from", dates[0]), want_date("date_to", dates[1])
        found = history.between(from_s, to_s)
        if "group" not in filters:
            return found
        names = in_group(self.market.specs, want_text("group", filters["group"]))
        return [item for item in found if item.symbol in names]


for _name, _value in c.ALL.items():
    setattr(SimulatedTerminal, _name, _value)
for _name, _struct in structs.ALL.items():
    setattr(SimulatedTerminal, _name, _struct)


def _count(name: str, value: object) -> int:
    count = want_int(name, value)
    if count <= 0:
        raise SimCallFailed(c.RES_E_INVALID_PARAMS)
    return count


def _flags(value: object) -> int:
    flags = want_int("flags", value)
    if flags not in (c.COPY_TICKS_ALL, c.COPY_TICKS_INFO, c.COPY_TICKS_TRADE):
        raise SimCallFailed(c.RES_E_INVALID_PARAMS)
    return flags


def _side(action: object) -> int:
    """Return the direction of an order type that has a price to calculate with."""
    kind = want_int("action", action)
    if kind not in (c.ORDER_TYPE_BUY, c.ORDER_TYPE_SELL):
        raise SimCallFailed(c.RES_E_INVALID_PARAMS)
    return 1 if kind == c.ORDER_TYPE_BUY else -1


def _ticket(filters: dict[str, Any], name: str) -> int | None:
    return want_int(name, filters[name]) if name in filters else None
