"""Higher timeframes from M1 bars, on the grid of the broker's wall clock; closed bars only.

A cell of the grid is [start, end) in UTC. Up to H1 the grid is laid on the offset of the bar's own
time; above, on the server's wall clock, so that a cell may be an hour shorter or longer when
daylight saving changes. A higher bar's time is its cell's start. It is closed at the first batch
at or after its cell's end, whether or not its last minutes have bars. Volumes add up in order of
time; NaN counts as none unless all are NaN. The spread is the last known one, or the last one if
it is said what an unknown one stands for.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from engine.kernels.compiled import core_kernel
from engine.model.bars import BAR_DTYPE, Bars
from engine.model.server_clock import ServerClock
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE, Timeframe

Times = npt.NDArray[np.int64]


def resample(
    bars: Bars, timeframe: Timeframe, clock: ServerClock, batches_ns: Times | None = None
) -> tuple[Bars, Times]:
    """Return the closed higher bars of M1 `bars`, and the batch at which each one closed.

    `batches_ns` are the batch times, (n,) increasing, by default the closes of the bars
    themselves: the portfolio's other symbols may close a bar whose last minute is missing.
    """
    times = np.ascontiguousarray(bars["time_ns"])
    if batches_ns is None:
        batches_ns = times + NS_PER_MINUTE
    if timeframe == Timeframe.M1:
        closed_at = np.searchsorted(batches_ns, times + NS_PER_MINUTE)
        n_closed = int(np.searchsorted(closed_at, len(batches_ns)))
        return bars[:n_closed], batches_ns[closed_at[:n_closed]]
    out, ends = higher_bars(bars, times, timeframe, clock)
    closed_at = np.searchsorted(batches_ns, ends)
    n_closed = int(np.searchsorted(closed_at, len(batches_ns)))
    return out[:n_closed], batches_ns[closed_at[:n_closed]]


def higher_bars(
    bars: Bars,
    times: Times,
    timeframe: Timeframe,
    clock: ServerClock,
    unknown_spread: float = np.nan,
) -> tuple[Bars, Times]:
    """Return the higher bars of M1 `bars`, which open at `times`, and the ends of their cells.

    The last one may be open still. `unknown_spread` is what a spread of NaN stands for.
    """
    first, starts, ends = _cells(times, timeframe, clock)
    return _merged(bars, first, starts, unknown_spread), ends


def close_times(bars: Bars, timeframe: Timeframe, clock: ServerClock) -> Times:
    """Return when bars of a timeframe count as closed, UTC: the ends of their cells."""
    times = np.ascontiguousarray(bars["time_ns"])
    if timeframe <= Timeframe.H1 or not len(times):
        return times + timeframe.ns
    first, _, ends = _cells(times, timeframe, clock)
    return np.repeat(ends, np.diff(first, append=len(times)))


class Resampler:
    """The same bars, made as M1 bars arrive: keeps the minutes of the open cell.

    A minute that comes after its cell was closed is too late for it: nothing is closed twice.
    """

    def __init__(self, timeframe: Timeframe, clock: ServerClock) -> None:
        self.timeframe = timeframe
        self._clock = clock
        self._buffer = np.empty(64, BAR_DTYPE)
        self._n = 0  # of bars in it
        self._end_ns = 0  # of the first one's cell
        self._closed_ns = -1  # the start of the last closed cell

    def update(self, batch_ns: int, bars: Bars) -> Bars:
        """Add M1 bars closed by `batch_ns`; return the higher bars that closed at it."""
        if self.timeframe == Timeframe.M1:
            return bars
        if len(bars):
            if not self._n:
                self._end_ns = self._cell_end(bars[:1])
            self._add(bars)
        pending = self._buffer[: self._n]
        if not self._n or batch_ns < self._end_ns:
            return pending[:0]
        times = np.ascontiguousarray(pending["time_ns"])
        first, starts, ends = _cells(times, self.timeframe, self._clock)
        n_closed = int(np.searchsorted(ends, batch_ns, side="right"))
        closed = _merged(pending, first, starts, np.nan)[:n_closed]
        left = pending[[*first, len(times)][n_closed] :].copy()
        self._n = 0
        if len(left):
            self._add(left)
            self._end_ns = self._cell_end(left[:1])
        closed = closed[closed["time_ns"] > self._closed_ns]
        if len(closed):
            self._closed_ns = int(closed["time_ns"][-1])
        return closed

    def _add(self, bars: Bars) -> None:
        n = self._n + len(bars)
        if n > len(self._buffer):
            buffer = np.empty(2 * n, BAR_DTYPE)
            buffer[: self._n] = self._buffer[: self._n]
            self._buffer = buffer
        self._buffer[self._n : n] = bars
        self._n = n

    def _cell_end(self, bar: Bars) -> int:
        _, _, ends = _cells(np.ascontiguousarray(bar["time_ns"]), self.timeframe, self._clock)
        return int(ends[0])


def _cells(times: Times, timeframe: Timeframe, clock: ServerClock) -> tuple[Times, Times, Times]:
    """Return of each cell that has times, in order, the first one's index, its start and end, UTC.

    `times` are contiguous and increase.
    """
    if not len(times):
        return times, times, times
    first, starts = np.empty(len(times), np.int64), np.empty(len(times), np.int64)
    changes_ns, offsets_ns = clock.changes(int(times[0]), int(times[-1]))
    on_wall = timeframe > Timeframe.H1
    n = _find_cells(times, timeframe.ns, changes_ns, offsets_ns, on_wall, first, starts)
    first, starts = first[:n].copy(), starts[:n].copy()
    if not on_wall:
        return first, starts, starts + timeframe.ns
    walls = starts.tolist()
    starts = np.array([_first_instant(clock, wall) for wall in walls], np.int64)
    ends = np.array([_first_instant(clock, wall + timeframe.ns) for wall in walls], np.int64)
    return first, starts, ends


@core_kernel
def _find_cells(
    times: Times,
    width_ns: int,
    changes_ns: Times,
    offsets_ns: Times,
    on_wall: bool,
    first: Times,
    starts: Times,
) -> int:
    """Write each cell's first index and its start, UTC or on the wall clock; return how many."""
    n = change = 0
    until_ns = times[0]  # what is before it is in the newest cell
    for i in range(len(times)):
        changed = False
        while change + 1 < len(changes_ns) and times[i] >= changes_ns[change + 1]:
            change += 1
            changed = True
        if times[i] < until_ns and not changed:
            continue
        offset_ns = offsets_ns[change]
        wall_ns = (times[i] + offset_ns) // width_ns * width_ns
        until_ns = wall_ns + width_ns - offset_ns
        start_ns = wall_ns if on_wall else wall_ns - offset_ns
        if n == 0 or start_ns != starts[n - 1]:
            first[n], starts[n] = i, start_ns
            n += 1
    return n


