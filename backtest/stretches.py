"""A backtest's period in stretches of days: batches, bars and signals of each."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from backtest.series import make_series
from backtest.signals import Member, Period, Room, SeriesStream, SignalFeed, make_room
from engine.decision.plausible import only_bars
from engine.kernels.arrays import Arrays
from engine.kernels.compiled import core_kernel
from engine.model.bars import BAR_DTYPE, Bars
from engine.model.server_clock import ServerClock
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE, Timeframe
from engine.portfolio.compile import CompiledPortfolio
from strategies.base import Strategy

Integers = npt.NDArray[np.int64]
# Days differ in what they take of signals and core: the one need not wait for the other at each.
AHEAD: Final = 2


class Market(Arrays):
    """The batches of some days and their bars.

    `batch_ns`, `server_ns` (n,) UTC and the server's wall clock; `bars` (n_bars,) BAR_DTYPE,
    symbol after symbol, `spread` filled in; `bar_next`, `bar_stop` (n_symbols,) each symbol's next
    bar and end, `bar_next` advances.
    """

    batch_ns: Integers
    server_ns: Integers
    bars: Bars
    bar_next: Integers
    bar_stop: Integers


class Stretch(NamedTuple):
    """Some days of a period: their market and the signals in them."""

    market: Market
    feed: SignalFeed


class Stretches:
    """The period cut after UTC midnights: batches in (midnight, midnight], the first from `from`.

    So a day's M1 signals, due up to the midnight after it, are one anchor period. Rooms for signals
    take turns: one is being written while the core has the others, of the last `AHEAD` stretches.
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
        self._clock = ServerClock(compiled.portfolio.server_clock)
        self._specs = compiled.symbols
        self._bars = [
            b[: np.searchsorted(b["time_ns"], to_ns)] for b in (bars[s.name] for s in self._specs)
        ]
        self._opens = [np.ascontiguousarray(b["time_ns"]) for b in self._bars]
        # Nothing opens or closes later: a period may end years after its bars.
        last_ns = max((int(times[-1]) for times in self._opens if len(times)), default=from_ns)
        self._to_ns = min(to_ns, last_ns + NS_PER_MINUTE)
        self._rooms = [make_room(0, 0, 0) for _ in range(AHEAD + 1)]
        self._streams, self._symbol, self._timeframe = self._make_streams(compiled, strategies)
        self._weighted = np.concatenate([s.weighted for s in self._streams]).astype(np.uint32)
        n_weighted = np.array([len(stream.weighted) for stream in self._streams], np.int64)
        self._first_weighted, _ = _ranges(n_weighted)
        self._taken = np.empty(max(len(stream.members) for stream in self._streams), np.int64)

    def _make_streams(
        self, compiled: CompiledPortfolio, strategies: Sequence[Strategy]
    ) -> tuple[list[SeriesStream], Integers, Integers]:
        """Return the series' streams, in the order of their first members, and what they are."""
        symbols = compiled.symbol_index
        series = {}
        for key in {(i.symbol, i.timeframe) for s in strategies for i in s.inputs}:
            at = symbols[key[0]]
            # What is no price makes a batch, as live's does, and no strategy hears of it.
            bars, opens = only_bars(self._bars[at]), self._opens[at]
            if len(bars) != len(opens):
                opens = np.ascontiguousarray(bars["time_ns"])
            series[key] = make_series(bars, opens, key[1], self._clock, self._specs[at].spread)
        voting = {m for s in compiled.slots if s.book.combine == "vote" for m in s.members}
        grouped: dict[tuple[str, Timeframe], list[Member]] = {}
        for m, strategy in enumerate(strategies):
            others = [series[i.symbol, i.timeframe] for i in strategy.inputs[1:]]
            grouped.setdefault((strategy.symbol, strategy.timeframe), []).append(
                Member(m, strategy, others, m in voting)
            )
        order = list(Timeframe)
        return (
            [SeriesStream(series[k], own, self._from_ns) for k, own in grouped.items()],
            np.array([symbols[symbol] for symbol, _ in grouped], np.int64),
            np.array([order.index(timeframe) for _, timeframe in grouped], np.int64),
        )

    def cut(self, days: int) -> Iterator[Stretch]:
        """Yield stretches of `days` days in order; `AHEAD` later ones leave each as it is."""
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
        for spec, whole, span, first, last in zip(
            self._specs, self._bars, spans, bar_next, bar_stop, strict=True
        ):
            _copy_filled(whole[slice(*span)], spec.spread, bars[first:last])
        server_ns = server_times(self._clock, batch_ns)
        return Stretch(
            Market(batch_ns, server_ns, bars, bar_next, bar_stop),
            # What closes after the last batch is taken by the first batch of a later stretch.
            self._feed(int(batch_ns[-1])),
        )

    def _feed(self, until_ns: int) -> SignalFeed:
        parts = [(stream, stream.periods(until_ns)) for stream in self._streams]
        close_ns = [
            np.concatenate([stream.close_ns(p) for p in periods] or [np.empty(0, np.int64)])
            for stream, periods in parts
        ]
        start, stop = _ranges(np.array([len(c) for c in close_ns], np.int64))
        room = self._room(parts)
        block = np.empty(stop[-1], np.int64)
        closing = 0
        for stream, periods in parts:
            for period in periods:
                after = closing + period.stop - period.first
                block[closing:after] = room.used[2]
                stream.write(period, room, closing)
                closing = after
        return SignalFeed(
            room.raw,
            room.values,
            room.blocks,
            room.rows,
            np.concatenate(close_ns),
            block,
            start,
            stop,
            self._symbol,
            self._timeframe,
            self._first_weighted,
            self._weighted,
            self._taken,
        )

    def _room(self, parts: list[tuple[SeriesStream, list[Period]]]) -> Room:
        """Return the room whose turn it is, empty and large enough."""
        n_blocks = sum(len(periods) for _, periods in parts)
        n_rows = sum(len(stream.members) * len(periods) for stream, periods in parts)
        n_signals = sum(
            len(stream.members) * (p.stop - p.first) for stream, periods in parts for p in periods
        )
        self._rooms.append(self._rooms.pop(0))
        room = self._rooms[0]
        if len(room.raw) < n_signals or len(room.rows) < n_rows or len(room.blocks) < n_blocks:
            room = self._rooms[0] = make_room(n_signals, n_blocks, n_rows)
        room.used[:] = 0
        return room

    def _batches(self, after_ns: int, until_ns: int) -> Integers:
        """Return every minute in (after, until] at which a bar of the period opens or closes."""
        first_ns = after_ns - after_ns % NS_PER_MINUTE
        is_batch = np.zeros((until_ns - first_ns) // NS_PER_MINUTE + 2, np.bool_)
        for opens in self._opens:
            # A bar that opened at or before `after` may close in this stretch.
            start, stop = np.searchsorted(opens, (max(first_ns, self._from_ns), until_ns + 1))
            _mark_minutes(opens[start:stop], first_ns, is_batch)
        batch_ns = first_ns + np.flatnonzero(is_batch) * NS_PER_MINUTE
        return batch_ns[slice(*np.searchsorted(batch_ns, (after_ns, until_ns), side="right"))]


@core_kernel
def _copy_filled(bars: Bars, spread: float, out: Bars) -> None:
    """Copy bars into `out`, with `spread` where the data has none."""
    for i in range(len(bars)):
        out[i] = bars[i]
        if np.isnan(out[i]["spread"]):
            out[i]["spread"] = spread


@core_kernel
def _mark_minutes(opens_ns: Integers, first_ns: int, is_batch: npt.NDArray[np.bool_]) -> None:
    """Mark each bar's open and close among the minutes from `first_ns` on."""
    for i in range(len(opens_ns)):
        minute = (opens_ns[i] - first_ns) // NS_PER_MINUTE
        is_batch[minute] = True
        is_batch[minute + 1] = True


def server_times(clock: ServerClock, times_ns: Integers) -> Integers:
    """Return the server's wall clock at each time, (n,) int64."""
    return times_ns + clock.offsets_ns(times_ns)


def _ranges(counts: Integers) -> tuple[Integers, Integers]:
    """Return where each of several runs, laid end to end, starts and stops."""
    stops = np.cumsum(counts, dtype=np.int64)
    return stops - counts, stops
