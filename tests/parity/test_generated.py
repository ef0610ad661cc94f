"""Parity on portfolio files and markets that hypothesis makes up."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from backtest.attribution import attribution_table
from backtest.attribution import strategies as strategies_of
from backtest.report import equity_table, summary, trades_table
from backtest.run import PreparedRun
from engine.model.times import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE
from pmpro_tui.cli.backtest.replay import batches_ns
from strategies.loader import load_file
from tests.backtest.worlds import market, spoil
from tests.parity.compare import Both, assert_goes_on, assert_same, run_both
from tests.parity.live import NOISE
from tests.parity.portfolios import compiled_of, texts

# New York leaves daylight saving time on Sunday 2018-11-04, London a week before.
FIRST_DAY_NS = int(np.datetime64("2018-10-31", "ns").astype(np.int64))


def drawn_times(rng, first_ns, to_ns, keep_frac):
    """Return minutes of open markets, thinned: holes, a symbol's late start, the weekend."""
    minutes = np.arange(first_ns // NS_PER_MINUTE, to_ns // NS_PER_MINUTE)
    weekday = (minutes // 1440 + 3) % 7
    hour = minutes % 1440 / 60
    # From Friday to Sunday, 21:00 UTC.
    late, early = (weekday == 4) & (hour >= 21), (weekday == 6) & (hour < 21)
    minutes = minutes[~((weekday == 5) | late | early)]
    kept = minutes[rng.random(len(minutes)) < keep_frac]
    hole = rng.choice(kept) if len(kept) else 0
    return kept[(kept < hole) | (kept > hole + 45)]


@st.composite
def worlds(draw):
    """A portfolio file, bars of its symbols, and the period: a sparse day or three to trade.

    Some markets have prices that are wrong.
    """
    text = draw(texts())
    seed = draw(st.integers(0, 2**32 - 1))
    keep_frac = draw(st.sampled_from([0.9, 0.25, 0.1]))
    hours = int(3 / keep_frac)
    offset = draw(st.integers(0, 4 * 24 * 60))
    return text, seed, keep_frac, hours, offset, draw(st.sampled_from([0, 0, 4, 12]))


def make(world):
    text, seed, keep_frac, hours, offset, n_bad = world
    compiled = compiled_of(text)
    rng = np.random.default_rng(seed)
    from_ns = FIRST_DAY_NS + offset * NS_PER_MINUTE
    to_ns = from_ns + hours * NS_PER_HOUR
    bars = {}
    for spec in compiled.symbols:
        history = drawn_times(rng, FIRST_DAY_NS - 4 * NS_PER_DAY, from_ns, 0.05)
        times = drawn_times(rng, from_ns, to_ns, keep_frac)
        made = market(rng, spec.name, np.concatenate([history, times]))
        bars[spec.name] = spoil(rng, made, spec.name, n_bad)
    return compiled, bars, from_ns, to_ns


def run(world, restarts=()) -> Both:
    load_file(NOISE)
    compiled, bars, from_ns, to_ns = make(world)
    assume(any(len(b) and b["time_ns"][-1] >= from_ns for b in bars.values()))
    return run_both(compiled, bars, from_ns, to_ns, restarts=restarts)


SLOW = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "phases": [Phase.explicit, Phase.reuse, Phase.generate],
}


@pytest.mark.timeout(600)
@settings(max_examples=8, **SLOW)
@given(worlds())
def test_drawn_portfolios_trade_as_tested(world):
    """Trades, shares, equity, refusals, each rule at each entry and the state left are the same."""
    assert_same(run(world))


@pytest.mark.long
@pytest.mark.timeout(3600)
@settings(max_examples=400, **SLOW)
@given(worlds())
def test_many_drawn_portfolios_trade_as_tested(world):
    """The same, many times over."""
    assert_same(run(world))


FREE = """
[symbols.EURUSD]
commission_per_lot_ccy = 0.0
contract_size = 3.0
swap_long_points = 0.0

[symbols.USDJPY]
commission_per_lot_ccy = 0.004
contract_size = 100.0
"""


def test_costs_and_losses_of_nothing_have_no_sign():
    """No commission, one that rounds to nothing, and losses below half a cent are 0.0 everywhere:
    equal trades have equal digests, and no file shows −0.0.
    """
    load_file(NOISE)
    lots = 'sizing = { method = "fixed_lots", lots = 0.05 }\n'
    strategies = [
        f'[[strategy]]\nname = "{name}"\nkind = "noise"\nsymbol = "{symbol}"\ntimeframe = "M1"\n'
        f"params = {{ seed = {seed}, stop_points = 120 }}\n{own}"
        for seed, (name, symbol, own) in enumerate(
            [("a", "EURUSD", ""), ("b", "EURUSD", ""), ("c", "USDJPY", lots)]
        )
    ]
    book = f'[[book]]\nname = "k"\nmembers = {{ a = 1.0, b = 2.0 }}\nenter = 0.2\n{lots}'
    compiled = compiled_of("\n".join([FREE, *strategies, book]))
    rng = np.random.default_rng(6)
    from_ns, to_ns = FIRST_DAY_NS, FIRST_DAY_NS + 5 * NS_PER_HOUR
    bars = {
        spec.name: market(rng, spec.name, drawn_times(rng, from_ns - NS_PER_DAY, to_ns, 0.9))
        for spec in compiled.symbols
    }
    both = run_both(compiled, bars, from_ns, to_ns)
    assert_same(both)
    assert len(both.tested.trades) > 20
    tables = (trades_table(both.tested), equity_table(both.tested), attribution_table(both.tested))
    for column in (column for table in tables for column in table.values()):
        values = np.asarray(column)
        if values.dtype.kind == "f":
            assert not (np.signbit(values) & (values == 0.0)).any()
    assert "-0.0," not in json.dumps(summary(both.tested)) + json.dumps(strategies_of(both.tested))


WEEKEND = """
[allocation]
method = "score"
min_days = 2
[allocation.switch]
min_days = 2
disable_score = 0.3
enable_score = 0.3
cool_down_days = 1
"""
FRIDAY_NS = int(np.datetime64("2018-06-01", "ns").astype(np.int64))


@pytest.mark.parametrize(("coin", "n_days"), [(False, 2), (True, 4)])
def test_a_week_has_its_market_s_days_live_and_tested(coin, n_days):
    """From Friday to Tuesday FX has ended two days, what never closes four: at the server's
    midnights FX closes and opens, and neither a Saturday nor a Sunday comes of it.
    """
    load_file(NOISE)
    points = {"EURUSD": 120, "USDJPY": 100, "BTCUSD": 20_000}
    symbols = ["EURUSD", "USDJPY", *["BTCUSD"] * coin]
    text = WEEKEND + "".join(
        f'[[strategy]]\nname = "{symbol}-{seed}"\nkind = "noise"\nsymbol = "{symbol}"\n'
        f'timeframe = "M1"\nparams = {{ seed = {seed}, stop_points = {points[symbol]} }}\n'
        'sizing = { method = "fixed_lots", lots = 0.05 }\n'
        for symbol in symbols
        for seed in (1, 2)
    )
    compiled = compiled_of(text)
    rng = np.random.default_rng(31)
    # The server's clock is three hours ahead: midnight is 21:00.
    first, last = FRIDAY_NS + 12 * NS_PER_HOUR, FRIDAY_NS + 4 * NS_PER_DAY + 12 * NS_PER_HOUR
    midnights = (FRIDAY_NS + 21 * NS_PER_HOUR + np.arange(5) * NS_PER_DAY) // NS_PER_MINUTE
    bars = {}
    for spec in compiled.symbols:
        around = np.concatenate([midnights - 1, midnights, midnights + 1])
        if spec.name == "BTCUSD":
            minutes = np.arange(first // NS_PER_MINUTE, last // NS_PER_MINUTE)
            times = np.union1d(minutes[rng.random(len(minutes)) < 0.03], around)
        else:
            closed = (around >= midnights[0]) & (around < midnights[2])
            times = np.union1d(drawn_times(rng, first, last, 0.03), around[~closed])
        history = drawn_times(rng, FRIDAY_NS - 4 * NS_PER_DAY, first, 0.05)
        times = times[(times >= first // NS_PER_MINUTE) & (times < last // NS_PER_MINUTE)]
        bars[spec.name] = market(rng, spec.name, np.concatenate([history, times]))
    both = run_both(compiled, bars, first, last, restarts=[60])
    assert_same(both)
    core = both.tested.core
    assert len(both.tested.trades) > 5
    assert core.account[0]["n_rolls"] == len(both.ended.days) == n_days
    assert core.outputs["shadow_days"].tolist() == [2] * 4 + [4] * 2 * coin


@pytest.mark.timeout(600)
@settings(max_examples=6, **SLOW)
@given(worlds(), st.lists(st.integers(1, 300), min_size=1, max_size=3, unique=True))
def test_a_restart_in_the_middle_changes_nothing(world, after):
    """Engine and terminal host stopped after any batches, state loaded, windows filled anew."""
    assert_same(run(world, sorted(after)))


@pytest.mark.timeout(600)
@settings(max_examples=8, **SLOW)
@given(worlds(), st.integers(1, 300))
def test_a_backtest_goes_on_from_live(world, after):
    """From live's state after any batch it makes the trades that live makes, to the last bit."""
    load_file(NOISE)
    compiled, bars, from_ns, to_ns = make(world)
    assume(any(len(b) and b["time_ns"][-1] >= from_ns for b in bars.values()))
    assume(len(batches_ns(PreparedRun(compiled, bars, Path(), from_ns, to_ns))) > 1)
    assert_goes_on(compiled, bars, from_ns, to_ns, after)


RELEASED = """
[risk]
drawdown_reduce_frac = 0.0005
drawdown_stop_entries_frac = 0.001
drawdown_flatten_frac = 0.5
account_drawdown_max_frac = 0.9
daily_loss_max_frac = 0.9
drawdown_release = 1
[[strategy]]
name = "a"
kind = "noise"
symbol = "EURUSD"
params = { seed = 4, stop_points = 120 }
sizing = { method = "fixed_lots", lots = 0.5 }
"""


@pytest.mark.parametrize("restarts", [(), (700, 2900)])
def test_a_drawdown_is_released_on_the_same_day_live_and_tested(restarts):
    """Two weeks with a weekend between: stopped, released after a whole server day, stopped again;
    the same trades and marks, and a restart while it is stopped forgets no day.
    """
    load_file(NOISE)
    compiled = compiled_of(RELEASED)
    rng = np.random.default_rng(11)
    from_ns, to_ns = FIRST_DAY_NS, FIRST_DAY_NS + 14 * NS_PER_DAY
    times = drawn_times(rng, from_ns - NS_PER_DAY, to_ns, 0.2)
    bars = {"EURUSD": market(rng, "EURUSD", times)}
    both = run_both(compiled, bars, from_ns, to_ns, restarts=restarts)
    assert_same(both)
    assert len(both.tested.releases) >= 2
    assert both.tested.trades["entry_ns"].max() > both.tested.releases[-1].time_ns
