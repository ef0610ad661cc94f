"""TA-Lib for strategies: those of its functions that keep to anchored windows.

The window of a bar begins at a place that only the calendar decides, so a function may depend on
where the window began if that wears off within the warm-up. The recursive ones here wear off:
count `ema_settle_bars` or `wilder_settle_bars` of the period into the strategy's `warmup`. The
others look at `period` bars alone. What carries a running sum never wears off and is not here;
`strategies.indicators` has its like (`sma`, `mean_std`, `stochastic`), and compiled
forms of these functions that do not hold the interpreter's lock.

Arguments and results are TA-Lib's: arrays (n,) of float64 oldest first, NaN before the first value.
Where pandas is installed, TA-Lib would import it and wrap each function to take its Series: a third
of a second and 40 MB a process, and for short windows as much time as the indicator. The functions
here are the ones inside.
"""

import sys
from collections.abc import Callable
from typing import Any

from strategies.base import Floats
from strategies.indicators.recursive import ema_settle_bars, wilder_settle_bars

__all__ = [
    "ADX",
    "ATR",
    "EMA",
    "MACD",
    "MAX",
    "MIN",
    "MINUS_DI",
    "MOM",
    "PLUS_DI",
    "ROC",
    "RSI",
    "ema_settle_bars",
    "wilder_settle_bars",
]


def _inner(name: str) -> Callable[..., Any]:
    hidden = "pandas" not in sys.modules
    if hidden:
        sys.modules["pandas"] = None  # type: ignore[assignment]
    try:
        import talib
    finally:
        if hidden:
            del sys.modules["pandas"]
    function = getattr(talib, name)
    inner: Callable[..., Any] = getattr(function, "__wrapped__", function)
    return inner


_ADX, _ATR, _EMA, _MACD, _MAX, _MIN = map(_inner, ("ADX", "ATR", "EMA", "MACD", "MAX", "MIN"))
_MINUS_DI, _MOM, _PLUS_DI, _ROC, _RSI = map(_inner, ("MINUS_DI", "MOM", "PLUS_DI", "ROC", "RSI"))


def ADX(high: Floats, low: Floats, close: Floats, period: int = 14) -> Floats:
    """Return the average directional index, 0 to 100; settles as Wilder's mean, twice."""
    out: Floats = _ADX(high, low, close, period)
    return out


def ATR(high: Floats, low: Floats, close: Floats, period: int = 14) -> Floats:
    """Return the average true range, in price; settles as Wilder's mean."""
    out: Floats = _ATR(high, low, close, period)
    return out


def EMA(values: Floats, period: int) -> Floats:
    """Return the exponential mean; settles as an exponential mean."""
    out: Floats = _EMA(values, period)
    return out


def MACD(
    values: Floats, fast: int = 12, slow: int = 26, signal: int = 9
) -> tuple[Floats, Floats, Floats]:
    """Return fast minus slow exponential mean, its own mean and their difference."""
    line, mean, histogram = _MACD(values, fast, slow, signal)
    return line, mean, histogram


def MAX(values: Floats, period: int) -> Floats:
    """Return the largest of the last `period` values."""
    out: Floats = _MAX(values, period)
    return out


def MIN(values: Floats, period: int) -> Floats:
    """Return the smallest of the last `period` values."""
    out: Floats = _MIN(values, period)
    return out


def MINUS_DI(high: Floats, low: Floats, close: Floats, period: int = 14) -> Floats:
    """Return the negative directional indicator, 0 to 100; settles as Wilder's mean."""
    out: Floats = _MINUS_DI(high, low, close, period)
    return out


def MOM(values: Floats, period: int) -> Floats:
    """Return the change over `period` bars."""
    out: Floats = _MOM(values, period)
    return out


def PLUS_DI(high: Floats, low: Floats, close: Floats, period: int = 14) -> Floats:
    """Return the positive directional indicator, 0 to 100; settles as Wilder's mean."""
    out: Floats = _PLUS_DI(high, low, close, period)
    return out


def ROC(values: Floats, period: int) -> Floats:
    """Return the change over `period` bars in percent."""
    out: Floats = _ROC(values, period)
    return out


def RSI(values: Floats, period: int = 14) -> Floats:
    """Return the relative strength index, 0 to 100, 0 where nothing moved; settles as Wilder's."""
    out: Floats = _RSI(values, period)
    return out
