"""Many different strategies of each kind, for benchmarks, stress tests and the demo."""

from itertools import product
from typing import Any

_FAST_SLOW = [(5, 20), (8, 34), (10, 50), (12, 60), (20, 60), (20, 100), (30, 120), (50, 200)]
_MACD = [(8, 17, 9), (12, 26, 9), (5, 35, 5), (10, 30, 8), (19, 39, 9), (15, 30, 10)]

_GRIDS: dict[str, list[dict[str, Any]]] = {
    "ma_cross": [
        {"fast": fast, "slow": slow, "average": average}
        for (fast, slow), average in product(_FAST_SLOW, ("sma", "ema"))
    ],
    "rsi_reversion": [
        {"period": period, "oversold": low, "overbought": 100.0 - low}
        for low, period in product((30.0, 25.0, 20.0), (7, 9, 14, 21, 28))
    ],
    "support_resistance": [
        {"lookback": lookback, "mode": mode, "zone_frac": zone}
        for zone, lookback, mode in product(
            (0.05, 0.1), (30, 60, 90, 120, 240), ("reversion", "breakout")
        )
    ],
    "bollinger_reversion": [
        {"period": period, "deviations": deviations}
        for deviations, period in product((2.0, 2.5, 3.0), (14, 20, 30, 40, 60, 90))
    ],
    "donchian_breakout": [
        {"entry": entry, "exit": entry // part}
        for part, entry in product((2, 3), (20, 30, 40, 55, 80, 120, 160, 240))
    ],
    "macd": [
        {"fast": fast * scale, "slow": slow * scale, "signal": signal * scale}
        for scale, (fast, slow, signal) in product((1, 2, 3), _MACD)
    ],
}
_STOPS_POINTS = (150.0, 250.0, 400.0)
_TARGET_RATIOS = (0.0, 1.5, 2.5, 4.0)


def variants(kind: str, n: int) -> list[dict[str, Any]]:
    """Return `n` different, valid sets of parameters of a kind, always the same ones."""
    exits = [
        {"stop_points": stop, "target_points": stop * ratio}
        for ratio, stop in product(_TARGET_RATIOS, _STOPS_POINTS)
    ]
    grid = _GRIDS[kind]
    if n > len(grid) * len(exits):
        raise ValueError(f"{kind} has {len(grid) * len(exits)} variants, not {n}")
    return [
        {**grid[i % len(grid)], **exits[(i % len(grid) + i // len(grid)) % len(exits)]}
        for i in range(n)
    ]
