"""Compile the backtest's kernels: a file's bars, then a few flat days of one strategy."""

import numpy as np

from backtest.attribution import parts_ccy
from backtest.bar_fill import fill_bars
from backtest.simulate import simulate
from engine.model.bars import BAR_DTYPE
from engine.model.portfolio import Portfolio, Strategy
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE
from engine.portfolio.compile import compile_portfolio


def warm_backtest() -> None:
    """Run what reads bars and the whole loop once."""
    columns = np.ones((6, 1))
    times = np.zeros(1, np.int64)
    for column in (columns, times):
        column.flags.writeable = False  # as a file's
    fill_bars(np.zeros(1, BAR_DTYPE), times, *columns)
    strategy = Strategy(name="a", kind="ma_cross", symbol="EURUSD", params={"fast": 2, "slow": 3})
    bars = np.zeros(3 * 1440, BAR_DTYPE)
    bars["time_ns"] = NS_PER_DAY + np.arange(len(bars)) * NS_PER_MINUTE
    for name in ("open", "high", "low", "close"):
        bars[name] = 1.1
    bars["spread"] = 1e-4
    compiled = compile_portfolio(Portfolio(strategy=[strategy]))
    begin_ns = NS_PER_DAY + NS_PER_MINUTE  # one bar has a last price for it, none warms it up
    parts_ccy(simulate(compiled, {"EURUSD": bars}, begin_ns, 4 * NS_PER_DAY))
