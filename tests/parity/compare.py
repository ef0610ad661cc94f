"""A backtest and the live path side by side, compared to the last bit."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from backtest.report import digest
from backtest.run import PreparedRun
from backtest.simulate import Result, simulate
from backtest.stretches import server_times
from engine.decision.saved import dump_core, load_core
from engine.decision.state import Core
from engine.metrics.days import DayReturns, market_days
from engine.metrics.performance import daily_returns, day_ends
from engine.model.bars import Bars
from engine.model.reasons import Refusal
from engine.model.server_clock import ServerClock
from engine.portfolio.compile import CompiledPortfolio
from pmpro_tui.cli.backtest.replay import as_result, batches_ns
from tests.parity.live import Live

N_CHECKS = 20_000
# Tickets and intent numbers are the broker's and the journal's: a backtest has neither. A filled
# entry's pending distances mean nothing any more; live leaves there what its order's rounded prices
# were apart.
BROKERS_OWN = {
    "positions": {"ticket", "intent", "pending_stop_distance", "pending_target_distance"}
}


class Both(NamedTuple):
    """What the two did, the rules of live's accepted entries, and live's daily returns."""

    tested: Result
    traded: Result
    checked: list[tuple[int, int, bytes]]
    ended: DayReturns


def run_both(
    compiled: CompiledPortfolio,
    bars: Mapping[str, Bars],
    from_ns: int,
    to_ns: int,
    *,
    restarts: Sequence[int] = (),
) -> Both:
    """Run a period both ways; live is restarted after the batches with these numbers."""
    prepared = PreparedRun(compiled, dict(bars), Path(), from_ns, to_ns)
    with tempfile.TemporaryDirectory(prefix="pmpro-parity-") as work:
        live = Live(compiled, bars, batches_ns(prepared), Path(work), from_ns=from_ns)
        try:
            for after in restarts:
                live.run(after)
                live.restart()
            live.run()
            ended = live.trader.day_returns
            traded = as_result(prepared, live.finish())
        finally:
            live.close()
    tested = simulate(compiled, bars, from_ns, to_ns, n_checks=N_CHECKS)
    return Both(tested, traded, live.checked, ended)


def assert_goes_on(
    compiled: CompiledPortfolio, bars: Mapping[str, Bars], from_ns: int, to_ns: int, after: int
) -> None:
    """A backtest from live's state after `after` batches does what live does from there on."""
    prepared = PreparedRun(compiled, dict(bars), Path(), from_ns, to_ns)
    batches = batches_ns(prepared)
    after = min(after, len(batches) - 1)
    core = compiled.core()
    with tempfile.TemporaryDirectory(prefix="pmpro-parity-") as work:
        live = Live(compiled, bars, batches, Path(work), from_ns=from_ns)
        try:
            live.run(after)
            names = live.trader.names
            assert load_core(core, names, dump_core(live.trader.core, names)) == []
            n_before = len(live.trades)
            live.run()
            traded = as_result(prepared, live.finish())
        finally:
            live.close()
    tested = simulate(compiled, bars, int(batches[after - 1]), to_ns, live=core)
    assert tested.trades.tolist() == traded.trades[n_before:].tolist()
    assert tested.shares.tolist() == traded.shares[n_before:].tolist()
    different = differences(tested.core, traded.core)
    assert not different, different


def assert_same(both: Both) -> None:
    """Trades, shares, equity, refusals, every rule at each accepted entry, and the state left."""
    tested, traded = both.tested, both.traded
    assert tested.trades.tolist() == traded.trades.tolist()
    assert tested.shares.tolist() == traded.shares.tolist()
    assert refusals(tested) == refusals(traded)
    assert list(tested.changes) == list(traded.changes)
    assert list(tested.releases) == list(traded.releases)
    assert_same_checks(both)
    assert digest(tested) == digest(traded)
    different = differences(tested.core, traded.core)
    assert not different, different
    assert_same_days(both)


def assert_same_days(both: Both) -> None:
    """The days that ended and their returns, as live counted them and as the report does."""
    account, equity = both.tested.compiled.portfolio.account, both.tested.equity
    clock = ServerClock(both.tested.compiled.portfolio.server_clock)
    days = market_days(server_times(clock, equity["time_ns"]))
    returns = daily_returns(account.balance_ccy, day_ends(days, equity["equity_ccy"]))
    assert both.ended.days == np.unique(days)[:-1].tolist()
    assert both.ended.returns == returns[:-1].tolist()


def refusals(result: Result) -> dict[str, int]:
    """Return the refusals that were given, by rule."""
    return {rule.name: int(n) for rule, n in zip(Refusal, result.refused, strict=True) if n}


def assert_same_checks(both: Both) -> None:
    """Every rule's value and limit at each accepted entry, to the bit."""
    entries = [tuple(row) for row in both.tested.checked.tolist()]
    assert entries == [(batch, slot) for batch, slot, _ in both.checked]
    for row, (batch_ns, slot, raw) in zip(both.tested.checks, both.checked, strict=True):
        if row.tobytes() != raw:
            other = np.frombuffer(raw).reshape(row.shape)
            rules = [
                (Refusal(i).name, row[i].tolist(), other[i].tolist())
                for i in range(len(row))
                if row[i].tobytes() != other[i].tobytes()
            ]
            raise AssertionError(f"batch {batch_ns}, slot {slot}: {rules}")


def differences(one: Core, other: Core, skip: Mapping[str, set[str]] = BROKERS_OWN) -> list[Any]:
    """Return the fields of state in which two cores differ, with both values."""
    out: list[Any] = []
    for name in ("account", "positions", "outputs", "quotes", "days", "returns", "covariance"):
        a, b = getattr(one, name), getattr(other, name)
        for field in a.dtype.names or ():
            if field in skip.get(name, ()):
                continue
            if a[field].tobytes() != b[field].tobytes():
                out.append((name, field, a[field].tolist(), b[field].tolist()))
        if not a.dtype.names and a.tobytes() != b.tobytes():
            out.append((name, a.tolist(), b.tolist()))
    return out
