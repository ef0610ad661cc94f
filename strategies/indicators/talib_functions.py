"""TA-Lib's own functions, for arrays.

Where pandas is installed, TA-Lib imports it and wraps every function to take its Series. Both
cost: a third of a second and 40 MB a process, and for short windows as much as the indicator.
"""

import sys
from collections.abc import Callable
from typing import Any


def _functions(*names: str) -> tuple[Callable[..., Any], ...]:
    hidden = "pandas" not in sys.modules
    if hidden:
        sys.modules["pandas"] = None  # type: ignore[assignment]
    try:
        import talib
    finally:
        if hidden:
            del sys.modules["pandas"]
    wrapped = [getattr(talib, name) for name in names]
    return tuple(getattr(function, "__wrapped__", function) for function in wrapped)


EMA, MACD, MAX, MIN, RSI = _functions("EMA", "MACD", "MAX", "MIN", "RSI")
