"""Trading hours and holidays over any prices: outside them there are no bars, so no market.

Hours are the server's wall clock, such as "mon 01:00-23:55"; a day that is not named is closed.
Without hours and holidays the market is open whenever the prices have bars.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable
from datetime import date
from typing import Final

import numpy as np

from engine.model.bars import Bars
from engine.model.errors import ConfigError
from engine.model.server_clock import ServerClock
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE
from engine.terminal.simulated.prices.prices import Bar, PriceSource
from engine.terminal.simulated.prices.recorded_ticks import Ticks

_HOURS = re.compile(r"(mon|tue|wed|thu|fri|sat|sun) (\d\d):(\d\d)-(\d\d):(\d\d)")
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EPOCH: Final = date(1970, 1, 1)
_DAY_MINUTES: Final = 1440
_WEEK_MINUTES: Final = 7 * _DAY_MINUTES
# Days since 1970-01-01, a Thursday, to those since a Monday.
_TO_MONDAY: Final = 3


class SessionSource:
    """Prices of a source within trading hours."""

    def __init__(
        self,
        source: PriceSource,
        clock: ServerClock,
        hours: Iterable[str],
        holidays: Iterable[str],
    ) -> None:
        self._source = source
        self._clock = clock
        self._holidays = frozenset(map(_day, holidays))
        # Minutes of the week at which it opens and closes by turns; open all week without hours.
        self._edges = _edges(hours) or [0, _WEEK_MINUTES]

    def _is_open(self, time_ns: int) -> bool:
        day, minute = self._day_and_minute(time_ns)
        return day not in self._holidays and bool(bisect_right(self._edges, minute) % 2)

    def _day_and_minute(self, time_ns: int) -> tuple[int, int]:
        """Return the server's day and its minute of the week."""
        server_ns = self._clock.to_server_ns(time_ns)
        day = server_ns // NS_PER_DAY
        of_day = server_ns % NS_PER_DAY // NS_PER_MINUTE
        return day, (day + _TO_MONDAY) % 7 * _DAY_MINUTES + of_day

    def _closed_span_ns(self, time_ns: int) -> tuple[int, int]:
        """Return a span of closed time around a closed moment."""
        day, minute = self._day_and_minute(time_ns)
        if day in self._holidays:
            first, last = day * NS_PER_DAY, (day + 1) * NS_PER_DAY
        else:
            monday_ns = (day - (day + _TO_MONDAY) % 7) * NS_PER_DAY
            index = bisect_right(self._edges, minute)
            before = self._edges[index - 1] if index else self._edges[-1] - _WEEK_MINUTES
            after = self._edges[0] + _WEEK_MINUTES
            if index < len(self._edges):
                after = self._edges[index]
            first = monday_ns + before * NS_PER_MINUTE
            last = monday_ns + after * NS_PER_MINUTE
        # An hour that the server's clock has twice must not hold a search in its place.
        return (
            min(self._clock.to_utc_ns(first), time_ns),
            max(self._clock.to_utc_ns(last), time_ns + 1),
        )

    def bar_at(self, symbol: str, open_ns: int) -> Bar | None:
        """Return the bar that opens exactly at `open_ns`."""
        return self._source.bar_at(symbol, open_ns) if self._is_open(open_ns) else None

    def last_bar(self, symbol: str, before_ns: int) -> Bar | None:
        """Return the newest bar that opened before `before_ns`."""
        bar = self._source.last_bar(symbol, before_ns)
        while bar is not None and not self._is_open(bar.time_ns):
            bar = self._source.last_bar(symbol, self._closed_span_ns(bar.time_ns)[0])
        return bar

    def next_open_ns(self, symbol: str, at_ns: int) -> int | None:
        """Return the open of the first bar at or after `at_ns`."""
        open_ns = self._source.next_open_ns(symbol, at_ns)
        while open_ns is not None and not self._is_open(open_ns):
            open_ns = self._source.next_open_ns(symbol, self._closed_span_ns(open_ns)[1])
        return open_ns

    def bars(self, symbol: str, from_ns: int, to_ns: int) -> Bars:
        """Return the bars that open in [from_ns, to_ns), spreads filled."""
        bars = self._source.bars(symbol, from_ns, to_ns)
        if not len(bars):
            return bars
        times_ns = np.ascontiguousarray(bars["time_ns"])
        server_ns = times_ns + self._clock.offsets_ns(times_ns)
        days = server_ns // NS_PER_DAY
        minutes = (days + _TO_MONDAY) % 7 * _DAY_MINUTES
        minutes += server_ns % NS_PER_DAY // NS_PER_MINUTE
        is_open = np.searchsorted(self._edges, minutes, side="right") % 2 == 1
        is_open &= ~np.isin(days, list(self._holidays))
        kept: Bars = bars[is_open]
        return kept

    def recorded_ticks(self, symbol: str, open_ns: int) -> Ticks | None:
        """Return the recorded ticks of a minute; None where its bar has to make them."""
        return self._source.recorded_ticks(symbol, open_ns)


def _day(text: str) -> int:
    try:
        return (date.fromisoformat(text) - _EPOCH).days
    except ValueError:
        raise ConfigError(f"holidays: {text!r} is no date: write 2018-12-25") from None


def _edges(hours: Iterable[str]) -> list[int]:
    """Return when the market opens and closes, minutes of the week, in order."""
    spans = sorted(map(_span, hours))
    edges: list[int] = []
    for opens, closes in spans:
        if edges and opens < edges[-1]:
            raise ConfigError("hours: two spans overlap: write each once, in server time")
        if edges and opens == edges[-1]:
            edges[-1] = closes
        else:
            edges += [opens, closes]
    return edges


def _span(text: str) -> tuple[int, int]:
    match = _HOURS.fullmatch(text)
    if match:
        day = _DAYS.index(match[1]) * _DAY_MINUTES
        opens, closes = (int(match[i]) * 60 + int(match[i + 1]) for i in (2, 4))
        if opens < closes <= _DAY_MINUTES:
            return day + opens, day + closes
    raise ConfigError(f"hours: {text!r}: write a day and its span, such as mon 01:00-23:55")
