"""The M1 bars that a new strategy host must be fed: bounded, one store a symbol."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from engine.hosts.protocol import InputNeed
from engine.model.bars import BAR_DTYPE, Bars
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE, Timeframe, anchor_ns

# Bars before the first one needed: the oldest one kept may be cut in its middle.
_SPARE_BARS = 2
# A bar above H1 may be this much longer where daylight saving ends.
_LONGER_MINUTES = 60


def m1_bars_needed(strategies: Iterable[Sequence[InputNeed]], now_ns: int) -> dict[str, int]:
    """Return how many M1 bars up to `now_ns` hold every input's warm-up and anchor period.

    An upper bound: a higher bar holds at most its length in minutes.
    """
    now_ns = max(now_ns, 2 * NS_PER_DAY)  # nothing was seen yet
    needed: dict[str, int] = {}
    for inputs in strategies:
        primary = Timeframe[inputs[0].timeframe]
        # A bar that opens now may still be open, or closed by a later batch: one more of it.
        since_ns = anchor_ns(primary, now_ns - primary.ns)
        for need in inputs:
            timeframe = Timeframe[need.timeframe]
            minutes = int(timeframe) + (_LONGER_MINUTES if timeframe > Timeframe.H1 else 0)
            since = now_ns - min(since_ns, anchor_ns(timeframe, since_ns))
            n_bars = (need.warmup + _SPARE_BARS) * minutes + since // NS_PER_MINUTE
            needed[need.symbol] = max(needed.get(need.symbol, 0), n_bars)
    return needed


def m1_bars_kept(strategies: Iterable[Sequence[InputNeed]], now_ns: int) -> dict[str, int]:
    """Return a number of bars that is enough at any moment of the day of `now_ns` (UTC).

    Anchors are midnights: a need grows by the minutes of a day until they are passed. A day more
    is kept, so that the day that has ended can be gone through again.
    """
    needed = m1_bars_needed(strategies, now_ns - now_ns % NS_PER_DAY)
    return {symbol: n + 2 * NS_PER_DAY // NS_PER_MINUTE for symbol, n in needed.items()}


class History:
    """Closed M1 bars of each symbol, the last ones needed and at most a quarter more.

    Bars that were given out are never written again: another thread may go on reading them.
    """

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

    def put_before(self, symbol: str, bars: Bars) -> None:
        """Add the bars that are older than all there are."""
        now = self.all(symbol)
        older = bars[bars["time_ns"] < now["time_ns"][0]] if len(now) else bars
        self._bars[symbol] = np.concatenate([older, now])
        self._used[symbol] = len(self._bars[symbol])

    def all(self, symbol: str) -> Bars:
        """Return every bar there is of a symbol."""
        return self._bars.get(symbol, np.empty(0, BAR_DTYPE))[: self._used.get(symbol, 0)]

    def last(self, needed: Mapping[str, int]) -> dict[str, Bars]:
        """Return the last bars of the symbols named, at most as many as needed."""
        return {s: self.all(s)[-n:] for s, n in needed.items() if s in self._bars and n}

    def since(self, last_open_ns: Mapping[str, int]) -> dict[str, Bars]:
        """Return the bars of the symbols named that are newer than the ones given."""
        out = {}
        for symbol, open_ns in last_open_ns.items():
            bars = self.all(symbol)
            out[symbol] = bars[int(np.searchsorted(bars["time_ns"], open_ns, side="right")) :]
        return {symbol: bars for symbol, bars in out.items() if len(bars)}

    def last_close_ns(self) -> int:
        """Return the close of the newest bar of all; 0 for none."""
        opens = [self._bars[s]["time_ns"][n - 1] for s, n in self._used.items() if n]
        return max((int(o) + NS_PER_MINUTE for o in opens), default=0)
