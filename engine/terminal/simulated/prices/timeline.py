"""How simulated time moves: stepped by its driver, or running in real time.

Both process a minute in the order of docs/SEMANTICS.md §1: day roll and swaps at the last quotes,
opens, stops and targets, working orders, closes. Symbols go in the order of the specification
list, positions and orders in ticket order. What an order opens inside a stepped minute meets its
own stop and target at the minute's close: the way there is not known.
"""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from engine.model.times import NS_PER_HOUR, NS_PER_MINUTE
from engine.terminal.simulated.broker.broker import Broker
from engine.terminal.simulated.broker.market import SimMarket
from engine.terminal.simulated.broker.pending import Pending
from engine.terminal.simulated.prices.clock import SimClock
from engine.terminal.simulated.prices.prices import Bar
from engine.terminal.simulated.prices.recorded_ticks import Ticks
from engine.terminal.simulated.prices.ticks import CLOSE_OFFSET_NS, bar_ticks

# Real time skips closed markets longer than this, so that a demo never stands still.
SKIPPED_GAP_NS = 2 * NS_PER_HOUR


class Timeline(Protocol):
    """Simulated time as the terminal's functions see it. `now_ns`: UTC processed so far."""

    now_ns: int

    def catch_up(self) -> None:
        """Process everything up to the clock."""

    def forming(self, symbol: str) -> Bar | None:
        """Return the bar of the current minute as far as it is known."""

    def ticks(self, symbol: str, bar: Bar) -> Ticks:
        """Return the ticks that a past minute showed."""


class SteppedTime:
    """Time that stands still until `advance`; whole minutes only."""

    def __init__(self, market: SimMarket, broker: Broker, pending: Pending) -> None:
        self._market = market
        self._broker = broker
        self._pending = pending
        self.now_ns = broker.account.clock_ns
        self._saved_ns = self.now_ns
        market.prime(self.now_ns)
        broker.roll_day(self.now_ns)

    def advance(self, to_ns: int) -> None:
        """Process all bars that open before `to_ns`, then quote the opens at `to_ns`."""
        if to_ns < self.now_ns or to_ns % NS_PER_MINUTE:
            raise ValueError(
                f"advance to {to_ns}: not a whole minute at or after {self.now_ns} (UTC ns)"
            )
        open_ns = self._market.next_open_ns(self.now_ns)
        while open_ns is not None and open_ns < to_ns:
            self._open(open_ns)
            self._finish_minute(open_ns)
            open_ns = self._market.next_open_ns(open_ns + NS_PER_MINUTE)
        self._open(to_ns)
        # Bars can be processed again after a kill with the same outcome, so this may be rare.
        if to_ns - self._saved_ns >= NS_PER_HOUR:
            self._saved_ns = to_ns
            self._broker.save_clock(to_ns)

    def _open(self, open_ns: int) -> None:
        if open_ns == self.now_ns:
            return
        self.now_ns = self._broker.account.clock_ns = open_ns
        self._broker.roll_day(open_ns)
        if self._broker.working:
            self._pending.expire(open_ns)
        for symbol in self._market.specs:
            if bar := self._market.source.bar_at(symbol, open_ns):
                self._market.open_bar(symbol, bar)
        # As in a backtest: who has no quote of this minute cannot be closed in it.
        self._broker.stop_out(open_ns, self._market.is_fresh)

    def _finish_minute(self, open_ns: int) -> None:
        source = self._market.source
        bars = [(name, source.bar_at(name, open_ns)) for name in self._market.specs]
        if self._broker.positions:
            for symbol, bar in bars:
                if bar and self._market.fits(symbol, bar.high, bar.low, bar.spread):
                    prices = bar.open, bar.high, bar.low
                    self._broker.match(symbol, open_ns, prices, bar.spread)
        if self._broker.working or self._late(open_ns):
            for symbol, bar in bars:
                if bar and self._market.fits(symbol, bar.high, bar.low, bar.spread):
                    self._match_orders(symbol, bar)
        for symbol, bar in bars:
            if bar:
                self._market.close_bar(symbol, bar)

    def _match_orders(self, symbol: str, bar: Bar) -> None:
        prices = bar.open, bar.high, bar.low
        next_ns = bar.time_ns + NS_PER_MINUTE
        self._pending.match(symbol, bar.time_ns, next_ns, prices, bar.spread)
        close = bar.close, bar.close, bar.close
        self._broker.match(symbol, bar.time_ns, close, bar.spread, late=True)

    def _late(self, open_ns: int) -> bool:
        """Tell whether an order filled in this minute already, before a restart."""
        return any(p.since_ns > open_ns for p in self._broker.positions.values())

    def catch_up(self) -> None:
        """Do nothing: time moves by `advance` only."""

    def forming(self, symbol: str) -> Bar | None:
        """Return the bar opening now, of which only the open is known."""
        bar = self._market.source.bar_at(symbol, self.now_ns)
        return bar and bar._replace(high=bar.open, low=bar.open, close=bar.open, volume=1.0)

    def ticks(self, symbol: str, bar: Bar) -> Ticks:  # noqa: ARG002
        """Return the two ticks of a stepped minute: open and close."""
        times = np.array([bar.time_ns, bar.time_ns + CLOSE_OFFSET_NS])
        return times, np.array([bar.open, bar.close]), np.full(2, bar.spread)


