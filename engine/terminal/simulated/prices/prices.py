"""Where the simulated terminal's prices come from: the protocol, and recorded bars.

Prices are bid, times UTC nanoseconds. A source never looks at a clock: it answers for any time.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from engine.model.bars import BAR_DTYPE, Bars
from engine.model.errors import DataError
from engine.model.symbols import SymbolSpec
from engine.model.times import NS_PER_MINUTE
from engine.terminal.simulated.prices.recorded_ticks import RecordedTicks, Ticks, joined

_CHUNK = 1024

# A hole in the bars this long is a closed market (gold's daily break is an hour).
SESSION_GAP_NS = 30 * NS_PER_MINUTE


class Bar(NamedTuple):
    """One M1 bar; `spread` in price units, never NaN."""

    time_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    spread: float


class PriceSource(Protocol):
    """M1 bars of every symbol; unknown symbols have none."""

    def bar_at(self, symbol: str, open_ns: int) -> Bar | None:
        """Return the bar that opens exactly at `open_ns`."""

    def last_bar(self, symbol: str, before_ns: int) -> Bar | None:
        """Return the newest bar that opened before `before_ns`."""

    def next_open_ns(self, symbol: str, at_ns: int) -> int | None:
        """Return the open of the first bar at or after `at_ns`."""

    def bars(self, symbol: str, from_ns: int, to_ns: int) -> Bars:
        """Return the bars that open in [from_ns, to_ns), spreads filled."""

    def recorded_ticks(self, symbol: str, open_ns: int) -> Ticks | None:
        """Return the recorded ticks of a minute; None where its bar has to make them."""


def session_open(source: PriceSource, symbol: str, now_ns: int) -> bool:
    """Tell whether the market of `symbol` is open: a bar now, or only a short hole around now."""
    last = source.last_bar(symbol, now_ns + 1)
    if last is None:
        return False
    end_ns = last.time_ns + NS_PER_MINUTE
    if now_ns < end_ns:
        return True
    next_ns = source.next_open_ns(symbol, now_ns)
    return next_ns is not None and next_ns - end_ns < SESSION_GAP_NS


class ReplaySource:
    """Recorded bars, (n,) of BAR_DTYPE per symbol; recorded ticks make the bars that they cover."""

    def __init__(
        self,
        bars: Mapping[str, Bars],
        specs: Sequence[SymbolSpec],
        ticks: Mapping[str, RecordedTicks] | None = None,
    ) -> None:
        self._ticks = dict(ticks or {})
        self._bars = {}
        self._times = {}
        self._spread = {spec.name: spec.spread for spec in specs}
        self._chunks: dict[str, tuple[int, list[Bar]]] = {}
        for spec in specs:
            symbol = spec.name
            array = bars.get(symbol, np.empty(0, BAR_DTYPE))
            if array.dtype != BAR_DTYPE:
                raise DataError(f"bars of {symbol}: dtype is {array.dtype}, not BAR_DTYPE")
            if symbol in self._ticks:
                array = joined(array, self._ticks[symbol].bars(spec.digits))
            times = np.ascontiguousarray(array["time_ns"])
            if len(times) and (times[0] % NS_PER_MINUTE or np.any(np.diff(times) <= 0)):
                raise DataError(f"bars of {symbol}: times are not increasing whole minutes")
            self._bars[symbol], self._times[symbol] = array, times

    def _index(self, symbol: str, at_ns: int) -> int:
        times = self._times.get(symbol)
        return 0 if times is None else int(times.searchsorted(at_ns))

    def _row(self, symbol: str, index: int) -> Bar:
        start, rows = self._chunks.get(symbol, (-1, []))
        if not start <= index < start + len(rows):
            start = index - index % _CHUNK
            fill = self._spread[symbol]
            rows = [
                row if row.spread == row.spread else row._replace(spread=fill)
                for row in map(Bar._make, self._bars[symbol][start : start + _CHUNK].tolist())
            ]
            self._chunks[symbol] = start, rows
        return rows[index - start]

    def bar_at(self, symbol: str, open_ns: int) -> Bar | None:
        """Return the bar that opens exactly at `open_ns`."""
        index = self._index(symbol, open_ns)
        if index == len(self._times.get(symbol, ())):
            return None
        row = self._row(symbol, index)
        return row if row.time_ns == open_ns else None

    def last_bar(self, symbol: str, before_ns: int) -> Bar | None:
        """Return the newest bar that opened before `before_ns`."""
        index = self._index(symbol, before_ns)
        return self._row(symbol, index - 1) if index else None

    def next_open_ns(self, symbol: str, at_ns: int) -> int | None:
        """Return the open of the first bar at or after `at_ns`."""
        index = self._index(symbol, at_ns)
        times = self._times.get(symbol)
        return None if times is None or index == len(times) else int(times[index])

    def bars(self, symbol: str, from_ns: int, to_ns: int) -> Bars:
        """Return the bars that open in [from_ns, to_ns), spreads filled."""
        if symbol not in self._bars:
            return np.empty(0, BAR_DTYPE)
        part = self._bars[symbol][self._index(symbol, from_ns) : self._index(symbol, to_ns)].copy()
        part["spread"][np.isnan(part["spread"])] = self._spread[symbol]
        return part

    def recorded_ticks(self, symbol: str, open_ns: int) -> Ticks | None:
        """Return the recorded ticks of a minute; None where its bar has to make them."""
        ticks = self._ticks.get(symbol)
        return None if ticks is None else ticks.minute(open_ns)
