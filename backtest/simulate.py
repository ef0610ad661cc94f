"""Run a portfolio over past bars: signals of a stretch, then the core over it, and so on.

The period is half-open: bars that open in [from, to). Bars before it warm strategies up and give
each symbol its last price, nothing else. The order of events is docs/SEMANTICS.md §1.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from backtest.loop import (
    EQUITY,
    TRADE,
    LoopOutput,
    close_all,
    decide,
    finish_batch,
    roll,
    run_batches,
)
from backtest.stretches import AHEAD, Market, Stretch, Stretches
from engine.decision import read
from engine.decision.account import take_past
from engine.decision.plausible import HISTORY_BARS
from engine.decision.release import Release, released
from engine.decision.state import N_REFUSALS, Core, Records
from engine.model.bars import Bars
from engine.model.errors import StrategyError
from engine.model.portfolio import StrategySpec
from engine.model.symbols import fill_unknown
from engine.model.times import NS_PER_MINUTE
from engine.portfolio.allocator import Allocator, Change
from engine.portfolio.compile import CompiledPortfolio
from strategies.base import Strategy
from strategies.loader import raised_by
from strategies.registry import create

Integers = npt.NDArray[np.int64]
_Rows = TypeVar("_Rows", bound=npt.NDArray[Any])
_TRADES_AT_ONCE = 4096
# Few enough for the signals to stay small, enough for two threads to meet seldom.
DAYS_AT_ONCE = 2


class Result(NamedTuple):
    """What a backtest did.

    `trades` (n,) TRADE in order of exit; `shares` (n, most members of a slot) entry shares of
    each trade's members; `equity` (n_batches,) EQUITY, marked after each batch's quotes;
    `refused` counts refused wishes by Refusal; `core` is the final state, all flat; `changes` is
    what allocation and switching did, in order; `releases` are the drawdowns that
    `drawdown_release` ended. `checks` (n_checked, N_REFUSALS, 2) are the rules' values and limits
    of the first entries, whose batch and slot `checked` (n_checked, 2) names.
    """

    compiled: CompiledPortfolio
    from_ns: int
    to_ns: int
    trades: Records
    shares: npt.NDArray[np.float64]
    equity: Records
    refused: Integers
    core: Core
    n_bars: int
    changes: tuple[Change, ...] = ()
    releases: tuple[Release, ...] = ()
    checks: npt.NDArray[np.float64] = np.empty((0, N_REFUSALS, 2))
    checked: Integers = np.empty((0, 2), np.int64)


def make_strategies(compiled: CompiledPortfolio) -> list[Strategy]:
    """Return the portfolio's strategies in the core's order.

    Raises:
        StrategyError: a kind or parameter is wrong, or the code of one's own raised something.
    """
    points = {spec.name: spec.point for spec in compiled.symbols}
    return [_make(spec, points[spec.symbol]) for spec in compiled.strategies]


def _make(spec: StrategySpec, point: float) -> Strategy:
    try:
        return create(
            spec.kind, spec.params, spec.symbol, spec.timeframe, point, spec.name, spec.others
        )
    except StrategyError:
        raise
    except (Exception, SystemExit) as error:  # border: code of others
        raise StrategyError(f"strategy {spec.name!r}: {raised_by(error)}") from error


def simulate(
    compiled: CompiledPortfolio,
    bars: Mapping[str, Bars],
    from_ns: int,
    to_ns: int,
    *,
    strategies: Sequence[Strategy] | None = None,
    progress: Callable[[float], None] = lambda _: None,
    days_at_once: int = DAYS_AT_ONCE,
    n_checks: int = 0,
    live: Core | None = None,
) -> Result:
    """Run the portfolio over `bars` (M1 by symbol, with warm-up) from `from_ns` to `to_ns`.

    `strategies` are those of `make_strategies`, in the core's order, where they exist already.
    `live` is a core as live left it after its batch at `from_ns`, to go on from; it is changed.
    """
    if strategies is None:
        strategies = make_strategies(compiled)
    stretches = Stretches(compiled, strategies, bars, from_ns, to_ns).cut(days_at_once)
    run = _Run(compiled, bars, from_ns, to_ns, n_checks, live)
    with ThreadPoolExecutor(1) as worker:
        under_way: deque[Future[None]] = deque()
        for n, stretch in enumerate(stretches):
            # The kernel runs without the GIL: the next stretches' signals are made meanwhile.
            while len(under_way) >= AHEAD:
                under_way.popleft().result()
            under_way.append(worker.submit(run.advance, stretch))
            if n == 0:
                # Its kernels are loaded now, alone: two threads that load kernels at once may each
                # hold the lock, of numba and of LLVM, that the other one waits for.
                under_way.popleft().result()
            progress((int(stretch.market.batch_ns[-1]) - from_ns) / (to_ns - from_ns))
        while under_way:
            under_way.popleft().result()
    return run.finish(from_ns, to_ns)


def decide_at(
    compiled: CompiledPortfolio,
    bars: Mapping[str, Bars],
    from_ns: int,
    to_ns: int,
    at_ns: int,
    *,
    days_at_once: int = DAYS_AT_ONCE,
    live: Core | None = None,
) -> Core | None:
    """Run as `simulate` up to the decisions of the batch at `at_ns`, their orders not filled.

    Return the core as they left it; None where there is no batch at that time.
    """
    strategies = make_strategies(compiled)
    run = _Run(compiled, bars, from_ns, to_ns, 0, live)
    for stretch in Stretches(compiled, strategies, bars, from_ns, to_ns).cut(days_at_once):
        batch_ns = stretch.market.batch_ns
        if batch_ns[-1] >= at_ns:
            at = int(np.searchsorted(batch_ns, at_ns))
            return run.decide(stretch, at) if batch_ns[at] == at_ns else None
        run.advance(stretch)
    return None


class _Run:
    """The core under way and what it has written so far."""

    def __init__(
        self,
        compiled: CompiledPortfolio,
        bars: Mapping[str, Bars],
        from_ns: int,
        to_ns: int,
        n_checks: int,
        live: Core | None = None,
    ) -> None:
        self.compiled = compiled
        self.core = compiled.core() if live is None else live
        self._decided_ns = -1 if live is None else from_ns
        self._allocator = Allocator(compiled)
        most = max((len(slot.members) for slot in compiled.slots), default=1)
        n_trades = _TRADES_AT_ONCE + 2 * len(compiled.slots)
        self._out = LoopOutput(
            np.zeros(n_trades, TRADE),
            np.zeros((n_trades, most)),
            np.zeros(0, EQUITY),
            np.zeros(N_REFUSALS, np.int64),
            np.zeros((n_checks, N_REFUSALS, 2)),
            np.zeros((n_checks, 2), np.int64),
            np.zeros(len(compiled.slots), np.int64),
            np.zeros(len(compiled.slots)),
            np.zeros(len(compiled.symbols), np.int64),
        )
        self._n_checked = 0
        self._trades, self._shares = self._out.trades[:0].copy(), self._out.shares[:0].copy()
        # A bar opens and closes at a batch; what is not written takes no memory.
        n_bars = sum(len(bars[spec.name]) for spec in compiled.symbols)
        n_most = min((to_ns - from_ns) // NS_PER_MINUTE, 2 * n_bars) + 2
        self._equity = np.empty(n_most, EQUITY)
        self._n_batches = 0
        self._changes: list[Change] = []
        self._releases: list[Release] = []
        self._n_bars = 0
        for s, spec in enumerate(compiled.symbols if live is None else ()):
            before = int(np.searchsorted(bars[spec.name]["time_ns"], from_ns))
            if before:
                last = bars[spec.name][max(before - HISTORY_BARS, 0) : before]
                take_past(self.core, s, fill_unknown(last, spec))

    def advance(self, stretch: Stretch) -> None:
        """Run the core over a stretch."""
        market = stretch.market
        n_batches = len(market.batch_ns)
        out = self._out.replace(equity=self._equity[self._n_batches :][:n_batches])
        self._n_bars += int((market.bar_stop - market.bar_next).sum())
        batch = self._finish_decided(market, out)
        while batch < n_batches:
            self._roll(market, batch)
            batch, n, self._n_checked = run_batches(
                self.core, market, stretch.feed, out, batch, self._n_checked
            )
            self._keep(n)
        self._n_batches += n_batches

    def _finish_decided(self, market: Market, out: LoopOutput) -> int:
        """Finish the batch that live has decided already; return the batch to go on with."""
        if not len(market.batch_ns) or market.batch_ns[0] != self._decided_ns:
            return 0
        self._keep(finish_batch(self.core, market, out))
        account = read.account(self.core)
        out.equity[0] = (
            self._decided_ns,
            account.balance_ccy,
            account.equity_ccy,
            account.drawdown_frac,
        )
        return 1

    def decide(self, stretch: Stretch, batch: int) -> Core:
        """Run the core over the stretch's batches before `batch`, then to that one's decisions."""
        market = stretch.market
        before = market.replace(
            batch_ns=market.batch_ns[:batch], server_ns=market.server_ns[:batch]
        )
        self.advance(stretch._replace(market=before))
        self._roll(market, batch)
        out = self._out.replace(equity=np.empty(batch + 1, EQUITY))
        decide(self.core, market, stretch.feed, out, batch, 0)
        return self.core

    def _roll(self, market: Market, batch: int) -> None:
        before_ccy = read.account(self.core).high_water_ccy
        if not roll(self.core, market, batch):
            return
        if release := released(self.core, int(market.batch_ns[batch]), before_ccy):
            self._releases.append(release)
        self._changes += self._allocator.decide(self.core)

    def _keep(self, n: int) -> None:
        if n:
            self._trades = _appended(self._trades, self._out.trades[:n])
            self._shares = _appended(self._shares, self._out.shares[:n])

    def finish(self, from_ns: int, to_ns: int) -> Result:
        """Close what is open at the last closes and return everything."""
        equity = self._equity[: self._n_batches]
        if len(equity):
            end_ns = int(equity["time_ns"][-1])
            self._keep(close_all(self.core, end_ns, self._out))
            account = read.account(self.core)
            balance = account.balance_ccy
            high = max(account.high_water_ccy, balance)
            equity[-1] = (end_ns, balance, balance, 1.0 - balance / high)
        return Result(
            compiled=self.compiled,
            from_ns=from_ns,
            to_ns=to_ns,
            trades=self._trades,
            shares=self._shares,
            equity=equity,
            refused=self._out.refused,
            core=self.core,
            n_bars=self._n_bars,
            changes=tuple(self._changes),
            releases=tuple(self._releases),
            checks=self._out.checks[: self._n_checked],
            checked=self._out.checked[: self._n_checked],
        )


def _appended(rows: _Rows, more: _Rows) -> _Rows:
    """Return `rows` with `more` at their end: the same memory, longer, so never twice as much."""
    n = len(rows)
    rows.resize((n + len(more), *rows.shape[1:]), refcheck=False)
    # As bytes: records are copied field by field, ten times slower.
    rows[n:].view(np.uint8)[:] = more.view(np.uint8)
    return rows
