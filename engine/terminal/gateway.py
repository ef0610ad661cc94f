"""The engine's only way to the broker: every call has a deadline, none is ever sent twice.

Reads raise BrokerError (NotSent, CallFailed …); None from the terminal is never an empty answer.
`send` and `modify` raise NotSent when the terminal has certainly not seen the order and
OutcomeUnknown when it may have; every answer of the terminal, refusals included, is returned for
`engine.terminal.retcodes.classify`.
"""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
import numpy as np
import structlog

from engine.model.bars import BAR_DTYPE, Bars
from engine.model.broker import (
    AccountState,
    BrokerDeal,
    BrokerOrder,
    BrokerPosition,
    MarketUpdate,
    OrderRequest,
    OrderResult,
    Quote,
)
from engine.model.errors import PmproError
from engine.model.symbols import SymbolSpec
from engine.model.views.snapshot import TerminalView
from engine.terminal import protocol as p
from engine.terminal.health import CallLog, OpStats
from engine.terminal.host.clock_meter import ClockState
from engine.terminal.host.convert import symbol_spec
from engine.terminal.host.symbol_rules import SymbolFacts
from engine.terminal.host_link import Ask, HostLink
from engine.terminal.turnstile import CLOSING, ORDER, READ

T = TypeVar("T")
_log = structlog.get_logger(__name__)
_decode_update = msgspec.msgpack.Decoder(MarketUpdate).decode
_CLOSE_GRACE_S: Final = 5.0


class Deadlines(msgspec.Struct, frozen=True, kw_only=True):
    """How long a call may take before its host is killed; orders wait for a read under way.

    `connect_s` covers a slow login, `history_s` bars and symbols, `order_s` deals as well.
    """

    start_s: float = 30.0
    connect_s: float = 60.0
    read_s: float = 5.0
    history_s: float = 30.0
    order_s: float = 10.0
    advance_s: float = 30.0


