"""The terminal host: a child process that owns the MetaTrader module, and nothing else.

`python -P -m engine.terminal.host.process POLL_MS`, started by `engine.terminal.host_link`. The
first request opens it (lock, module); after that every request is one entry of the table below.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import structlog

from engine.child.log import json_lines
from engine.child.output import take_streams
from engine.child.serve import serve
from engine.files.lock_file import hold_lock
from engine.model.broker import MarketUpdate, OrderResult
from engine.model.errors import BrokerError, NotSent, PmproError, StateError
from engine.model.printable import printable
from engine.terminal import protocol as p
from engine.terminal.host import trading
from engine.terminal.host.loading import load
from engine.terminal.host.session import TerminalSession
from engine.terminal.host.watcher import Watcher

_log = structlog.get_logger(__name__)
_encode = msgspec.msgpack.Encoder().encode
_decode_op = msgspec.msgpack.Decoder(p.Op).decode


class Host:
    """Answers operations on the one session of this process."""

    def __init__(self) -> None:
        self._config: p.HostConfig | None = None
        self._lock_fd = -1
        self._session: TerminalSession | None = None
        self._watcher: Watcher | None = None
        self._table: dict[type[Any], Callable[[Any], Any]] = {
            p.Open: self._open,
            p.Connect: lambda _: self.session.connect(),
            p.Ping: lambda _: None,
            p.GetAccount: lambda _: self.session.account(),
            p.GetTerminal: lambda _: self.session.describe(),
            p.GetClock: lambda _: self.session.clock(),
            p.GetSymbols: lambda op: [self.session.facts(n, fresh=True) for n in op.names],
            p.GetRates: lambda op: self.session.rates(op.symbol, op.from_ns, op.to_ns).tobytes(),
            p.GetLastRates: self._last_rates,
            p.GetQuotes: lambda op: [self.session.quote(name) for name in op.names],
            p.GetPositions: lambda _: self.session.positions(),
            p.GetOrders: lambda _: self.session.orders(),
            p.GetOrderHistory: lambda op: self.session.order_history(op.from_ns),
            p.GetDeals: lambda op: self.session.deals(op.from_ns),
            p.CalcProfit: self._calc_profit,
            p.CalcMargin: self._calc_margin,
            p.Check: lambda op: trading.check(self.session, op.order),
            p.Watch: self._watch,
            p.Advance: self._advance,
            p.Control: lambda op: self._control(op.body),
        }

    @property
    def session(self) -> TerminalSession:
        """The open session."""
        if self._session is None:
            raise NotSent("terminal host is not open")
        return self._session

    def answer(self, body: bytes) -> bytes | Iterator[bytes]:
        """Do one operation; every error becomes a failure record."""
        op = _decode_op(body)
        structlog.contextvars.bind_contextvars(id=op.id)
        if isinstance(op, p.ORDER_OPS):
            return self._order(op)
        try:
            return _success(self._table[type(op)](op))
        except PmproError as error:
            return _failure(error)

    def _order(self, op: p.Send | p.Modify) -> Iterator[bytes]:
        """Yield SENDING right before an order leaves, then the reply; refusals never leave."""
        try:
            prepared = self._prepare(op)
        except PmproError as error:
            yield _failure(error)
            return
        if isinstance(prepared, dict):
            yield p.SENDING
            prepared = trading.send(self.session, prepared)
        yield _success(prepared)

    def _prepare(self, op: p.Send | p.Modify) -> dict[str, Any] | OrderResult:
        assert self._config is not None
        if isinstance(op, p.Modify):
            return trading.prepare_modify(self.session, op.symbol, op.ticket, op.stop, op.target)
        return trading.prepare_send(self.session, op.order, checked=self._config.check_orders)

    def look(self) -> Iterator[bytes]:
        """Yield what the watcher saw since the last look."""
        if self._watcher is not None:
            yield from map(_encode, self._watcher.poll())

    def close(self) -> None:
        """End the session at the end of the process."""
        if self._session is not None:
            self._session.terminal.close()

    def _open(self, op: p.Open) -> None:
        if self._config is not None:  # also where that failed: an engine elsewhere has no say in it
            raise NotSent("terminal host was opened before")
        self._config = op.config
        self._lock_fd = hold_lock(Path(op.config.lock_path), wait_s=op.config.lock_wait_s)
        self._session = TerminalSession(load(op.config), op.config)
        self._watcher = Watcher(self._session, op.config)

    def _last_rates(self, op: p.GetLastRates) -> bytes:
        bars = self.session.newest_rates(op.symbol, op.count + 1, self.session.now_ns())
        return bars[-op.count :].tobytes()

    def _calc_profit(self, op: p.CalcProfit) -> float:
        return trading.calc_profit(
            self.session, op.direction, op.symbol, op.lots, op.open_price, op.close_price
        )

    def _calc_margin(self, op: p.CalcMargin) -> float:
        return trading.calc_margin(self.session, op.direction, op.symbol, op.lots, op.price)

    def _watch(self, op: p.Watch) -> None:
        assert self._watcher is not None
        self.session.ask("terminal_info")
        self._watcher.watch(op.names, op.from_ns)

    def _advance(self, op: p.Advance) -> MarketUpdate:
        assert self._watcher is not None
        self._control({"op": "advance", "to_ns": op.to_ns})
        return self._watcher.batch(op.to_ns)

    def _control(self, body: dict[str, Any]) -> dict[str, Any]:
        control = self.session.terminal.control
        if control is None:
            raise BrokerError("this terminal module has no simulation control")
        return control(body)


def _success(result: Any) -> bytes:
    return _encode(p.TerminalReply(result=msgspec.Raw(_encode(result))))


def _failure(error: PmproError) -> bytes:
    text = printable(str(error))
    _log.info("operation_failed", error=text)
    if isinstance(error, p.CallFailed):
        failure = p.Failure(
            kind="call", code=error.code, text=printable(error.reason), function=error.function
        )
    elif isinstance(error, NotSent):
        failure = p.Failure(kind="refused", text=text)
    else:
        kind: p.FailureKind = "locked" if isinstance(error, StateError) else "config"
        failure = p.Failure(kind=kind, text=text)
    return _encode(p.TerminalReply(failure=failure))


def main() -> None:
    """Serve until the engine closes the pipe."""
    take_streams()
    json_lines("info", sys.stderr)  # the log file
    host = Host()
    serve(host.answer, idle=host.look, idle_s=float(sys.argv[1]) / 1000)
    host.close()


if __name__ == "__main__":
    main()
