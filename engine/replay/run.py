"""Past bars through the whole live path: terminal host, gateway, strategy hosts, journal, trader.

Time is stepped batch by batch, so a replay at full speed is the same program as live.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from engine.decision import read
from engine.decision.release import Release
from engine.decision.state import Core
from engine.execution.journal import Journal
from engine.execution.ledger import ClosedTrade
from engine.hosts.pool import StrategyHosts
from engine.model.bars import Bars
from engine.model.broker import MarketUpdate
from engine.model.errors import StateError
from engine.model.reasons import ExitReason
from engine.model.server_clock import ServerClock
from engine.model.symbols import fill_unknown
from engine.portfolio.allocator import Change
from engine.portfolio.compile import CompiledPortfolio, points
from engine.replay.setup import load_strategies, simulated_terminal, write_prices
from engine.terminal.gateway import Gateway
from engine.terminal.protocol import HostConfig
from engine.trading.events import EventLog
from engine.trading.trader import Trader


class EquityPoint(msgspec.Struct, frozen=True):
    """The account after a batch's quotes were taken."""

    time_ns: int
    balance_ccy: float
    equity_ccy: float
    drawdown_frac: float


class ReplayResult(msgspec.Struct, frozen=True):
    """What the live path did.

    Trades in order of exit, one equity point a batch, refusals by rule, the core as it was left,
    what allocation and switching changed in order, the drawdowns that `drawdown_release` ended.
    """

    trades: list[ClosedTrade]
    equity: list[EquityPoint]
    refused: list[int]
    core: Core
    changes: list[Change]
    releases: list[Release]


def replay(
    compiled: CompiledPortfolio,
    bars: Mapping[str, Bars],
    batches_ns: Sequence[int],
    *,
    from_ns: int | None = None,
    n_hosts: int = 1,
    deadline_s: float = 30.0,
    files: Sequence[Path] = (),
    progress: Callable[[float], None] = lambda done_frac: None,
) -> ReplayResult:
    """Run the portfolio over `batches_ns`; bars before the first one are history.

    The period begins at `from_ns`, by default at the first batch: higher bars that ended by then
    are history too.

    `files` are the operator's strategies: only the strategy hosts run them.
    Positions still open after the last batch are closed at the last closes, as in a backtest.
    """
    with tempfile.TemporaryDirectory(prefix="pmpro-replay-") as name:
        run = _Replay(
            compiled, bars, Path(name), n_hosts=n_hosts, deadline_s=deadline_s, files=files
        )
        try:
            return run.run(batches_ns, batches_ns[0] if from_ns is None else from_ns, progress)
        finally:
            run.close()


class _Replay:
    def __init__(
        self,
        compiled: CompiledPortfolio,
        bars: Mapping[str, Bars],
        work: Path,
        *,
        n_hosts: int,
        deadline_s: float,
        files: Sequence[Path],
    ) -> None:
        self._compiled = compiled
        self._bars = bars
        self._work = work
        self._market_ns = 0
        self._rule = compiled.portfolio.server_clock
        self._trades: list[ClosedTrade] = []
        self._equity: list[EquityPoint] = []
        self._changes: list[Change] = []
        self._releases: list[Release] = []
        self._journal = Journal(work / "journal.sqlite", durable=False)
        self._hosts = StrategyHosts(
            compiled.strategies,
            points(compiled.symbols),
            self._rule,
            n_hosts=n_hosts,
            n_spares=0,
            deadline_s=deadline_s,
            recovery_s=deadline_s,
            log_dir=work,
            files=files,
        )
        self._gateway: Gateway | None = None

    def run(
        self, batches_ns: Sequence[int], from_ns: int, progress: Callable[[float], None]
    ) -> ReplayResult:
        load_strategies(self._hosts)
        gateway = self._connect(int(batches_ns[0]))
        trader = self._trader(gateway)
        names = [spec.name for spec in self._compiled.symbols]
        history = self._history(int(batches_ns[0]))
        trader.take_history(history)
        self._hosts.start(history, from_ns)
        gateway.watch(names, int(batches_ns[0]))
        update: MarketUpdate | None = None
        for n_done, batch_ns in enumerate(batches_ns):
            self._market_ns = int(batch_ns)
            update = gateway.advance(self._market_ns)
            trader.on_batch(update)
            progress(n_done / len(batches_ns))
        if update is not None:
            gateway.control({"op": "set_switches", "sessions": False})
            self._finish(trader, update)
        return ReplayResult(
            self._trades,
            self._equity,
            trader.refused.tolist(),
            trader.core,
            self._changes,
            self._releases,
        )

    def close(self) -> None:
        self._hosts.close()
        if self._gateway is not None:
            self._gateway.close()
        self._journal.close()

    def _connect(self, start_ns: int) -> Gateway:
        config = HostConfig(
            module="simulated",
            lock_path=str(self._work / "terminal.lock"),
            log_path=str(self._work / "terminal.log"),
            server_clock=self._rule,
            simulated=simulated_terminal(
                self._compiled,
                write_prices(self._bars, self._work / "prices"),
                start_ns=start_ns,
                server_clock=self._rule,
            ),
            stepped=True,
        )
        self._gateway = Gateway(config, on_market=lambda update: None)
        self._gateway.start()
        return self._gateway

    def _trader(self, gateway: Gateway) -> Trader:
        account = gateway.connect()
        books = dict.fromkeys(slot.book.name for slot in self._compiled.slots)
        trader = Trader(
            self._compiled,
            terminal=gateway,
            hosts=self._hosts,
            journal=self._journal,
            clock=ServerClock(self._rule),
            events=EventLog(lambda: self._market_ns),
            account=account.login,
            balance_ccy=account.balance_ccy,
            book_numbers={name: i + 1 for i, name in enumerate(books)},
            now_ns=lambda: self._market_ns,
            record_bars=False,
        )
        trader.positions.on_closed = self._trades.append
        trader.on_change = self._changes.append
        trader.on_release = self._releases.append
        trader.on_mark = lambda batch_ns: self._equity.append(_point(trader, batch_ns))
        return trader

    def _history(self, before_ns: int) -> dict[str, Bars]:
        """Return the bars before the period as a terminal has them."""
        out = {}
        for spec in self._compiled.symbols:
            bars = self._bars[spec.name]
            out[spec.name] = fill_unknown(
                bars[: int(bars["time_ns"].searchsorted(before_ns))], spec
            )
        return out

    def _finish(self, trader: Trader, update: MarketUpdate) -> None:
        """Close at the last closes; the last equity point is what remains."""
        trader.take_quotes(update, fresh_from_ns=0)
        trader.flattening = ExitReason.END
        trader.pursue()
        if trader.positions.any_open():
            raise StateError("replay: positions are still open after the last batch")
        account = read.account(trader.core)
        balance_ccy = account.balance_ccy
        high_ccy = max(account.high_water_ccy, balance_ccy)
        self._equity[-1] = EquityPoint(
            update.batch_ns, balance_ccy, balance_ccy, 1.0 - balance_ccy / high_ccy
        )


def _point(trader: Trader, batch_ns: int) -> EquityPoint:
    account = read.account(trader.core)
    return EquityPoint(
        batch_ns,
        account.balance_ccy,
        account.equity_ccy,
        account.drawdown_frac,
    )
