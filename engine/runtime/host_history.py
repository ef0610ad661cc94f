"""The M1 bars that a replaced strategy host must be fed: bounded, one store a symbol."""

from collections.abc import Iterable, Mapping

import numpy as np

from engine.model.bars import BAR_DTYPE, Bars
from engine.model.portfolio import Strategy
from engine.model.times import NS_PER_MINUTE, Timeframe, anchor_ns

# Bars before the first one needed: the oldest one kept may be cut in its middle.
_SPARE_BARS = 2
# A bar above H1 may be this much longer where daylight saving ends.
_LONGER_MINUTES = 60


def m1_bars_needed(
    strategies: Iterable[Strategy], warmups: Mapping[str, int], now_ns: int
) -> dict[str, int]:
    """Return how many M1 bars up to `now_ns` hold every strategy's warm-up and anchor period.

    An upper bound: a higher bar holds at most its length in minutes.
    """
    needed: dict[str, int] = {}
    for spec in strategies:
        if spec.name not in warmups:  # it could not be created
            continue
        timeframe = Timeframe[spec.timeframe]
        minutes = int(timeframe) + (_LONGER_MINUTES if timeframe > Timeframe.H1 else 0)
        # A bar that opens now may still be open, or closed by a later batch: one more of it.
        since = now_ns - anchor_ns(timeframe, now_ns - timeframe.ns)
        n_bars = (warmups[spec.name] + _SPARE_BARS) * minutes + since // NS_PER_MINUTE
        needed[spec.symbol] = max(needed.get(spec.symbol, 0), n_bars)
    return needed


class History:
    """Closed M1 bars of each symbol, the last ones needed and at most a quarter more."""

    def __init__(self) -> None:
        self._bars: dict[str, Bars] = {}
        self._used: dict[str, int] = {}

    def append(self, symbol: str, bars: Bars, needed: int) -> None:
        """Add bars of a symbol that needs the last `needed` ones."""
        store = self._bars.get(symbol, np.empty(0, BAR_DTYPE))
        used = self._used.get(symbol, 0)
        if used + len(bars) > len(store):
            kept = store[max(0, used - needed) : used]
            store = np.empty(max(needed, len(kept) + len(bars)) + needed // 4 + 1024, BAR_DTYPE)
            store[: len(kept)] = kept
            used = len(kept)
        store[used : used + len(bars)] = bars
        self._bars[symbol], self._used[symbol] = store, used + len(bars)

    def last(self, needed: Mapping[str, int]) -> dict[str, Bars]:
        """Return the last bars of the symbols named, at most as many as needed."""
        return {
            symbol: self._bars[symbol][max(0, self._used[symbol] - n) : self._used[symbol]]
            for symbol, n in needed.items()
            if symbol in self._bars
        }

    def last_close_ns(self) -> int:
        """Return the close of the newest bar of all; 0 for none."""
        opens = [self._bars[s]["time_ns"][n - 1] for s, n in self._used.items() if n]
        return max((int(o) + NS_PER_MINUTE for o in opens), default=0)
