"""Compile the backtest's kernels: a file's bars, then a few flat days of one strategy."""

import numpy as np

from backtest.attribution import parts_ccy
from backtest.data.bar_file import fill_bars
from backtest.data.grid import bring, measure
from backtest.simulate import make_strategies, simulate
from backtest.stretches import Stretches
from engine.model.bars import BAR_DTYPE, Bars
from engine.model.portfolio import Portfolio, StrategySpec
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE
from engine.portfolio.compile import CompiledPortfolio, compile_portfolio

# One bar has a last price for it, none warms it up.
_PERIOD = (NS_PER_DAY + NS_PER_MINUTE, 4 * NS_PER_DAY)


def warm_signals() -> None:
    """Run what reads bars and makes signals of them once."""
    columns = np.ones((6, 1))
    times = np.zeros(1, np.int64)
    for column in (columns, times):
        column.flags.writeable = False  # as a file's
    fill_bars(np.zeros(1, BAR_DTYPE), times, *columns)
    measure(np.zeros(1, BAR_DTYPE), 1.0, np.zeros((3, 5)))
    bring(np.zeros(1, BAR_DTYPE), 5)
    compiled, bars = _flat_days()
    for _ in Stretches(compiled, make_strategies(compiled), bars, *_PERIOD).cut(2):
        pass


def warm_backtest() -> None:
    """Run the whole loop once."""
    compiled, bars = _flat_days()
    parts_ccy(simulate(compiled, bars, *_PERIOD))


def _flat_days() -> tuple[CompiledPortfolio, dict[str, Bars]]:
    strategy = StrategySpec(
        name="a", kind="ma_cross", symbol="EURUSD", params={"fast": 2, "slow": 3}
    )
    bars = np.zeros(3 * 1440, BAR_DTYPE)
    bars["time_ns"] = NS_PER_DAY + np.arange(len(bars)) * NS_PER_MINUTE
    for name in ("open", "high", "low", "close"):
        bars[name] = 1.1
    bars["spread"] = 1e-4
    return compile_portfolio(Portfolio(strategy=[strategy])), {"EURUSD": bars}
