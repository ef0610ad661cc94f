"""The live path in one process, a batch at a time: what a replay does, cheap and open to tests.

Trader, journal, router, gateway and terminal host are the real ones, and every request still goes
through the gateway's protocol; only the pipe to the host and the strategy hosts' processes are
left out. `tests/parity/test_parity.py` compares the same with the processes in.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from engine.decision.release import Release
from engine.execution.journal import Journal
from engine.execution.ledger import ClosedTrade
from engine.hosts.in_process import InProcessHosts
from engine.model.bars import Bars
from engine.model.broker import MarketUpdate
from engine.model.orders import Intent
from engine.model.reasons import ExitReason
from engine.model.server_clock import ServerClock
from engine.model.symbols import fill_unknown
from engine.portfolio.allocator import Change
from engine.portfolio.compile import CompiledPortfolio, points
from engine.replay.run import EquityPoint, ReplayResult, _point
from engine.replay.setup import simulated_terminal, write_prices
from engine.terminal import protocol as p
from engine.terminal.gateway import Gateway
from engine.terminal.host.process import Host
from engine.trading.events import EventLog
from engine.trading.restart import book_numbers, reconcile, restore
from engine.trading.trader import Trader

NOISE = Path(__file__).with_name("noise.py")


class HostInProcess:
    """A terminal host without its process, in the place of `engine.child.parent.Child`."""

    pid, killed, alive, exit_code = 0, False, True, None

    def __init__(self) -> None:
        self._host = Host()

    def call(self, body: bytes, *, timeout_s: float, on_frame: Callable[[bytes], None]) -> bytes:
        answer = self._host.answer(body)
        if isinstance(answer, Iterator):
            for frame in answer:
                on_frame(frame)
            return b""
        return answer

    def close(self, grace_s: float) -> None:
        self._host.close()
        os.close(self._host._lock_fd)


class GatewayInProcess(Gateway):
    """A gateway whose host answers in the caller's process."""

    def __init__(self, config: p.HostConfig) -> None:
        super().__init__(config, on_market=lambda update: None)
        self._config = config

    def start(self) -> None:
        child = HostInProcess()
        self._link._call(child, p.Open(config=self._config), type(None), 1.0)
        self._link._child = child
        self._link._ready.set()


class Live:
    """One run of the live path over past bars; `checked` are the rules of accepted entries."""

    def __init__(
        self,
        compiled: CompiledPortfolio,
        bars: Mapping[str, Bars],
        batches_ns: Sequence[int],
        work: Path,
        *,
        from_ns: int,
    ) -> None:
        self._compiled, self._bars, self._work = compiled, bars, work
        self._batches = list(batches_ns)
        self._market_ns = self._batches[0]
        self._n_done = 0
        self._from_ns = from_ns
        self._update: MarketUpdate | None = None
        self.trades: list[ClosedTrade] = []
        self.equity: list[EquityPoint] = []
        self.checked: list[tuple[int, int, bytes]] = []
        self.changes: list[Change] = []
        self.releases: list[Release] = []
        self.refused = 0
        self._prices = write_prices(bars, work / "prices")
        self._open_gateway()
        self.trader = self._start(restarted=False)

    def _open_gateway(self) -> None:
        self._gateway = GatewayInProcess(
            p.HostConfig(
                module="simulated",
                lock_path=str(self._work / "terminal.lock"),
                server_clock=self._compiled.portfolio.server_clock,
                simulated=simulated_terminal(
                    self._compiled,
                    self._prices,
                    start_ns=self._batches[0],
                    server_clock=self._compiled.portfolio.server_clock,
                    ledger_path=self._work / "broker.sqlite",
                ),
                stepped=True,
            )
        )
        self._gateway.start()

    def _start(self, *, restarted: bool) -> Trader:
        """Return a trader as a start of the engine makes it: journal, terminal, windows."""
        compiled = self._compiled
        rule = compiled.portfolio.server_clock
        self._journal = Journal(self._work / "journal.sqlite", durable=False)
        self._hosts = InProcessHosts(compiled.strategies, points(compiled.symbols), rule, [NOISE])
        assert self._hosts.load() == {}
        account = self._gateway.connect()
        trader = Trader(
            compiled,
            terminal=self._gateway,
            hosts=self._hosts,
            journal=self._journal,
            clock=ServerClock(rule),
            events=EventLog(lambda: self._market_ns),
            account=account.login,
            balance_ccy=compiled.portfolio.account.balance_ccy
            if restarted
            else account.balance_ccy,
            book_numbers=book_numbers(self._journal, compiled),
            now_ns=lambda: self._market_ns,
            record_bars=False,
        )
        assert restore(trader, self._journal) == []
        # The bar that opens at the last batch has not closed: the next one brings it.
        before_ns = self._market_ns
        past = {}
        for spec in compiled.symbols:
            bars = self._bars[spec.name]
            past[spec.name] = fill_unknown(bars[bars["time_ns"] < before_ns], spec)
        trader.take_history(past)
        self._hosts.start(past, before_ns if restarted else self._from_ns)
        if restarted:
            assert reconcile(trader, self._journal) == []
        names = [spec.name for spec in compiled.symbols]
        self._gateway.watch(names, before_ns)
        trader.positions.on_closed = self.trades.append
        trader.on_change = self.changes.append
        trader.on_release = self.releases.append
        trader.on_mark = lambda batch_ns: self.equity.append(_point(trader, batch_ns))
        begin = trader._router._begin

        def note(intents: Sequence[Intent]) -> bool:
            for intent in intents:
                if intent.action == "OPEN":
                    row = trader.core.checks[intent.slot].copy()
                    self.checked.append((intent.batch_ns, intent.slot, row.tobytes()))
            return begin(intents)

        trader._router._begin = note
        return trader

    def restart(self) -> None:
        """Lose everything that only memory knew, the host's included, and start again."""
        self.refused = self.refused + self.trader.refused
        self._journal.close()
        self._gateway.close()
        self._open_gateway()
        self.trader = self._start(restarted=True)

    def run(self, until: int | None = None) -> None:
        """Run batches up to number `until`."""
        for batch_ns in self._batches[self._n_done : until]:
            self._market_ns = int(batch_ns)
            self._update = self._gateway.advance(self._market_ns)
            self.trader.on_batch(self._update)
            self._n_done += 1

    def finish(self) -> ReplayResult:
        """Close at the last closes, as a replay does, and return what was done."""
        assert self._update is not None
        # Flattening at the last closes halts and takes them as fresh: the ending's own doing.
        core = self.trader.core
        halted, fresh = core.account["trading"].copy(), core.quotes["fresh"].copy()
        self._gateway.control({"op": "set_switches", "sessions": False})
        self.trader.take_quotes(self._update, fresh_from_ns=0)
        self.trader.flattening = ExitReason.END
        self.trader.pursue()
        assert not self.trader.positions.any_open()
        core.account["trading"], core.quotes["fresh"] = halted, fresh
        account = core.account[0]
        balance = float(account["balance_ccy"])
        high = max(float(account["high_water_ccy"]), balance)
        self.equity[-1] = EquityPoint(self._update.batch_ns, balance, balance, 1.0 - balance / high)
        refused = (self.refused + self.trader.refused).tolist()
        return ReplayResult(self.trades, self.equity, refused, core, self.changes, self.releases)

    def close(self) -> None:
        """End the parts."""
        self._hosts.close()
        self._journal.close()
        self._gateway.close()


def events(live: Live) -> list[str]:
    """Return what the engine said, for a failure's message."""
    return [event.text for event in live.trader._events.newest()]
