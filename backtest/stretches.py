"""A backtest's period in stretches of days: batches, bars and signals of each."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from backtest.loop import SIGNAL, SignalFeed
from backtest.signals import SeriesStream, make_series
from engine.model.bars import BAR_DTYPE, Bars
from engine.model.server_clock import ServerClock
from engine.model.symbols import SymbolSpec
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE, Timeframe
from engine.portfolio.compile import CompiledPortfolio
from strategies.base import Strategy

Integers = npt.NDArray[np.int64]


class Stretch(NamedTuple):
    """The batches of some days and all they need, flat: see `run_batches`."""

    batch_ns: Integers
    server_day: Integers
    bars: Bars
    bar_next: Integers
    bar_stop: Integers
    feed: SignalFeed


def fill_spread(bars: Bars, spec: SymbolSpec) -> Bars:
    """Return the bars with the contract's spread where the data has none (0 is a spread)."""
    unknown = np.isnan(bars["spread"])
    if not unknown.any():
        return bars
    filled = bars.copy()
    filled["spread"][unknown] = spec.spread_points * spec.point
    return filled


class Stretches:
    """The period cut after UTC midnights: batches in (midnight, midnight], the first from `from`.

    So a day's M1 signals, due up to the midnight after it, are one anchor period. Two buffers of
    signals take turns: one is being written while the core reads the other.
    """

    def __init__(
        self,
        compiled: CompiledPortfolio,
        strategies: Sequence[Strategy],
        bars: Mapping[str, Bars],
        from_ns: int,
        to_ns: int,
    ) -> None:
        self._from_ns = from_ns
        self._to_ns = to_ns
        self._clock = ServerClock(compiled.portfolio.server_clock)
        self._specs = compiled.symbols
        self._bars = [
            b[: np.searchsorted(b["time_ns"], to_ns)] for b in (bars[s.name] for s in self._specs)
        ]
        self._opens = [np.ascontiguousarray(b["time_ns"]) for b in self._bars]
        self._buffers = [np.empty(0, SIGNAL), np.empty(0, SIGNAL)]
        grouped: dict[tuple[str, Timeframe], list[int]] = {}
        for m, strategy in enumerate(strategies):
            grouped.setdefault((strategy.symbol, strategy.timeframe), []).append(m)
        series = {
            (symbol, timeframe): make_series(
                self._bars[compiled.symbol_index[symbol]], timeframe, self._clock
            )
            for symbol, timeframe in {i[:2] for strategy in strategies for i in strategy.inputs}
        }
        self._series = [
            SeriesStream(
                series[key],
                [strategies[m] for m in members],
                [
                    [series[i.symbol, i.timeframe].bars for i in strategies[m].inputs[1:]]
                    for m in members
                ],
                from_ns,
            )
            for key, members in grouped.items()
        ]
        self._members = np.concatenate([np.array(m, np.int64) for m in grouped.values()])
        self._first_member = np.cumsum([0, *map(len, grouped.values())], dtype=np.int64)

    def cut(self, days: int) -> Iterator[Stretch]:
        """Yield stretches of `days` days in order; each is valid until the one after the next."""
        after_ns = self._from_ns - 1
        while after_ns < self._to_ns:
            midnight_ns = (after_ns + 1) // NS_PER_DAY * NS_PER_DAY
            until_ns = min(midnight_ns + days * NS_PER_DAY, self._to_ns)
            batch_ns = self._batches(after_ns, until_ns)
            if len(batch_ns):
                yield self._stretch(after_ns, until_ns, batch_ns)
            after_ns = until_ns

    def _stretch(self, after_ns: int, until_ns: int, batch_ns: Integers) -> Stretch:
        spans = [np.searchsorted(t, (after_ns, until_ns), side="right") for t in self._opens]
        bar_next, bar_stop = _ranges(np.array([stop - start for start, stop in spans], np.int64))
        bars = np.empty(bar_stop[-1], BAR_DTYPE)
        for spec, column, span, at in zip(self._specs, self._bars, spans, bar_next, strict=True):
            part = fill_spread(column[slice(*span)], spec)
            bars[at : at + len(part)] = part
        return Stretch(
            batch_ns,
            server_days(self._clock, batch_ns),
            bars,
            bar_next,
            bar_stop,
            # What closes after the last batch is taken by the first batch of a later stretch.
            self._feed(int(batch_ns[-1])),
        )

    def _feed(self, until_ns: int) -> SignalFeed:
        closings = [series.closings(until_ns) for series in self._series]
        counts = np.array([len(c) for c in closings], np.int64)
        row, row_stop = _ranges(counts * np.diff(self._first_member))
        close_next, close_stop = _ranges(counts)
        self._buffers.reverse()
        if len(self._buffers[0]) < row_stop[-1]:
            self._buffers[0] = np.empty(row_stop[-1], SIGNAL)
        rows = self._buffers[0]
        for series, start, stop in zip(self._series, row, row_stop, strict=True):
            series.write(rows[start:stop])
        return SignalFeed(
            rows,
            np.concatenate(closings),
            close_next,
            close_stop,
            row,
            self._members,
            self._first_member,
        )

    def _batches(self, after_ns: int, until_ns: int) -> Integers:
        """Return every minute in (after, until] at which a bar of the period opens or closes."""
        first_ns = after_ns - after_ns % NS_PER_MINUTE
        is_batch = np.zeros((until_ns - first_ns) // NS_PER_MINUTE + 2, np.bool_)
        for opens in self._opens:
            # A bar that opened at or before `after` may close in this stretch.
            start, stop = np.searchsorted(opens, (max(first_ns, self._from_ns), until_ns + 1))
            minutes = (opens[start:stop] - first_ns) // NS_PER_MINUTE
            is_batch[minutes] = True
            is_batch[minutes + 1] = True
        batch_ns = first_ns + np.flatnonzero(is_batch) * NS_PER_MINUTE
        return batch_ns[(batch_ns > after_ns) & (batch_ns <= until_ns)]


def server_days(clock: ServerClock, times_ns: Integers) -> Integers:
    """Return the server day of each time, (n,) int64; the clock is asked twice a UTC day."""
    utc_days, index = np.unique(times_ns // NS_PER_DAY, return_inverse=True)
    starts = [clock.offset_ns(day * NS_PER_DAY) for day in utc_days.tolist()]
    ends = [clock.offset_ns((day + 1) * NS_PER_DAY - 1) for day in utc_days.tolist()]
    offsets = np.array(starts, np.int64)[index]
    changing = np.array(starts) != np.array(ends)
    if changing.any():
        rows = changing[index]
        offsets[rows] = clock.offsets_ns(times_ns[rows])
    return (times_ns + offsets) // NS_PER_DAY


def _ranges(counts: Integers) -> tuple[Integers, Integers]:
    """Return where each of several runs, laid end to end, starts and stops."""
    stops = np.cumsum(counts, dtype=np.int64)
    return stops - counts, stops
