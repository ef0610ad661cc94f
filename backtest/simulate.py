"""Run a portfolio over past bars: signals of a stretch, then the core over it, and so on.

The period is half-open: bars that open in [from, to). Bars before it warm strategies up and give
each symbol its last price, nothing else. The order of events is docs/SEMANTICS.md §1.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from backtest.loop import EQUITY, SIGNAL, TRADE, SignalFeed, close_all, run_batches, set_bar_quote
from backtest.signals import SeriesStream, make_series
from engine.decision.batch import N_REFUSALS
from engine.decision.state import Core, Records
from engine.model.bars import BAR_DTYPE, Bars
from engine.model.server_clock import ServerClock
from engine.model.symbols import SymbolSpec
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE, Timeframe
from engine.portfolio.compile import CompiledPortfolio
from strategies.base import Strategy
from strategies.registry import create

Integers = npt.NDArray[np.int64]
_TRADES_AT_ONCE = 4096
# Few enough for the signals to stay small, enough for two threads to meet seldom.
DAYS_AT_ONCE = 5


class Result(NamedTuple):
    """What a backtest did.

    `trades` (n,) TRADE in order of exit; `shares` (n, most members of a slot) entry shares of
    each trade's members; `equity` (n_batches,) EQUITY, marked after each batch's quotes;
    `refused` counts by Refusal; `core` is the final state, all flat.
    """

    compiled: CompiledPortfolio
    from_ns: int
    to_ns: int
    trades: Records
    shares: npt.NDArray[np.float64]
    equity: Records
    refused: Integers
    core: Core
    n_bars: int


class _Stretch(NamedTuple):
    """The batches of some days and all they need, flat: see `run_batches`."""

    batch_ns: Integers
    server_day: Integers
    bars: Bars
    bar_next: Integers
    bar_stop: Integers
    feed: SignalFeed


def make_strategies(compiled: CompiledPortfolio) -> list[Strategy]:
    """Return the portfolio's strategies in the core's order.

    Raises:
        StrategyError: a kind or parameter is wrong.
    """
    specs = {spec.name: spec for spec in compiled.symbols}
    return [
        create(s.kind, s.params, s.symbol, s.timeframe, specs[s.symbol].point, s.name)
        for s in compiled.strategies
    ]


def fill_spread(bars: Bars, spec: SymbolSpec) -> Bars:
    """Return the bars with the contract's spread where the data has none (0 is a spread)."""
    unknown = np.isnan(bars["spread"])
    if not unknown.any():
        return bars
    filled = bars.copy()
    filled["spread"][unknown] = spec.spread_points * spec.point
    return filled


def simulate(
    compiled: CompiledPortfolio,
    bars: Mapping[str, Bars],
    from_ns: int,
    to_ns: int,
    *,
    strategies: Sequence[Strategy] | None = None,
    progress: Callable[[float], None] = lambda _: None,
    days_at_once: int = DAYS_AT_ONCE,
) -> Result:
    """Run the portfolio over `bars` (M1 by symbol, with warm-up) from `from_ns` to `to_ns`.

    `strategies` are those of `make_strategies`, in the core's order, where they exist already.
    """
    if strategies is None:
        strategies = make_strategies(compiled)
    stretches = _Stretches(compiled, strategies, bars, from_ns, to_ns).cut(days_at_once)
    run = _Run(compiled, bars, from_ns)
    with ThreadPoolExecutor(1) as worker:
        done: Future[None] | None = None
        for stretch in stretches:
            # The kernel runs without the GIL: the next stretch's signals are made meanwhile.
            if done is not None:
                done.result()
            done = worker.submit(run.advance, stretch)
            progress((int(stretch.batch_ns[-1]) - from_ns) / (to_ns - from_ns))
        if done is not None:
            done.result()
    return run.finish(from_ns, to_ns)


