"""Many different strategies of each kind, for benchmarks, stress tests and the demo."""

from collections.abc import Sequence
from itertools import product
from typing import Any

from strategies.registry import KINDS

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
    "stochastic": [
        {"period": period, "slowing": slowing, "oversold": low, "overbought": 100.0 - low}
        for low, slowing, period in product((20.0, 15.0, 25.0), (3, 5), (9, 14, 21, 34, 55))
    ],
    "adx_trend": [
        {"period": period, "threshold": threshold}
        for threshold, period in product((20.0, 25.0, 30.0), (8, 10, 14, 18, 21))
    ],
    "keltner_channel": [
        {"period": period, "width_atr": width, "mode": mode}
        for width, period, mode in product(
            (1.5, 2.0, 2.5), (14, 20, 30, 45), ("breakout", "reversion")
        )
    ],
    "momentum": [
        {"period": period, "threshold_bps": threshold}
        for threshold, period in product((3.0, 5.0, 8.0), (15, 30, 60, 120, 240))
    ],
    "session_breakout": [
        {"session": session, "range_minutes": opening, "close_minutes": close}
        for close, opening, session in product(
            (480, 360, 240), (15, 30, 45, 60), ("london", "new_york")
        )
    ],
    "vwap_reversion": [
        {"deviations": deviations, "settle_minutes": settle}
        for settle, deviations in product((60, 30, 120), (1.5, 2.0, 2.5, 3.0))
    ],
    "mtf_trend": [
        {"higher": higher, "fast": fast, "slow": slow, "entry": entry}
        for entry, higher, (fast, slow) in product(
            (20, 30, 60), ("H1", "M15", "M30", "M5"), ((8, 24), (5, 20), (10, 50))
        )
    ],
    "pair_spread": [
        {"period": period, "entry_z": entry, "exit_z": exit_}
        for exit_, entry, period in product((0.5, 0.0), (2.0, 2.5, 1.5), (60, 90, 120, 240))
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


def others_line(kind: str, symbol: str, symbols: Sequence[str]) -> str:
    """Return the `others` of a strategy in a portfolio file: the symbols after its own, in turns.

    Empty for a kind that reads one symbol.
    """
    place = symbols.index(symbol)
    others = [symbols[(place + i) % len(symbols)] for i in range(1, KINDS[kind].n_symbols)]
    names = ", ".join(f'"{other}"' for other in others)
    return f"others = [{names}]\n" if others else ""
