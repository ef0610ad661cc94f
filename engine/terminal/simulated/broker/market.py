"""Quotes as they stand, what is dealt at them, and what one currency is worth in another.

A trade server filters its prices: what `engine.decision.plausible` does not believe is shown as a
tick all the same, but nothing is filled, stopped or valued at it. Without the filter everything
that is a price is dealt at.
"""

import math
from collections.abc import Sequence

import msgspec

from engine.decision.money import round_price
from engine.decision.plausible import (
    HISTORY_BARS,
    is_plausible,
    is_price,
    new_beliefs,
    take_close,
    take_price,
)
from engine.model.errors import ConfigError
from engine.model.symbols import SymbolSpec
from engine.model.times import NS_PER_MINUTE
from engine.terminal.simulated.prices.prices import Bar, PriceSource, session_open
from engine.terminal.simulated.prices.ticks import CLOSE_OFFSET_NS


class SimQuote(msgspec.Struct, frozen=True):
    """A symbol's last tick: UTC ns, bid and ask; `spread` in price units."""

    time_ns: int
    bid: float
    ask: float
    spread: float


class SimMarket:
    """Every symbol's last tick, `shown`, and what is dealt at, `quotes`; in the list's order."""

    def __init__(
        self,
        specs: Sequence[SymbolSpec],
        source: PriceSource,
        currency: str,
        *,
        filtered: bool = False,
    ) -> None:
        # Whole numbers in float fields become floats: a kernel compiles once per type.
        self.specs = {s.name: msgspec.convert(msgspec.to_builtins(s), SymbolSpec) for s in specs}
        self.source = source
        self.shown: dict[str, SimQuote] = {}
        self.quotes: dict[str, SimQuote] = {}
        self._filtered = filtered
        self._beliefs = new_beliefs(len(specs))
        self._place = {spec.name: i for i, spec in enumerate(specs)}
        self._usual = [float(max(s.spread_points, 1.0) * s.point) for s in self.specs.values()]
        self._pairs = {spec.profit_currency: self._pair(spec, currency) for spec in specs}

    def _pair(self, spec: SymbolSpec, currency: str) -> tuple[str, bool] | None:
        """Return the symbol that converts a profit, and whether it does so inversely."""
        if spec.profit_currency == currency:
            return None
        for inverse in (False, True):
            wanted = (spec.profit_currency, currency)[:: -1 if inverse else 1]
            for pair in self.specs.values():
                if (pair.base, pair.profit_currency) == wanted:
                    return pair.name, inverse
        raise ConfigError(
            f"{spec.name}: no symbol converts {spec.profit_currency} to {currency}; "
            f"add {spec.profit_currency}{currency} or {currency}{spec.profit_currency}"
        )

    def conversion(self, symbol: str) -> float:
        """Return account currency per unit of `symbol`'s profit currency; NaN without a quote."""
        pair = self._pairs[self.specs[symbol].profit_currency]
        if pair is None:
            return 1.0
        quote = self.quotes.get(pair[0])
        if quote is None:
            return math.nan
        return 1.0 / quote.bid if pair[1] else quote.bid

    def set_quote(self, symbol: str, time_ns: int, bid: float, spread: float) -> bool:
        """Show a tick, and deal at it where it is believed; tell whether it is."""
        quote = self._show(symbol, time_ns, bid, spread)
        if self._filtered:
            at = self._place[symbol]
            usual = self._usual[at]
            believed = take_price(self._beliefs, at, bid, quote.ask, time_ns, time_ns, usual)
        else:
            believed = is_price(bid, quote.ask)
        if believed:
            self.quotes[symbol] = quote
        return bool(believed)

    def _show(self, symbol: str, time_ns: int, bid: float, spread: float) -> SimQuote:
        ask = float(round_price(bid + spread, self.specs[symbol].digits))
        quote = self.shown[symbol] = SimQuote(time_ns, bid, ask, spread)
        return quote

    def fits(self, symbol: str, high_bid: float, low_bid: float, spread: float) -> bool:
        """Tell whether stops and orders may be met on a way from low to high."""
        if not self._filtered:
            return True
        ask = float(round_price(high_bid + spread, self.specs[symbol].digits))
        at = self._place[symbol]
        return bool(is_plausible(self._beliefs, at, low_bid, ask, self._usual[at]))

    def open_bar(self, symbol: str, bar: Bar) -> None:
        """Quote a bar's open, at its open time."""
        self.set_quote(symbol, bar.time_ns, bar.open, bar.spread)

    def close_bar(self, symbol: str, bar: Bar) -> None:
        """Quote a bar's close, a millisecond before its minute ends."""
        time_ns = bar.time_ns + CLOSE_OFFSET_NS
        if not self._filtered:
            self.set_quote(symbol, time_ns, bar.close, bar.spread)
            return
        quote, at = self._show(symbol, time_ns, bar.close, bar.spread), self._place[symbol]
        usual = self._usual[at]
        if take_close(self._beliefs, at, bar.close, quote.ask, bar.time_ns, usual):
            self.quotes[symbol] = quote

    def prime(self, now_ns: int) -> None:
        """Quote every symbol as it stands at `now_ns`: the open of a bar opening then, or the last
        close. What is believed comes of the last bars.
        """
        for symbol in self.specs:
            for bar in self._last_bars(symbol, now_ns):
                self.open_bar(symbol, bar)
                self.close_bar(symbol, bar)
            if bar_now := self.source.bar_at(symbol, now_ns):
                self.open_bar(symbol, bar_now)

    def _last_bars(self, symbol: str, before_ns: int) -> list[Bar]:
        """Return some bars that opened before a time, oldest first."""
        bars: list[Bar] = []
        while len(bars) < HISTORY_BARS and (bar := self.source.last_bar(symbol, before_ns)):
            bars.append(bar)
            before_ns = bar.time_ns
        return bars[::-1]

    def is_fresh(self, symbol: str, now_ns: int) -> bool:
        """Tell whether what is dealt at is the tick of this very moment."""
        return self.quotes[symbol].time_ns == now_ns

    def next_open_ns(self, at_ns: int) -> int | None:
        """Return the first open of any symbol's bar at or after `at_ns`."""
        opens = (self.source.next_open_ns(symbol, at_ns) for symbol in self.specs)
        return min((open_ns for open_ns in opens if open_ns is not None), default=None)

    def closed_until(self, now_ns: int, gap_ns: int) -> int | None:
        """Return the next open if every symbol is in a hole of more than `gap_ns` now."""
        next_ns = self.next_open_ns(now_ns)
        bars = (self.source.last_bar(symbol, now_ns + 1) for symbol in self.specs)
        end_ns = max((bar.time_ns + NS_PER_MINUTE for bar in bars if bar), default=now_ns)
        if next_ns is None or now_ns < end_ns or next_ns - min(end_ns, now_ns) <= gap_ns:
            return None
        return next_ns

    def is_open(self, symbol: str, now_ns: int) -> bool:
        """Tell whether `symbol` trades at `now_ns`."""
        return session_open(self.source, symbol, now_ns)
