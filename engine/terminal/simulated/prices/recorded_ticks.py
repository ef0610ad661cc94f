"""Recorded ticks: the bars they make, and the ticks of each minute.

Times are UTC nanoseconds, never decreasing. A crossed quote counts as one without spread.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from engine.decision.money import rounded_prices
from engine.model.bars import BAR_DTYPE, Bars
from engine.model.errors import DataError
from engine.model.times import NS_PER_MINUTE

TICK_DTYPE: Final = np.dtype([("time_ns", "<i8"), ("bid", "<f8"), ("ask", "<f8")])

Ticks = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Times (n,) ns, bids (n,), spreads (n,) in price units."""


class RecordedTicks:
    """One symbol's ticks, (n,) of TICK_DTYPE."""

    def __init__(self, symbol: str, ticks: npt.NDArray[np.void]) -> None:
        if ticks.dtype != TICK_DTYPE:
            raise DataError(f"ticks of {symbol}: dtype is {ticks.dtype}, not TICK_DTYPE")
        self._times_ns = np.ascontiguousarray(ticks["time_ns"])
        self._bids = np.ascontiguousarray(ticks["bid"])
        self._spreads = np.maximum(ticks["ask"] - self._bids, 0.0)
        if np.any(np.diff(self._times_ns) < 0):
            raise DataError(f"ticks of {symbol}: times step back")
        if not np.all((self._bids > 0.0) & np.isfinite(self._spreads)):
            raise DataError(f"ticks of {symbol}: a price is not above 0")

    def minute(self, open_ns: int) -> Ticks | None:
        """Return the ticks of the minute that begins at `open_ns`; None if it has none."""
        first, last = self._times_ns.searchsorted((open_ns, open_ns + NS_PER_MINUTE))
        if first == last:
            return None
        part = slice(int(first), int(last))
        return self._times_ns[part], self._bids[part], self._spreads[part]

    def bars(self, digits: int) -> Bars:
        """Return the bids' M1 bars; volume counts ticks, the spread is the least."""
        opens = self._times_ns // NS_PER_MINUTE * NS_PER_MINUTE
        if not len(opens):
            return np.zeros(0, BAR_DTYPE)
        starts = np.flatnonzero(np.concatenate(([True], np.diff(opens) != 0)))
        ends = np.append(starts[1:], len(opens))
        bars = np.zeros(len(starts), BAR_DTYPE)
        bars["time_ns"] = opens[starts]
        bars["open"], bars["close"] = self._bids[starts], self._bids[ends - 1]
        bars["high"] = np.maximum.reduceat(self._bids, starts)
        bars["low"] = np.minimum.reduceat(self._bids, starts)
        bars["volume"] = ends - starts
        bars["spread"] = rounded_prices(np.minimum.reduceat(self._spreads, starts), digits)
        return bars


def joined(bars: Bars, of_ticks: Bars) -> Bars:
    """Return bars in which those made of ticks take the place of the span that they cover."""
    if not len(of_ticks):
        return bars
    first, last = of_ticks["time_ns"][[0, -1]]
    before, after = bars[bars["time_ns"] < first], bars[bars["time_ns"] > last]
    whole: Bars = np.concatenate((before, of_ticks, after))
    return whole
