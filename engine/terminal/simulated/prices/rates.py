"""`copy_rates_*` and `copy_ticks_*`: bars and ticks on the server's clock, oldest first.

Higher timeframes are aggregated from M1 on the server-time grid; index 0 from the end is the bar
still forming, which shows only what is known of it. A bar's `spread` is the smallest in it,
points.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engine.decision.money import rounded_prices
from engine.model.bars import BAR_DTYPE, Bars
from engine.model.server_clock import ServerClock
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE, NS_PER_MS, NS_PER_S
from engine.terminal.simulated.broker.market import SimMarket
from engine.terminal.simulated.module import constants as c
from engine.terminal.simulated.module.structs import RATES_DTYPE, TICKS_DTYPE
from engine.terminal.simulated.prices.prices import Bar
from engine.terminal.simulated.prices.timeline import Timeline

MAX_BARS: Final = 100_000
_DAY_S: Final = 86_400
# What is looked at beyond the asked length at first; doubled until there are enough bars.
_SLACK_NS: Final = 15 * NS_PER_MINUTE

Rates = npt.NDArray[np.void]
Seconds = npt.NDArray[np.int64]

# Lengths in minutes; W1 and MN1 are calendar units.
MINUTES: Final = {
    **{getattr(c, f"TIMEFRAME_M{n}"): n for n in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)},
    **{getattr(c, f"TIMEFRAME_H{n}"): 60 * n for n in (1, 2, 3, 4, 6, 8, 12)},
    c.TIMEFRAME_D1: 1440,
    c.TIMEFRAME_W1: 7 * 1440,
    c.TIMEFRAME_MN1: 31 * 1440,
}


def bucket_s(timeframe: int, server_s: Seconds) -> Seconds:
    """Return the open of the bar that each server time (seconds) belongs to."""
    if timeframe == c.TIMEFRAME_MN1:
        months = server_s.astype("datetime64[s]").astype("datetime64[M]")
        return months.astype("datetime64[s]").astype(np.int64)
    if timeframe == c.TIMEFRAME_W1:
        # Weeks open on Sunday; 1970-01-04 was one.
        days = (server_s // _DAY_S + 4) // 7 * 7 - 4
        return days * _DAY_S
    length_s = MINUTES[timeframe] * 60
    return server_s // length_s * length_s


class RateHistory:
    """Bars and ticks of a market up to its timeline's now."""

    def __init__(self, market: SimMarket, timeline: Timeline, clock: ServerClock) -> None:
        self._market = market
        self._timeline = timeline
        self._clock = clock

    def last(self, symbol: str, timeframe: int, start: int, count: int) -> Rates:
        """Return `count` bars ending `start` bars before the newest."""
        n = min(start + count, MAX_BARS)
        to_ns = self._timeline.now_ns + 1
        rates = self._newest(symbol, timeframe, to_ns, n)
        return rates[max(0, len(rates) - n) : max(0, len(rates) - start)]

    def until(self, symbol: str, timeframe: int, server_s: int, count: int) -> Rates:
        """Return the last `count` bars that open at or before a server time."""
        n = min(count, MAX_BARS)
        to_ns = self._clock.to_utc_ns(server_s * NS_PER_S) + MINUTES[timeframe] * NS_PER_MINUTE
        rates = self._newest(symbol, timeframe, min(to_ns, self._timeline.now_ns + 1), n + 1)
        return rates[rates["time"] <= server_s][-n:]

    def between(self, symbol: str, timeframe: int, from_s: int, to_s: int) -> Rates:
        """Return the bars that open in [from_s, to_s], server seconds."""
        from_ns = self._clock.to_utc_ns(from_s * NS_PER_S)
        to_ns = self._clock.to_utc_ns(to_s * NS_PER_S) + MINUTES[timeframe] * NS_PER_MINUTE
        rates = self._aggregate(symbol, timeframe, from_ns, to_ns)
        return rates[(rates["time"] >= from_s) & (rates["time"] <= to_s)][-MAX_BARS:]

    def _newest(self, symbol: str, timeframe: int, to_ns: int, n: int) -> Rates:
        """Return at least the last `n` bars that open before `to_ns`, if there are as many."""
        length_ns = MINUTES[timeframe] * NS_PER_MINUTE
        back_ns = n * length_ns + _SLACK_NS
        while True:
            from_ns = max(0, to_ns - back_ns)
            rates = self._aggregate(symbol, timeframe, from_ns, to_ns)
            # The first aggregated bar may be cut off; M1 bars are whole.
            if len(rates) > n - (timeframe == c.TIMEFRAME_M1):
                return rates
            if self._market.source.last_bar(symbol, from_ns) is None:
                return rates
            back_ns *= 2

    def _known(self, symbol: str, from_ns: int, to_ns: int) -> Bars:
        """Return the M1 bars in [from_ns, to_ns) as far as they are known now."""
        now_ns = self._timeline.now_ns
        minute_ns = now_ns - now_ns % NS_PER_MINUTE
        bars = self._market.source.bars(symbol, from_ns, min(to_ns, minute_ns))
        if from_ns <= minute_ns < to_ns and (forming := self._timeline.forming(symbol)):
            known = np.empty(len(bars) + 1, BAR_DTYPE)  # np.append takes ten times as long
            known[:-1], known[-1] = bars, tuple(forming)
            return known
        return bars

    def _aggregate(self, symbol: str, timeframe: int, from_ns: int, to_ns: int) -> Rates:
        bars = self._known(symbol, from_ns, to_ns)
        rates = np.zeros(len(bars), RATES_DTYPE)
        if not len(bars):
            return rates
        server_s = (bars["time_ns"] + self._offsets_ns(bars["time_ns"])) // NS_PER_S
        for name in ("open", "high", "low", "close"):
            rates[name] = bars[name]
        rates["time"] = server_s
        # 0 where it is unknown: 1 would add up, in a higher bar, to how many minutes there were.
        rates["tick_volume"] = np.nan_to_num(bars["volume"])
        rates["spread"] = np.rint(bars["spread"] / self._market.specs[symbol].point)
        if timeframe == c.TIMEFRAME_M1:
            return rates
        return _group(rates, bucket_s(timeframe, rates["time"]))

    def _offsets_ns(self, utc_ns: Seconds) -> Seconds | int:
        first, last = int(utc_ns[0]), int(utc_ns[-1])
        # Clocks change at least months apart.
        if last - first < 7 * NS_PER_DAY:
            offset_ns = self._clock.offset_ns(first)
            if offset_ns == self._clock.offset_ns(last):
                return offset_ns
        return self._clock.offsets_ns(np.ascontiguousarray(utc_ns))

    def ticks(self, symbol: str, from_s: int, to_s: int | None, count: int, flags: int) -> Rates:
        """Return ticks from a server time on: at most `count` (−1 for all) up to `to_s`."""
        source, now_ns = self._market.source, self._timeline.now_ns
        from_ns = self._clock.to_utc_ns(from_s * NS_PER_S)
        end_ns = now_ns + 1
        if to_s is not None:
            end_ns = min(end_ns, self._clock.to_utc_ns(to_s * NS_PER_S) + 1)
        parts: list[Rates] = []
        n = 0
        open_ns = source.next_open_ns(symbol, from_ns - from_ns % NS_PER_MINUTE)
        while open_ns is not None and open_ns < end_ns and n != count:
            bar = source.bar_at(symbol, open_ns)
            assert bar is not None
            part = self._minute_ticks(symbol, bar, from_ns, end_ns)
            parts.append(part[: count - n] if count >= 0 else part)
            n += len(parts[-1])
            open_ns = source.next_open_ns(symbol, open_ns + NS_PER_MINUTE)
        if flags == c.COPY_TICKS_TRADE or not parts:
            return np.zeros(0, TICKS_DTYPE)
        joined: Any = np.concatenate(parts)
        return joined  # type: ignore[no-any-return]

    def _minute_ticks(self, symbol: str, bar: Bar, from_ns: int, end_ns: int) -> Rates:
        times_ns, bids, spreads = self._timeline.ticks(symbol, bar)
        inside = (times_ns >= from_ns) & (times_ns < end_ns)
        server_ms = (times_ns[inside] + self._clock.offset_ns(bar.time_ns)) // NS_PER_MS
        ticks = np.zeros(len(server_ms), TICKS_DTYPE)
        digits = self._market.specs[symbol].digits
        ticks["time_msc"] = server_ms
        ticks["time"] = server_ms // 1000
        ticks["bid"] = bids[inside]
        ticks["ask"] = rounded_prices((bids + spreads)[inside], digits)
        ticks["flags"] = c.TICK_FLAG_BID | c.TICK_FLAG_ASK
        return ticks


def _group(rates: Rates, opens: Seconds) -> Rates:
    """Join consecutive M1 rates of equal `opens` into bars."""
    starts = np.flatnonzero(np.concatenate(([True], np.diff(opens) != 0)))
    ends = np.concatenate((starts[1:], [len(rates)])) - 1
    bars = np.zeros(len(starts), RATES_DTYPE)
    bars["time"] = opens[starts]
    bars["open"] = rates["open"][starts]
    bars["close"] = rates["close"][ends]
    bars["high"] = np.maximum.reduceat(rates["high"], starts)
    bars["low"] = np.minimum.reduceat(rates["low"], starts)
    bars["tick_volume"] = np.add.reduceat(rates["tick_volume"], starts)
    bars["spread"] = np.minimum.reduceat(rates["spread"], starts)
    return bars