class _Run:
    """The core under way and what it has written so far."""

    def __init__(self, compiled: CompiledPortfolio, bars: Mapping[str, Bars], from_ns: int) -> None:
        self.compiled = compiled
        self.core = compiled.core()
        most = max((len(slot.members) for slot in compiled.slots), default=1)
        self._trades = np.zeros(_TRADES_AT_ONCE + 2 * len(compiled.slots), TRADE)
        self._shares = np.zeros((len(self._trades), most))
        self._refused = np.zeros(N_REFUSALS, np.int64)
        self._chosen = np.zeros(len(compiled.slots), np.int64)
        self._opened = np.zeros(len(compiled.symbols), np.int64)
        self._done: list[tuple[Records, npt.NDArray[np.float64]]] = []
        self._equity: list[Records] = []
        self._n_bars = 0
        for s, spec in enumerate(compiled.symbols):
            before = int(np.searchsorted(bars[spec.name]["time_ns"], from_ns))
            if before:
                last = fill_spread(bars[spec.name][before - 1 : before], spec)[0]
                set_bar_quote(self.core, s, last["close"], last["spread"], 0)

    def advance(self, stretch: _Stretch) -> None:
        """Run the core over a stretch."""
        equity = np.zeros(len(stretch.batch_ns), EQUITY)
        self._n_bars += int((stretch.bar_stop - stretch.bar_next).sum())
        batch = 0
        while batch < len(stretch.batch_ns):
            batch, n = run_batches(
                self.core,
                stretch.batch_ns,
                stretch.server_day,
                batch,
                stretch.bars,
                stretch.bar_next,
                stretch.bar_stop,
                stretch.feed,
                self._trades,
                self._shares,
                equity,
                self._refused,
                self._chosen,
                self._opened,
            )
            self._keep(n)
        self._equity.append(equity)

    def _keep(self, n: int) -> None:
        if n:
            self._done.append((self._trades[:n].copy(), self._shares[:n].copy()))

    def finish(self, from_ns: int, to_ns: int) -> Result:
        """Close what is open at the last closes and return everything."""
        equity = np.concatenate([np.zeros(0, EQUITY), *self._equity])
        if len(equity):
            end_ns = int(equity["time_ns"][-1])
            self._keep(close_all(self.core, end_ns, self._trades, self._shares))
            account = self.core.account[0]
            balance = float(account["balance_ccy"])
            high = max(float(account["high_water_ccy"]), balance)
            equity[-1] = (end_ns, balance, balance, 1.0 - balance / high)
        return Result(
            compiled=self.compiled,
            from_ns=from_ns,
            to_ns=to_ns,
            trades=np.concatenate([self._trades[:0], *(t for t, _ in self._done)]),
            shares=np.concatenate([self._shares[:0], *(s for _, s in self._done)]),
            equity=equity,
            refused=self._refused,
            core=self.core,
            n_bars=self._n_bars,
        )


class _Stretches:
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
        self._series = [
            SeriesStream(
                make_series(self._bars[compiled.symbol_index[symbol]], timeframe, self._clock),
                [strategies[m] for m in members],
                from_ns,
            )
            for (symbol, timeframe), members in grouped.items()
        ]
        self._members = np.concatenate([np.array(m, np.int64) for m in grouped.values()])
        self._first_member = np.cumsum([0, *map(len, grouped.values())], dtype=np.int64)

    def cut(self, days: int) -> Iterator[_Stretch]:
        """Yield stretches of `days` days in order; each is valid until the one after the next."""
        after_ns = self._from_ns - 1
        while after_ns < self._to_ns:
            midnight_ns = (after_ns + 1) // NS_PER_DAY * NS_PER_DAY
            until_ns = min(midnight_ns + days * NS_PER_DAY, self._to_ns)
            batch_ns = self._batches(after_ns, until_ns)
            if len(batch_ns):
                yield self._stretch(after_ns, until_ns, batch_ns)
            after_ns = until_ns

    def _stretch(self, after_ns: int, until_ns: int, batch_ns: Integers) -> _Stretch:
        spans = [np.searchsorted(t, (after_ns, until_ns), side="right") for t in self._opens]
        bar_next, bar_stop = _ranges(np.array([stop - start for start, stop in spans], np.int64))
        bars = np.empty(bar_stop[-1], BAR_DTYPE)
        for spec, column, span, at in zip(self._specs, self._bars, spans, bar_next, strict=True):
            part = fill_spread(column[slice(*span)], spec)
            bars[at : at + len(part)] = part
        return _Stretch(
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
