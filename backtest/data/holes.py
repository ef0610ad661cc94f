"""Holes in the bars of a period: time in which a market trades and a file has nothing."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from backtest.stretches import server_times
from engine.metrics.days import weekdays_traded
from engine.model.bars import Bars
from engine.model.server_clock import ServerClock
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE, iso_utc

Integers = npt.NDArray[np.int64]

_NS_PER_HOUR: Final = 60 * NS_PER_MINUTE
# No quiet market is silent for longer, unless it always is.
_HOLE_NS: Final = 4 * _NS_PER_HOUR
_OFTEN: Final = 2
# Fewer pauses than this are no habit.
_ENOUGH: Final = 3


def hole_notes(bars: Mapping[str, Bars], clock: ServerClock, from_ns: int) -> list[str]:
    """Return a line for each symbol with holes between its bars from `from_ns` on.

    A hole is longer than four hours and than twice the market's usual pause, the days on which it
    never trades left out. Holidays are holes: a backtest does not know them.
    """
    out = []
    for symbol, column in bars.items():
        times = np.ascontiguousarray(column["time_ns"])
        times = times[np.searchsorted(times, from_ns) :]
        if line := _holes(times, clock):
            out.append(f"{symbol}: {line}")
    return out


def _holes(times: Integers, clock: ServerClock) -> str:
    """Return what is to be said of one symbol's bars, "" for nothing."""
    pauses = np.diff(times)
    rows = np.flatnonzero(pauses > _HOLE_NS)
    if not len(rows):
        return ""
    before, after = times[rows] + NS_PER_MINUTE, times[rows + 1]
    days = np.unique(server_times(clock, times) // NS_PER_DAY)
    closed = np.flatnonzero(~weekdays_traded(days))
    lengths = (
        after - before - _closed_ns(server_times(clock, before), server_times(clock, after), closed)
    )
    # Of each day the longest pause: what most days have is the market's own.
    usual_ns = _usual_ns(lengths, len(days))
    found = np.flatnonzero(lengths > max(_HOLE_NS, _OFTEN * usual_ns))
    if not len(found):
        return ""
    longest = found[np.argmax(lengths[found])]
    span = f"{iso_utc(int(before[longest]))} to {iso_utc(int(after[longest]))}"
    total = f"{int(lengths[found].sum()) / _NS_PER_HOUR:,.0f} hours of its market's time"
    if len(found) == 1:
        return f"a hole in the bars from {span}: {total}"
    return f"{len(found):,} holes in the bars, the longest from {span}: {total} in all"


def _usual_ns(lengths: Integers, n_days: int) -> int:
    """Return the pause that most days have, 0 where they have no long one or are too few."""
    if 2 * len(lengths) <= n_days or len(lengths) < _ENOUGH:
        return 0
    return int(np.median(lengths))


def _closed_ns(starts: Integers, ends: Integers, closed: Integers) -> Integers:
    """Return how much of each [start, end), server times, lies on weekdays in `closed`."""
    out = np.zeros(len(starts), np.int64)
    for i, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        days = np.arange(start // NS_PER_DAY, end // NS_PER_DAY + 1)
        days = days[np.isin((days + 3) % 7, closed)]  # 1970-01-01 was a Thursday
        begin, stop = days * NS_PER_DAY, (days + 1) * NS_PER_DAY
        out[i] = np.maximum(np.minimum(stop, end) - np.maximum(begin, start), 0).sum()
    return out
