"""The module's functions as operations on plain records: connect, look, calculate.

None from the module is a failure with its `last_error`, never an empty answer.
"""

import math
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from engine.model.bars import Bars
from engine.model.broker import AccountState, BrokerDeal, BrokerOrder, BrokerPosition, Quote
from engine.model.errors import BrokerError, NotSent
from engine.model.printable import printable
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE
from engine.terminal.host import convert
from engine.terminal.host.clock_meter import ClockMeter, ClockState
from engine.terminal.host.loading import LoadedTerminal
from engine.terminal.host.server_time import ServerTime
from engine.terminal.host.symbol_names import SymbolNames
from engine.terminal.host.symbol_rules import SymbolFacts
from engine.terminal.protocol import CallFailed, HostConfig

M1: Final = 1
# The end of a history request must lie beyond the server's now, or the newest deals are missed.
_HISTORY_AHEAD_NS: Final = 2 * NS_PER_DAY
# `last_error` codes at and below this mean the pipe to the terminal, not the question, failed.
_IPC_ERRORS: Final = -10000
_NOT_CONNECTED: Final = (-10004, "not connected to the configured account")
# Whose account the terminal is on is known only after these.
_CONNECTING: Final = ("initialize", "login", "account_info", "terminal_info")
# So many more bars show both of the hours where one happens twice.
_BOTH_HOURS_BARS: Final = 360
# For so long an entry goes by what the terminal has said about its symbol; brokers change levels.
_FACTS_HOLD_S: Final = 10.0
Named = TypeVar("Named", BrokerDeal, BrokerOrder, BrokerPosition)


