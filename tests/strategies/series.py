"""Bars for tests: random walks on a price grid, with gaps, ties, spikes and weekends."""

from datetime import datetime

import numpy as np

from engine.model.bars import BAR_DTYPE, Bars
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE, Timeframe, from_datetime
from strategies.base import Columns, Strategy, as_columns
from strategies.registry import KINDS, create

POINT = 1e-5


def utc(text: str) -> int:
    """Return nanoseconds of "YYYY-MM-DD HH:MM" UTC."""
    return from_datetime(datetime.fromisoformat(text + "+00:00"))


def bars_at(times_ns, seed: int = 0) -> Bars:
    """Return bars at given times: a random walk in points, with ties and rare spikes."""
    rng = np.random.default_rng(seed)
    n = len(times_ns)
    steps = rng.integers(-12, 13, n) * rng.integers(0, 2, n)
    steps[rng.random(n) < 0.003] *= 40
    close = 110_000 + np.cumsum(steps)
    opens = np.concatenate([[110_000], close[:-1]]) + rng.integers(-2, 3, n)
    bars = np.empty(n, BAR_DTYPE)
    bars["time_ns"] = times_ns
    bars["open"] = opens / 1e5
    bars["close"] = close / 1e5
    bars["high"] = (np.maximum(opens, close) + rng.integers(0, 8, n)) / 1e5
    bars["low"] = (np.minimum(opens, close) - rng.integers(0, 8, n)) / 1e5
    bars["volume"] = np.where(rng.random(n) < 0.05, np.nan, rng.random(n) * 9)
    bars["spread"] = np.where(rng.random(n) < 0.05, np.nan, rng.integers(1, 20, n) / 1e5)
    return bars


def columns_of(bars: Bars, timeframe: Timeframe = Timeframe.M1) -> Columns:
    """Return bars as columns, each closed its length after its open."""
    return as_columns(bars, bars["time_ns"] + timeframe.ns)


def random_bars(rng: np.random.Generator, start_ns: int, n: int) -> Bars:
    """Return about `n` M1 bars with single missing minutes, holes of hours and weekends."""
    steps = np.ones(n, np.int64)
    steps[rng.random(n) < 0.03] = rng.integers(2, 9)
    steps[rng.random(n) < 0.003] = rng.integers(60, 1500)
    times = start_ns + np.cumsum(steps) * NS_PER_MINUTE
    weekday = (times // NS_PER_DAY + 3) % 7
    times = times[weekday < 5] if (weekday < 5).sum() > n // 2 else times
    return bars_at(times, int(rng.integers(1 << 30)))


# The longest anchor period of each timeframe, in days.
_PERIOD_DAYS = {1: 1, 5: 7, 15: 31, 30: 31, 60: 92, 240: 366, 1440: 366}


def made(kind: str, params=None, timeframe: Timeframe = Timeframe.M1) -> Strategy:
    """Return a strategy of a kind; a higher timeframe that would be below its own is D1."""
    params = dict(params or {})
    if kind == "mtf_trend" and Timeframe[params.get("higher", "H1")] < timeframe:
        params["higher"] = "D1"
    others = ["GBPUSD"] * (KINDS[kind].n_symbols - 1)
    return create(kind, params, "EURUSD", timeframe, POINT, others=others)


def further(strategy: Strategy, bars: Bars, seed: int = 1) -> list[Columns]:
    """Return a strategy's further inputs over the time of `bars`, and long enough before.

    They miss bars of their own, and have some that the first input misses.
    """
    rng = np.random.default_rng(seed)
    out = []
    for need in strategy.inputs[1:]:
        length = need.timeframe.ns
        before = _PERIOD_DAYS[need.timeframe] * NS_PER_DAY + 3 * need.warmup * length
        first = (int(bars["time_ns"][0]) - before) // length * length
        times = np.arange(first, int(bars["time_ns"][-1]) + length, length, dtype=np.int64)
        times = times[rng.random(len(times)) > 0.05]
        out.append(columns_of(bars_at(times, seed + 1), need.timeframe))
    return out


def closed_by(others: list[Columns], close_ns: int) -> list[Columns]:
    """Return the beginnings of series, as far as their bars have closed."""
    counts = [int(np.searchsorted(o.close_ns, close_ns, side="right")) for o in others]
    return [other.part(0, n) for other, n in zip(others, counts, strict=True)]
