"""Compile the backtest's kernels: a few flat days of one strategy."""

import numpy as np

from backtest.simulate import simulate
from engine.model.bars import BAR_DTYPE
from engine.model.portfolio import Portfolio, Strategy
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE
from engine.portfolio.compile import compile_portfolio


def warm_backtest() -> None:
    """Run the whole loop once."""
    strategy = Strategy(name="a", kind="ma_cross", symbol="EURUSD", params={"fast": 2, "slow": 3})
    bars = np.zeros(3 * 1440, BAR_DTYPE)
    bars["time_ns"] = NS_PER_DAY + np.arange(len(bars)) * NS_PER_MINUTE
    for name in ("open", "high", "low", "close"):
        bars[name] = 1.1
    bars["spread"] = 1e-4
    compiled = compile_portfolio(Portfolio(strategy=[strategy]))
    simulate(compiled, {"EURUSD": bars}, 2 * NS_PER_DAY, 4 * NS_PER_DAY)
