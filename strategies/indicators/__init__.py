"""All indicators in one place: compiled, without the GIL, equal bits for equal windows so far.

TA-Lib is there for users' strategies too, and every indicator that it has is tested against it.
Its functions hold the GIL, and its SMA, BBANDS and STDDEV carry running sums, which drift.
"""

from strategies.indicators.averages import mean_std, sma, z_score
from strategies.indicators.extremes import highest, lowest, stochastic
from strategies.indicators.recursive import (
    adx,
    atr,
    ema,
    ema_settle_bars,
    macd,
    rsi,
    wilder_settle_bars,
)

__all__ = [
    "adx",
    "atr",
    "ema",
    "ema_settle_bars",
    "highest",
    "lowest",
    "macd",
    "mean_std",
    "rsi",
    "sma",
    "stochastic",
    "wilder_settle_bars",
    "z_score",
]
