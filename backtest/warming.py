"""Who was WARMING in a period, what was missing, and from when it trades.

A window begins `warmup` bars before the anchor of its period. With fewer bars before it a strategy
is FLAT for that whole period, which looks like a strategy that saw no chance.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from backtest.remarks import joined
from backtest.series import Series, make_series
from engine.decision.plausible import only_bars
from engine.model.bars import Bars
from engine.model.server_clock import ServerClock
from engine.model.times import NS_PER_DAY, Timeframe, anchor_ns, iso_utc
from strategies.base import Input, Strategy
from strategies.windows import window_spans

# An anchor comes at least once a year.
_DAYS_MOST: Final = 400


class _Missing(NamedTuple):
    """An input's bars before an anchor: how many are needed, how many there are."""

    need: Input
    anchor_ns: int
    n_bars: int


def warming_notes(
    strategies: Sequence[Strategy],
    bars: Mapping[str, Bars],
    clock: ServerClock,
    from_ns: int,
    to_ns: int,
) -> list[str]:
    """Return a line for the strategies that were WARMING alike in a part or all of [from, to).

    `bars` are M1 by symbol, with what there is before `from_ns`.
    """
    series = _SeriesByInput(bars, clock, to_ns)
    names: dict[str, list[str]] = {}
    for strategy in strategies:
        if not _has_plenty(strategy, bars, from_ns):
            for line in _warming(strategy, series, from_ns, to_ns):
                names.setdefault(line, []).append(strategy.name)
    return [f"{joined(who)} {line}" for line, who in names.items()]


def _has_plenty(strategy: Strategy, bars: Mapping[str, Bars], from_ns: int) -> bool:
    """Tell whether there are so many M1 bars that no count of higher bars is needed.

    A bar of n minutes holds at most n; the oldest may be cut, the newest one may be open.
    """
    for need in strategy.inputs:
        at_ns = anchor_ns(need.timeframe, anchor_ns(strategy.timeframe, from_ns))
        before = int(np.searchsorted(bars[need.symbol]["time_ns"], at_ns))
        if before < (need.warmup + 2) * int(need.timeframe):
            return False
    return True


class _SeriesByInput:
    """Closed bars that open before the period's end, made once an input."""

    def __init__(self, bars: Mapping[str, Bars], clock: ServerClock, to_ns: int) -> None:
        self._bars, self._clock, self._to_ns = bars, clock, to_ns
        self._made: dict[tuple[str, Timeframe], Series] = {}

    def of(self, need: Input) -> Series:
        key = need.symbol, need.timeframe
        if key not in self._made:
            m1 = only_bars(self._bars[need.symbol])
            m1 = m1[: np.searchsorted(m1["time_ns"], self._to_ns)]
            opens_ns = np.ascontiguousarray(m1["time_ns"])
            self._made[key] = make_series(m1, opens_ns, need.timeframe, self._clock)
        return self._made[key]


def _warming(strategy: Strategy, series: _SeriesByInput, from_ns: int, to_ns: int) -> Iterator[str]:
    """Yield what is to be said of a strategy, if anything."""
    own, *others = [series.of(need) for need in strategy.inputs]
    columns = own.part(0, len(own.close_ns))
    what = f"({strategy.symbol} {strategy.timeframe.name})"
    missing: _Missing | None = None
    for start, stop in own.periods:
        first = max(start, int(np.searchsorted(own.close_ns, from_ns, side="right")))
        # What closes after the period's last batch is taken by none.
        if first >= stop or own.close_ns[first] > to_ns:
            continue
        if window_spans(strategy, columns, start, stop, *others) is not None:
            if missing is not None:
                until = iso_utc(int(own.close_ns[first]))
                yield f"{what} was WARMING until {until}, from when it trades: {_lacking(missing)}"
            return
        missing = missing or _missing(strategy, series, start, int(columns.time_ns[start]))
    if missing is None:
        yield f"{what} was never evaluated: no {strategy.timeframe.name} bar of it closed"
    else:
        yield (
            f"{what} was WARMING all the time, it never traded: {_lacking(missing)}; "
            f"the next windows begin at {iso_utc(_next_anchor(strategy.timeframe, to_ns))}"
        )


def _missing(strategy: Strategy, series: _SeriesByInput, start: int, time_ns: int) -> _Missing:
    """Return the input that lacks most before the window of own bar `start`, which opens then."""
    own, *others = strategy.inputs
    anchor = anchor_ns(own.timeframe, time_ns)
    found = [_Missing(own, anchor, start)]
    for need in others:
        at_ns = anchor_ns(need.timeframe, anchor)
        n_bars = int(np.searchsorted(series.of(need).close_ns, at_ns, side="right"))
        found.append(_Missing(need, at_ns, n_bars))
    return max(found, key=lambda one: one.need.warmup - one.n_bars)


def _lacking(missing: _Missing) -> str:
    need = missing.need
    return (
        f"it needs {need.warmup:,} {need.symbol} {need.timeframe.name} bars before "
        f"{iso_utc(missing.anchor_ns)}, where its windows begin; the data has {missing.n_bars:,}"
    )


def _next_anchor(timeframe: Timeframe, to_ns: int) -> int:
    """Return the first anchor at or after a time."""
    midnight_ns = -(-to_ns // NS_PER_DAY) * NS_PER_DAY
    for day in range(_DAYS_MOST):
        at_ns = midnight_ns + day * NS_PER_DAY
        if anchor_ns(timeframe, at_ns) == at_ns:
            return at_ns
    raise AssertionError(f"no anchor of {timeframe.name} in {_DAYS_MOST} days")
