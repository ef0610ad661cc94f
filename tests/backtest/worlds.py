"""Markets and scripts drawn from a seed: gaps, holes, nights, spikes, spreads that jump."""

import numpy as np

from engine.model.bars import BAR_DTYPE, Bars
from engine.model.symbols import DEFAULT_SYMBOLS
from engine.model.times import NS_PER_MINUTE
from tests.backtest.scripted import FLAT, HOLD, LONG, SHORT

FIRST = {"USDJPY": 110.0, "EURJPY": 128.0, "XAUUSD": 1300.0, "BTCUSD": 6500.0}


def minutes(rng: np.random.Generator, first: int, n: int, *, gappy: bool = True) -> np.ndarray:
    """Return n minutes from `first` on: mostly consecutive, now and then a hole or a night."""
    steps = np.ones(n, np.int64)
    if gappy:
        holes = rng.random(n) < 0.04
        steps[holes] = rng.choice([2, 3, 11, 61, 500, 1500, 4300], holes.sum())
    steps[0] = 0
    return first + np.cumsum(steps)


def market(rng: np.random.Generator, symbol: str, times: np.ndarray, *, pace: float = 3e-4) -> Bars:
    """Return bars of a walk with spikes, jumps between bars and spreads that jump."""
    spec = DEFAULT_SYMBOLS[symbol]
    n, first = len(times), FIRST.get(symbol, 1.17)
    moves = rng.normal(0.0, pace, n) * np.where(rng.random(n) < 0.03, 8.0, 1.0)
    jumps = rng.normal(0.0, pace, n) * (rng.random(n) < 0.2)
    opens = first * np.exp(np.cumsum(jumps) + np.concatenate([[0.0], np.cumsum(moves)[:-1]]))
    closes = opens * np.exp(moves)
    wicks = np.abs(rng.normal(0.0, pace, (2, n))) * first
    bars = np.zeros(n, BAR_DTYPE)
    bars["time_ns"] = times * NS_PER_MINUTE
    bars["open"], bars["close"] = np.round(opens, spec.digits), np.round(closes, spec.digits)
    bars["high"] = np.round(np.maximum(opens, closes) + wicks[0], spec.digits)
    bars["low"] = np.round(np.minimum(opens, closes) - wicks[1], spec.digits)
    points = rng.choice([0, 3, 8, 9, 12, 60], n, p=[0.05, 0.2, 0.3, 0.2, 0.2, 0.05])
    bars["spread"] = np.round(points * spec.point, spec.digits)
    bars["spread"][rng.random(n) < 0.3] = np.nan
    bars["volume"] = np.nan
    return bars


def spoil(rng: np.random.Generator, bars: Bars, symbol: str, n: int) -> Bars:
    """Return bars with `n` prices that are none, or far off; now and then for two bars."""
    out = bars.copy()
    for at in rng.choice(len(out), min(n, len(out)), replace=False).tolist():
        kind = rng.integers(0, 9)
        rows = out[at : at + int(rng.choice([1, 1, 1, 2]))]
        prices = ["open", "high", "low", "close"]
        if kind < 2:  # zeros, NaN
            for name in prices:
                rows[name] = (0.0, np.nan)[kind]
        elif kind < 6:  # another digit, another symbol's price, a sign
            for name in prices:
                rows[name] *= (10.0, 0.1, 0.64, -1.0)[kind - 2]
        elif kind == 6:
            rows["low"] *= 0.64
        elif kind == 7:
            rows["open"] *= 1.36
            rows["high"] = rows["open"]
        else:
            rows["spread"] = rows["close"] * 0.4
        for name in (*prices, "spread"):
            rows[name] = np.round(rows[name], DEFAULT_SYMBOLS[symbol].digits)
    return out


def script(
    rng: np.random.Generator, symbol: str, times: np.ndarray, *, calm: float = 0.85
) -> dict[int, tuple]:
    """Return what a strategy says at each bar; `calm` of the bars repeat what was said before."""
    point = DEFAULT_SYMBOLS[symbol].point
    row: tuple = (FLAT, 0.0, None, None)
    out = {}
    for minute in times.tolist():
        if rng.random() > calm:
            raw = int(rng.choice([LONG, SHORT, FLAT, HOLD], p=[0.35, 0.35, 0.2, 0.1]))
            stop, target = (
                None if points == 0 else round(points * point, 5)
                for points in (
                    int(rng.choice([0, 80, 150, 400, 900])),
                    int(rng.choice([0, 90, 200, 500, 900])),
                )
            )
            row = (raw, float(rng.choice([0.5, 0.75, 1.0])), stop, target)
        out[minute] = row
    return out
