"""A symbol's closed bars of one timeframe, as the columns that strategies read."""

import numpy as np

from engine.kernels.compiled import core_kernel
from engine.model.bars import Bars
from engine.model.server_clock import ServerClock
from engine.model.times import NS_PER_MINUTE, Timeframe
from strategies.base import Columns, Floats, Times
from strategies.resample import higher_bars
from strategies.windows import periods


class Series:
    """Closed bars, their closings and their anchor periods.

    Columns are made of the bars that are asked for: a year of them would take as much as the bars.
    """

    def __init__(
        self,
        bars: Bars,
        time_ns: Times,
        close_ns: Times,
        timeframe: Timeframe,
        unknown_spread: float = np.nan,
    ) -> None:
        self._unknown_spread = unknown_spread
        self.close_ns = close_ns
        self.periods = list(periods(time_ns, timeframe))
        self._bars = bars

    def part(self, start: int, stop: int) -> Columns:
        """Return bars `start` to `stop`."""
        times, values = np.empty(stop - start, np.int64), np.empty((6, stop - start))
        _split(self._bars[start:stop], self._unknown_spread, times, values)
        return Columns(times, self.close_ns[start:stop], *values)


@core_kernel
def _split(bars: Bars, unknown_spread: float, times: Times, values: Floats) -> None:
    """Write each bar's fields into the columns: one pass, bars of a year are not in cache."""
    for i in range(len(bars)):
        bar = bars[i]
        times[i] = bar["time_ns"]
        values[0, i] = bar["open"]
        values[1, i] = bar["high"]
        values[2, i] = bar["low"]
        values[3, i] = bar["close"]
        # A terminal knows every volume: 0 where the data has none.
        values[4, i] = 0.0 if np.isnan(bar["volume"]) else bar["volume"]
        values[5, i] = unknown_spread if np.isnan(bar["spread"]) else bar["spread"]


def make_series(
    m1: Bars,
    time_ns: Times,
    timeframe: Timeframe,
    clock: ServerClock,
    unknown_spread: float = np.nan,
) -> Series:
    """Return the closed bars of a timeframe made from M1 bars, which open at `time_ns`.

    `unknown_spread`, a price, is what a spread of NaN stands for: a terminal's bars have one.
    A higher bar is closed at the end of its cell: the core takes it at the first batch from then.
    """
    if not len(m1) or timeframe == Timeframe.M1:
        return Series(m1, time_ns, time_ns + NS_PER_MINUTE, timeframe, unknown_spread)
    bars, ends_ns = higher_bars(m1, time_ns, timeframe, clock, unknown_spread)
    opens_ns = np.ascontiguousarray(bars["time_ns"])
    return Series(bars, opens_ns, ends_ns, timeframe, unknown_spread)