class RealTime:
    """Time that follows a clock; each call first processes what has passed, tick by tick."""

    def __init__(
        self, market: SimMarket, broker: Broker, pending: Pending, clock: SimClock
    ) -> None:
        self._market = market
        self._broker = broker
        self._pending = pending
        self.clock = clock
        self.now_ns = broker.account.clock_ns
        self._cached: dict[str, tuple[int, Ticks]] = {}
        market.prime(self.now_ns - self.now_ns % NS_PER_MINUTE)
        broker.roll_day(self.now_ns)
        self._process(self.now_ns - self.now_ns % NS_PER_MINUTE - 1, self.now_ns, match=False)

    def catch_up(self) -> None:
        """Process every tick up to the clock; closed markets are jumped over."""
        target_ns = max(self.clock.now_ns(), self.now_ns)
        minute_before = self.now_ns // NS_PER_MINUTE
        while self.now_ns < target_ns:
            next_ns = self._market.next_open_ns(self.now_ns // NS_PER_MINUTE * NS_PER_MINUTE)
            if next_ns is None:
                self.clock.jump(self.now_ns)  # the data has ended
                break
            closed = next_ns > self.now_ns
            if closed and self._market.closed_until(self.now_ns, SKIPPED_GAP_NS):
                target_ns = next_ns
                self.clock.jump(target_ns)
            minute_end_ns = (self.now_ns // NS_PER_MINUTE + 1) * NS_PER_MINUTE
            # A minute without bars is passed up to the next open.
            end_ns = min(target_ns, max(minute_end_ns, next_ns))
            if end_ns // NS_PER_MINUTE > self.now_ns // NS_PER_MINUTE:
                self._process(self.now_ns, end_ns - 1, match=True)
                self._broker.roll_day(end_ns)
                self._process(end_ns - 1, end_ns, match=True)
            else:
                self._process(self.now_ns, end_ns, match=True)
            if self._broker.working:
                self._pending.expire(end_ns)
            self._broker.stop_out(end_ns, self._market.is_open)
            self.now_ns = self._broker.account.clock_ns = end_ns
        if self.now_ns // NS_PER_MINUTE > minute_before:
            self._broker.save_clock(self.now_ns)

    def _process(self, after_ns: int, to_ns: int, *, match: bool) -> None:
        """Show the ticks of one minute in (after_ns, to_ns]."""
        open_ns = to_ns - to_ns % NS_PER_MINUTE
        watched = self._broker.in_use() if match else set()
        for symbol in self._market.specs:
            bar = self._market.source.bar_at(symbol, open_ns)
            if bar is None:
                continue
            times, bids, spreads = self._minute_ticks(symbol, bar)
            first, last = times.searchsorted((after_ns, to_ns), side="right")
            if symbol in watched:
                for i in range(first, last):
                    self._match_tick(symbol, int(times[i]), bids, float(spreads[i]), i)
            if last > first:
                self._market.set_quote(
                    symbol,
                    int(times[last - 1]),
                    float(bids[last - 1]),
                    float(spreads[last - 1]),
                )

    def _match_tick(
        self, symbol: str, time_ns: int, bids: npt.NDArray[np.float64], spread: float, i: int
    ) -> None:
        """Match the way from the tick before: only a minute's first tick can gap.

        A tick that nothing is dealt at is no part of the way.
        """
        bid = float(bids[i])
        before = self._market.quotes[symbol].bid if i and symbol in self._market.quotes else bid
        if not self._market.set_quote(symbol, time_ns, bid, spread):
            return
        prices = before, max(before, bid), min(before, bid)
        self._broker.match(symbol, time_ns, prices, spread)
        if self._broker.working:
            self._pending.expire(time_ns)
            self._pending.match(symbol, time_ns, time_ns + 1, prices, spread)

    def _minute_ticks(self, symbol: str, bar: Bar) -> Ticks:
        cached = self._cached.get(symbol)
        if cached is None or cached[0] != bar.time_ns:
            cached = bar.time_ns, self.ticks(symbol, bar)
            self._cached[symbol] = cached
        return cached[1]

    def forming(self, symbol: str) -> Bar | None:
        """Return the current minute's bar as its ticks so far make it."""
        open_ns = self.now_ns - self.now_ns % NS_PER_MINUTE
        bar = self._market.source.bar_at(symbol, open_ns)
        if bar is None:
            return None
        times, bids, _ = self._minute_ticks(symbol, bar)
        seen = bids[: times.searchsorted(self.now_ns, side="right")]
        if not len(seen):
            return None  # recorded ticks seldom begin with the minute
        return bar._replace(
            high=float(seen.max()),
            low=float(seen.min()),
            close=float(seen[-1]),
            volume=float(len(seen)),
        )

    def ticks(self, symbol: str, bar: Bar) -> Ticks:
        """Return the ticks of a minute: recorded, else made from its bar."""
        recorded = self._market.source.recorded_ticks(symbol, bar.time_ns)
        if recorded is not None:
            return recorded
        times, bids = bar_ticks(symbol, bar, self._market.specs[symbol].digits)
        return times, bids, np.full(len(bids), bar.spread)