class Gateway:
    """Calls to the terminal host, from any thread.

    `on_market` runs on the reader thread, in order: it must be quick and must not call back. It
    gets what the host saw, and an update with `connected=False` when the host is lost.
    """

    def __init__(
        self,
        config: p.HostConfig,
        deadlines: Deadlines = Deadlines(),  # noqa: B008  (frozen)
        *,
        on_market: Callable[[MarketUpdate], None],
    ) -> None:
        self._deadlines = deadlines
        self._on_market = on_market
        self._ids = itertools.count(1)
        self._calls = CallLog()
        self._connected_once = False
        self._watched: list[str] = []
        self._renamed: set[str] = set()
        self._watched_from_ns = 0
        self._market_ns = 0
        self._link = HostLink(
            config,
            start_s=deadlines.start_s,
            prepare=self._prepare,
            on_event=self._event,
            on_lost=self._host_lost,
        )

    @property
    def host_pid(self) -> int:
        """The terminal host's process id; 0 while there is none."""
        return self._link.pid

    @property
    def restarts(self) -> int:
        """Restarts of the host in the last minutes."""
        return self._link.restarts

    def start(self) -> None:
        """Start the host. StateError: another one is still alive; BrokerError: no module."""
        self._link.start()

    def close(self) -> None:
        """Let a call under way end, then end the host."""
        self._link.close(_CLOSE_GRACE_S)

    def connect(self) -> AccountState:
        """Connect to the configured account; done again by itself after a restart."""
        account = self._ask(p.Connect(id=self._id()), AccountState, self._deadlines.connect_s)
        self._connected_once = True
        return account

    def ping(self) -> None:
        """Have the host answer without asking the terminal."""
        self._ask(p.Ping(id=self._id()), type(None))

    def account(self) -> AccountState:
        """Return the account's state."""
        return self._ask(p.GetAccount(id=self._id()), AccountState)

    def terminal(self) -> dict[str, Any]:
        """Return the terminal's own description."""
        return self._ask(p.GetTerminal(id=self._id()), dict[str, Any])

    def clock(self) -> ClockState:
        """Return what is known of the server's clock."""
        return self._ask(p.GetClock(id=self._id()), ClockState)

    def symbol_facts(self, names: list[str]) -> list[SymbolFacts]:
        """Return the terminal's specifications, fresh; selects the symbols."""
        op = p.GetSymbols(id=self._id(), names=names)
        found = self._ask(op, list[SymbolFacts], self._deadlines.history_s)
        self._renamed.update(facts.name for facts in found if facts.name != facts.broker_name)
        return found

    def symbols(
        self, names: list[str], *, known: Mapping[str, SymbolSpec] | None = None
    ) -> list[SymbolSpec]:
        """Return contracts by the terminal; what it does not tell (commission) is from `known`."""
        return [symbol_spec(facts, known or {}) for facts in self.symbol_facts(names)]

    def positions(self) -> list[BrokerPosition]:
        """Return every open position of the account."""
        return self._ask(p.GetPositions(id=self._id()), list[BrokerPosition])

    def orders(self) -> list[BrokerOrder]:
        """Return every working order of the account."""
        return self._ask(p.GetOrders(id=self._id()), list[BrokerOrder])

    def order_history(self, from_ns: int) -> list[BrokerOrder]:
        """Return orders done since `from_ns`."""
        op = p.GetOrderHistory(id=self._id(), from_ns=from_ns)
        return self._ask(op, list[BrokerOrder], self._deadlines.order_s)

    def deals(self, from_ns: int) -> list[BrokerDeal]:
        """Return deals since `from_ns`, balance operations too."""
        op = p.GetDeals(id=self._id(), from_ns=from_ns)
        return self._ask(op, list[BrokerDeal], self._deadlines.order_s)

    def rates(self, symbol: str, from_ns: int, to_ns: int) -> Bars:
        """Return M1 bars that open in [from_ns, to_ns), the forming one too if it is inside."""
        op = p.GetRates(id=self._id(), symbol=symbol, from_ns=from_ns, to_ns=to_ns)
        return np.frombuffer(self._ask(op, bytes, self._deadlines.history_s), BAR_DTYPE)

    def rates_last(self, symbol: str, count: int) -> Bars:
        """Return the last `count` closed M1 bars, fewer where there are fewer."""
        op = p.GetLastRates(id=self._id(), symbol=symbol, count=count)
        return np.frombuffer(self._ask(op, bytes, self._deadlines.history_s), BAR_DTYPE)

    def quotes(self, names: list[str] | None = None) -> list[Quote]:
        """Return last ticks, of the watched symbols by default."""
        op = p.GetQuotes(id=self._id(), names=self._watched if names is None else names)
        return self._ask(op, list[Quote])

    def calc_profit(
        self, direction: int, symbol: str, lots: float, *, open_price: float, close_price: float
    ) -> float:
        """Return a trade's profit in account currency, by the terminal."""
        op = p.CalcProfit(
            id=self._id(),
            direction=direction,
            symbol=symbol,
            lots=lots,
            open_price=open_price,
            close_price=close_price,
        )
        return self._ask(op, float)

    def calc_margin(self, direction: int, symbol: str, lots: float, *, price: float) -> float:
        """Return an order's margin in account currency, by the terminal."""
        op = p.CalcMargin(id=self._id(), direction=direction, symbol=symbol, lots=lots, price=price)
        return self._ask(op, float)

    def check(self, request: OrderRequest) -> OrderResult:
        """Ask whether the terminal would take the order: retcode 0 and error 1 is yes."""
        return self._ask(p.Check(id=self._id(), order=request), OrderResult)

    def send(self, request: OrderRequest) -> OrderResult:
        """Send a market order once. `direction` is the deal's own: +1 buys, -1 sells."""
        priority = CLOSING if request.position else ORDER
        op = p.Send(id=self._id(), order=request)
        return self._ask(op, OrderResult, self._deadlines.order_s, priority)

    def modify(self, position: BrokerPosition, stop: float, target: float) -> OrderResult:
        """Set a position's stop and target, 0.0 for none, once."""
        op = p.Modify(
            id=self._id(),
            symbol=position.symbol,
            ticket=position.ticket,
            stop=stop,
            target=target,
        )
        return self._ask(op, OrderResult, self._deadlines.order_s, ORDER)

    def watch(self, names: Sequence[str], from_ns: int) -> None:
        """Have these symbols watched; bars that open at `from_ns` or later come with batches.

        Those that are watched already go on where they are. After a restart of the host, bars of
        the last batch may come again; never fewer.
        """
        op = p.Watch(id=self._id(), names=list(names), from_ns=from_ns)
        self._ask(op, type(None), self._deadlines.history_s)
        self._watched, self._watched_from_ns = op.names, max(self._watched_from_ns, from_ns)

    def advance(self, to_ns: int) -> MarketUpdate:
        """Stepped mode: move the simulated clock and return that batch."""
        op = p.Advance(id=self._id(), to_ns=to_ns)
        update = self._ask(op, MarketUpdate, self._deadlines.advance_s)
        self._note(update)
        return update

    def control(self, body: dict[str, Any]) -> dict[str, Any]:
        """Pass a request to the simulated terminal, beside the module's functions."""
        op = p.Control(id=self._id(), body=body)
        return self._ask(op, dict[str, Any], self._deadlines.advance_s)

    def stats(self) -> dict[str, OpStats]:
        """Return counts and times by operation."""
        return self._calls.stats()

    def health(self) -> TerminalView:
        """Return how the host and the latest calls to it are."""
        median_s, worst_s, n_failed = self._calls.latest()
        return TerminalView(
            call_ms=1000.0 * median_s,
            call_worst_ms=1000.0 * worst_s,
            n_failed=n_failed,
            n_waiting=self._link.n_waiting,
            host_restarts=self._link.restarts,
        )

    def _id(self) -> int:
        return next(self._ids)

    def _ask(
        self, op: Any, result_type: type[T], timeout_s: float = 0.0, priority: int = READ
    ) -> T:
        started_s = time.monotonic()
        failure = ""
        retcode = 0
        try:
            result = self._link.ask(
                op, result_type, timeout_s=timeout_s or self._deadlines.read_s, priority=priority
            )
            retcode = result.retcode if isinstance(result, OrderResult) else 0
            return result
        except PmproError as error:
            failure = f"{type(error).__name__}: {error}"
            raise
        finally:
            self._count(op, time.monotonic() - started_s, retcode, failure)

    def _count(self, op: Any, took_s: float, retcode: int, failure: str) -> None:
        name = type(op).__name__
        self._calls.note(name, took_s, failed=bool(failure))
        facts = {"op": name, "id": op.id, "ms": round(1000 * took_s, 3), "retcode": retcode}
        if failure:
            _log.warning("terminal_call_failed", **facts, failure=failure)
        else:
            _log.debug("terminal_call", **facts)

    def _prepare(self, ask: Ask) -> None:
        """Bring a new host to where the last one was."""
        if self._connected_once:
            ask(p.Connect(id=self._id()), AccountState, self._deadlines.connect_s)
        if self._renamed:  # positions come under our names from the first reading on
            names = p.GetSymbols(id=self._id(), names=sorted(self._renamed))
            ask(names, list[SymbolFacts], self._deadlines.history_s)
        if self._watched:
            op = p.Watch(id=self._id(), names=self._watched, from_ns=self._watched_from_ns)
            ask(op, type(None), self._deadlines.connect_s)

    def _event(self, body: bytes) -> None:
        update = _decode_update(body)
        self._on_market(update)
        self._note(update)  # only then: a host that comes next sends again what was not taken

    def _note(self, update: MarketUpdate) -> None:
        self._market_ns = update.market_ns
        if update.batch_ns:
            self._watched_from_ns = max(self._watched_from_ns, update.batch_ns)

    def _host_lost(self) -> None:
        self._on_market(
            MarketUpdate(market_ns=self._market_ns, batch_ns=0, quotes=[], connected=False)
        )