@lru_cache(maxsize=4096)
def _first_instant(clock: ServerClock, wall_ns: int) -> int:
    """Return the first UTC instant at which the server's clock shows `wall_ns` or has passed it.

    A repeated hour is met the first time; for a skipped one it is the moment of the skip.
    """
    before = clock.offset_ns(wall_ns - NS_PER_DAY)
    after = clock.offset_ns(wall_ns + NS_PER_DAY)
    if clock.offset_ns(wall_ns - before) == before:
        return wall_ns - before
    if clock.offset_ns(wall_ns - after) == after:
        return wall_ns - after
    return wall_ns - before


def _merged(bars: Bars, first: Times, starts: Times, unknown_spread: float) -> Bars:
    """Return the higher bars of cells that begin at the indices `first` of `bars`."""
    out = np.empty(len(first), BAR_DTYPE)
    out["time_ns"] = starts
    _merge(bars, first, unknown_spread, out)
    return out


@core_kernel
def _merge(bars: Bars, first: npt.NDArray[np.int64], unknown_spread: float, out: Bars) -> None:
    """Fill the values of the higher bars `out`, which begin at the indices `first` of `bars`."""
    for k in range(len(first)):
        start = first[k]
        stop = first[k + 1] if k + 1 < len(first) else len(bars)
        high, low = bars[start]["high"], bars[start]["low"]
        volume = spread = np.nan
        for i in range(start, stop):
            bar = bars[i]
            high, low = max(high, bar["high"]), min(low, bar["low"])
            if not np.isnan(bar["volume"]):
                volume = bar["volume"] + (0.0 if np.isnan(volume) else volume)
            if not np.isnan(bar["spread"]):
                spread = bar["spread"]
            elif not np.isnan(unknown_spread):
                spread = unknown_spread
        out[k]["open"] = bars[start]["open"]
        out[k]["high"] = high
        out[k]["low"] = low
        out[k]["close"] = bars[stop - 1]["close"]
        out[k]["volume"] = volume
        out[k]["spread"] = spread