class TerminalSession:
    """One connection of the module to a terminal and account."""

    def __init__(self, terminal: LoadedTerminal, config: HostConfig) -> None:
        self.terminal = terminal
        self.api = terminal.api
        self.time = ServerTime(config.server_clock)
        self._config = config
        self._facts: dict[str, SymbolFacts] = {}
        self._facts_s: dict[str, float] = {}
        self._names = SymbolNames(config.symbol_names, config.symbol_prefix, config.symbol_suffix)
        self._meter = ClockMeter(config.server_clock)
        self.connected = False

    def now_ns(self) -> int:
        """Return the terminal's clock: simulated, else this box's UTC."""
        return self.terminal.now_ns()

    def ask(self, function: str, *args: Any, **kwargs: Any) -> Any:
        """Call a function of the module; None and False raise CallFailed."""
        if not self.connected and function not in _CONNECTING:
            raise CallFailed(function, *_NOT_CONNECTED)
        # The module refuses positional arguments beside even an empty keyword dictionary.
        call = getattr(self.api, function)
        result = call(*args, **kwargs) if kwargs else call(*args)
        if result is None or result is False:
            raise CallFailed(function, *self.last_error())
        return result

    def last_error(self) -> tuple[int, str]:
        """Return the module's last error; one of the pipe's means that we must connect again."""
        code, text = self.api.last_error()
        if code <= _IPC_ERRORS:
            self.connected = False
        return int(code), printable(str(text))

    def connect(self) -> AccountState:
        """Initialise, log in when an account is configured, check account and server."""
        self.connected = False
        config = self._config
        self.ask("initialize", *([config.terminal_path] if config.terminal_path else []))
        refusal = self._log_in()
        account = self._account()
        if refusal is not None and not self._is_ours(account):
            raise refusal
        self._check_account(account)
        self.connected = True
        for facts in self._facts.values():
            self.ask("symbol_select", facts.broker_name, True)
        return account

    def require_connection(self) -> None:
        """Raise NotSent unless the configured account is connected."""
        if not self.connected:
            raise NotSent(_NOT_CONNECTED[1])
        try:
            self.require_account()
        except BrokerError as error:
            raise NotSent(str(error)) from None

    def require_account(self) -> None:
        """Ask whose account the terminal is on: another one's emptiness would prove anything.

        Raises:
            BrokerError: somebody has switched the visible terminal; we connect anew.
        """
        if (self._config.login or self._config.demo_only) and self.connected:
            self._check_account(convert.account_state(self.ask("account_info")))

    def account(self) -> AccountState:
        """Return the account, checked to be the configured one."""
        account = self._account()
        self._check_account(account)
        return account

    def _log_in(self) -> CallFailed | None:
        """Log in; a login that is reported as failed may have succeeded all the same."""
        config = self._config
        if not config.login:
            return None
        credentials = {"server": config.server, "password": config.password}
        try:
            self.ask("login", config.login, **{k: v for k, v in credentials.items() if v})
        except CallFailed as error:
            return error
        return None

    def _account(self) -> AccountState:
        """Return the account; the terminal must allow trading too."""
        account = convert.account_state(self.ask("account_info"))
        terminal = self.ask("terminal_info")
        allowed = terminal.trade_allowed and not terminal.tradeapi_disabled
        return msgspec.structs.replace(
            account, trade_allowed=bool(account.trade_allowed and allowed)
        )

    def _is_ours(self, account: AccountState) -> bool:
        config = self._config
        return account.login == config.login and config.server in ("", account.server)

    def _check_account(self, account: AccountState) -> None:
        """Raise when somebody has switched the visible terminal to another account."""
        config = self._config
        for name, wanted, found in (
            ("account", config.login, account.login),
            ("server", config.server, account.server),
        ):
            if wanted and wanted != found:
                self.connected = False
                raise BrokerError(f"terminal is on {name} {found!r}, configured is {wanted!r}")
        if config.demo_only and account.real_money:
            self.connected = False
            raise BrokerError(
                f"mode is paper, account {account.login} trades real money: log in to a demo "
                "account, or set mode = live"
            )

    def online(self) -> bool:
        """Return whether the terminal is reachable and connected to its trade server."""
        try:
            return self.connected and bool(self.ask("terminal_info").connected)
        except CallFailed:
            return False

    def describe(self) -> dict[str, Any]:
        """Return terminal_info and version as plain values."""
        info = convert.plain(self.ask("terminal_info"))
        return {**info, "version": [convert.plain(part) for part in self.ask("version")]}

    def facts(self, symbol: str, *, fresh: bool = False) -> SymbolFacts:
        """Return a symbol's specification, selecting it first; kept until asked fresh."""
        found = self._facts.get(symbol)
        if found is None or fresh:
            theirs = self._names.look_up(symbol, self._find, self._listing)
            self.ask("symbol_select", theirs, True)
            found = self._read_facts(symbol, theirs)
        return found

    def recent_facts(self, symbol: str) -> SymbolFacts:
        """Return a symbol's specification, at most some seconds old."""
        old = time.monotonic() - self._facts_s.get(symbol, -math.inf) > _FACTS_HOLD_S
        return self.facts(symbol, fresh=old)

    def renew_facts(self) -> None:
        """Ask again about one symbol, if it is time: here, so that no order has to wait for it."""
        symbol = min(self._facts_s, key=self._facts_s.__getitem__)
        if time.monotonic() - self._facts_s[symbol] > _FACTS_HOLD_S / 2:
            self._read_facts(symbol, self._facts[symbol].broker_name)

    def _read_facts(self, symbol: str, theirs: str) -> SymbolFacts:
        found = convert.symbol_facts(self.ask("symbol_info", theirs))
        found = msgspec.structs.replace(found, name=symbol)
        self._facts[symbol] = found
        self._facts_s[symbol] = time.monotonic()
        return found

    def _find(self, theirs: str) -> Any | None:
        """Return a symbol's info, None when the terminal has no such symbol."""
        try:
            return self.ask("symbol_info", theirs)
        except CallFailed:
            if not self.connected:  # that says nothing about the symbol
                raise
            return None

    def _listing(self, pattern: str) -> list[Any]:
        return list(self.ask("symbols_get", group=pattern))

    def quote(self, symbol: str) -> Quote:
        """Return the symbol's last tick; all zero right after it was selected."""
        tick = self.ask("symbol_info_tick", self.facts(symbol).broker_name)
        now_ns = self.now_ns()
        if not self._config.stepped:
            self._meter.look(symbol, tick.time_msc, now_ns)
        return convert.quote(symbol, tick, self.time, now_ns)

    def rates(self, symbol: str, from_ns: int, to_ns: int) -> Bars:
        """Return M1 bars that open in [from_ns, to_ns)."""
        self._check_times()
        facts = self.facts(symbol)
        # The server's clock may repeat an hour: ask for more and cut in UTC.
        from_s = max(1, self.time.to_seconds(from_ns) - 3600)
        to_s = self.time.to_seconds(to_ns) + 3600
        rates = self.ask("copy_rates_range", facts.broker_name, M1, from_s, to_s)
        bars = convert.bars(rates, facts.digits, self.time, self.now_ns())
        return bars[(bars["time_ns"] >= from_ns) & (bars["time_ns"] < to_ns)]

    def newest_rates(self, symbol: str, count: int, closed_by_ns: int) -> Bars:
        """Return those of the newest `count` M1 bars that had closed by then."""
        self._check_times()
        if self.time.repeats_near(self.now_ns()):
            count += _BOTH_HOURS_BARS
        facts = self.facts(symbol)
        rates = self.ask("copy_rates_from_pos", facts.broker_name, M1, 0, count)
        bars = convert.bars(rates, facts.digits, self.time, self.now_ns())
        return bars[bars["time_ns"] + NS_PER_MINUTE <= closed_by_ns]

    def positions(self) -> list[BrokerPosition]:
        """Return every open position of the account."""
        self.require_account()
        return [self.position(item) for item in self.ask("positions_get")]

    def position(self, item: Any) -> BrokerPosition:
        """Return a TradePosition as a record, under our name of its symbol."""
        return self._ours(convert.position(item, self.time))

    def orders(self) -> list[BrokerOrder]:
        """Return every working order of the account."""
        return [self._ours(convert.order(item, self.time)) for item in self.ask("orders_get")]

    def order_history(self, from_ns: int) -> list[BrokerOrder]:
        """Return orders done since `from_ns`."""
        found = self._history("history_orders_get", from_ns, convert.order)
        return [item for item in found if item.done_ns >= from_ns]

    def deals(self, from_ns: int) -> list[BrokerDeal]:
        """Return deals since `from_ns`, each once, balance operations too."""
        self.require_account()
        found = self._history("history_deals_get", from_ns, convert.deal)
        return list({item.ticket: item for item in found if item.time_ns >= from_ns}.values())

    def _history(
        self, function: str, from_ns: int, to_record: Callable[[Any, ServerTime], Named]
    ) -> list[Named]:
        first_s = max(1, self.time.to_seconds(max(0, from_ns)) - 3600)
        last_s = self.time.to_seconds(self.now_ns() + _HISTORY_AHEAD_NS)
        found = self.ask(function, first_s, last_s)
        return [self._ours(to_record(item, self.time)) for item in found]

    def _ours(self, record: Named) -> Named:
        name = self._names.ours(record.symbol)
        return record if name == record.symbol else msgspec.structs.replace(record, symbol=name)

    def clock(self) -> ClockState:
        """Return what is known of the server's clock.

        A simulated clock needs no measurement; one that contradicts the rule is a fault there too.
        """
        state = self._meter.state(self.now_ns())
        if self.terminal.has_own_clock and not state.wrong:
            return msgspec.structs.replace(state, problem="")
        return state

    def check_clock(self) -> None:
        """Raise BrokerError unless the server's clock is known to be the rule's."""
        problem = self.clock().problem
        if problem:
            raise BrokerError(problem)

    @property
    def shifted(self) -> bool:
        """Whether the server's clock was measured, and times by the rule are wrong."""
        return self._meter.wrong

    def _check_times(self) -> None:
        if self.shifted:
            self.check_clock()
