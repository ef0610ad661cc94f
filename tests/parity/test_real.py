"""Parity on real bars: every kind of strategy, every way to size, books and allocation."""

from itertools import cycle
from pathlib import Path

import numpy as np
import pytest

from backtest.data.load import load_bars
from backtest.simulate import make_strategies
from engine.model.reasons import ExitReason
from engine.model.times import NS_PER_DAY
from engine.portfolio.compile import compile_portfolio
from engine.portfolio.file import parse_portfolio
from strategies.registry import KINDS
from strategies.variants import others_line, variants
from tests.parity.compare import Both, assert_same, run_both

SYMBOLS = ("EURUSD", "GBPUSD", "USDJPY", "AUDUSD")
# The week in which New York's clocks went forward, London's did not.
FIRST_DAY_NS = int(np.datetime64("2018-03-11", "ns").astype(np.int64))
SIZINGS = (
    "risk_frac = 0.0005",
    'method = "fixed_lots", lots = 0.11',
    'method = "volatility_target", volatility_frac = 0.0005',
    'method = "kelly", risk_frac = 0.0005, kelly_min_trades = 10, kelly_max_frac = 0.001',
)
FILE = """
[risk]
sample_minutes = 15
samples_min = 8
repeated_max = 6
symbol_orders_per_minute_max = 3
var_max_frac = 0.01
symbol_exposure_max_frac = 3
correlation_threshold_frac = 0.5
correlated_exposure_max_frac = 4
daily_loss_max_frac = 0.01
[symbols.AUDUSD]
entry_hours = "23:00-21:00"
[allocation]
method = "score"
min_days = 2
[allocation.switch]
min_days = 2
cool_down_days = 1
disable_score = -0.5
disable_drawdown_r = 6
enable_drawdown_r = 6
"""


def text(n: int) -> str:
    """Return a file of n strategies: all kinds in turns, half of them in books of four."""
    kinds, sizings = cycle(KINDS), cycle(SIZINGS)
    pools = {kind: iter(variants(kind, -(-n // len(KINDS)))) for kind in KINDS}
    out, books = [FILE], []
    for i in range(n):
        kind, symbol = next(kinds), SYMBOLS[i // 4 % len(SYMBOLS)]
        given = {**next(pools[kind])}
        if i % 2:  # the first variants have no target
            given["target_points"] = given["stop_points"] * 0.8
        params = ", ".join(
            f'{k} = "{v}"' if isinstance(v, str) else f"{k} = {v}" for k, v in given.items()
        )
        booked = i % 8 < 4
        timeframe = ("M1", "M1", "M5", "M1", "M15")[i % 5] if kind != "mtf_trend" else "M1"
        out.append(
            f'[[strategy]]\nname = "s{i}"\nkind = "{kind}"\nsymbol = "{symbol}"\n'
            f"{others_line(kind, symbol, SYMBOLS)}params = {{ {params} }}\n"
            f'timeframe = "{timeframe}"\n' + ("" if booked else f"sizing = {{ {next(sizings)} }}\n")
        )
        if booked and i % 4 == 0:
            members = ", ".join(f"s{j} = {1.0 + j % 3}" for j in range(i, min(i + 4, n)))
            how = ('combine = "vote"\nquorum = "majority"', "enter = 0.25\nexit = 0.1")[i // 8 % 2]
            books.append(
                f'[[book]]\nname = "b{i}"\nmembers = {{ {members} }}\n{how}\n'
                f"sizing = {{ {next(sizings)} }}\n"
            )
    return "\n".join([*out, *books])


def run(data_dir: Path, n: int, days: int) -> Both:
    compiled = compile_portfolio(parse_portfolio(text(n), "real.toml"))
    to_ns = FIRST_DAY_NS + days * NS_PER_DAY
    strategies = make_strategies(compiled)
    warmup = [(s.timeframe, i.timeframe, i.warmup) for s in strategies for i in s.inputs]
    bars = load_bars(data_dir, compiled.symbols, FIRST_DAY_NS, to_ns, warmup, "histdata").bars
    return run_both(compiled, bars, FIRST_DAY_NS, to_ns)


def check(both: Both, n: int) -> None:
    """The two are the same, and what was compared is worth comparing."""
    assert_same(both)
    reasons = set(both.tested.trades["reason"].tolist())
    assert reasons >= {ExitReason.SIGNAL, ExitReason.STOP, ExitReason.TARGET}
    assert len(both.tested.trades) > 5 * n
    assert len(np.unique(both.tested.trades["slot"])) > len(both.tested.compiled.slots) / 2
    assert both.tested.changes


@pytest.mark.timeout(600)
def test_a_real_week_of_forty_strategies_trades_as_tested(data_dir):
    """Every kind, each method of sizing, score allocation and switching, limits that bind."""
    check(run(data_dir, 40, 6), 40)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_a_real_month_of_a_hundred_strategies_trades_as_tested(data_dir):
    """The same with a hundred, from one daylight saving to the next one's week."""
    check(run(data_dir, 100, 29), 100)
