"""Prices that are not believed: said at once, counted while they go on, weighed by the terminal.

The core decides what is believed (`engine.decision.plausible`); this says it, and asks the terminal
where no second price comes: what its own equity has is true for the account.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from engine.decision import read
from engine.decision.account import open_ccy_with
from engine.decision.plausible import FLOOR_FRAC, believe, is_price, note_doubt, only_bars
from engine.decision.state import Core
from engine.execution.terminal import Terminal
from engine.model.bars import Bars
from engine.model.broker import BrokerPosition, Quote
from engine.model.errors import BrokerError
from engine.model.symbols import price_text
from engine.model.times import NS_PER_MINUTE, NS_PER_S, to_datetime
from engine.trading.events import EventLog
from engine.trading.recorder import Recorder

# A symbol's further prices within this time are counted, not said one by one.
FOLD_NS = NS_PER_MINUTE
# The terminal's equity is asked once a price has stood for so long: mostly a tick came by then.
STOOD_NS = NS_PER_S
# It agrees with a price where it is so much nearer to what the account is worth at it.
_AGREES_FRAC = 0.25


class Doubts:
    """What one trader's core does not believe.

    `open` are the symbols whose newest price is in doubt, each with the last good bid before it.
    """

    def __init__(
        self,
        terminal: Terminal,
        events: EventLog,
        recorder: Recorder,
        now_ns: Callable[[], int],
    ) -> None:
        self._terminal = terminal
        self._events = events
        self._recorder = recorder
        self._now_ns = now_ns
        self.open: dict[str, float] = {}
        # By symbol: when a price was said last, and how many there were since.
        self._said: dict[str, tuple[int, int]] = {}
        self._newest_ns: dict[str, int] = {}
        self._ask_ns = 0

    def real_bars(
        self, core: Core, symbols: Mapping[str, int], closed: Mapping[str, Bars]
    ) -> dict[str, Bars]:
        """Return closed bars without those that are no prices: as if they were not there."""
        out = {}
        for name, bars in closed.items():
            kept = only_bars(bars)
            if len(kept) < len(bars) and name in symbols:
                for bar in bars[~np.isin(bars["time_ns"], kept["time_ns"])].tolist():
                    note_doubt(core.quotes, symbols[name], bar[0], bar[0] + NS_PER_MINUTE - 1)
                    self._say("critical", name, f"{_bar_text(bar)} is no price: left out")
            if len(kept):
                out[name] = kept
        return out

    def bar(self, symbol: str, bar: Sequence[Any]) -> None:
        """Say that a closed bar, as BAR_DTYPE has it, is not believed."""
        self._say("critical", symbol, f"{_bar_text(bar)} is implausible: no mark, no stop is met")

    def quote(self, core: Core, index: int, quote: Quote) -> None:
        """Say that a quote is not believed; one and the same only once."""
        if quote.time_ns <= self._newest_ns.get(quote.symbol, 0):
            return
        self._newest_ns[quote.symbol] = quote.time_ns
        good = read.quote(core, index)
        text = f"{price_text(quote.bid)}/{price_text(quote.ask)}"
        after = f"after {price_text(good.bid)}/{price_text(good.ask)}"
        if is_price(quote.bid, quote.ask):
            self.open.setdefault(quote.symbol, good.bid)
            text = f"implausible price {text} {after}: not believed until a second one agrees"
        elif is_price(quote.ask, quote.bid):
            self._say("warning", quote.symbol, f"crossed quote {text}: left out")
            return
        else:
            text = f"{text} is no price, {after}: left out"
        self._say("critical", quote.symbol, text)

    def believed(self, quote: Quote) -> None:
        """Say that a price after doubts is believed, where it is another than the last good one."""
        jump_frac = quote.bid / self.open.pop(quote.symbol) - 1.0
        if abs(jump_frac) > FLOOR_FRAC:
            self._confirmed(quote.symbol, f"a second price agrees with {price_text(quote.bid)}")

    def weigh(self, core: Core, symbols: Sequence[str], external: Sequence[BrokerPosition]) -> bool:
        """Believe prices that stand alone where the terminal's own equity has them too."""
        alone = read.doubtful_symbols(core)
        now_ns = self._now_ns()
        if not len(alone) or now_ns < self._ask_ns:
            return False
        if now_ns - read.suspect_ns(core, alone) < STOOD_NS:
            return False
        at_last_ccy = open_ccy_with(core, alone[:0])
        at_these_ccy = open_ccy_with(core, alone)
        apart_ccy = abs(at_these_ccy - at_last_ccy)
        if not 0.0 < apart_ccy < math.inf:  # nothing is held that is worth another amount then
            return False
        self._ask_ns = now_ns + STOOD_NS
        try:
            account = self._terminal.account()
        except BrokerError:  # whoever else asks says so
            return False
        theirs_ccy = sum(p.profit_ccy + p.swap_ccy for p in external)
        there_ccy = account.equity_ccy - account.balance_ccy - theirs_ccy
        if not abs(there_ccy - at_these_ccy) <= _AGREES_FRAC * apart_ccy:
            return False
        for index in alone.tolist():
            believe(core.quotes, index)
            self.open.pop(symbols[index], None)
            text = f"the terminal's own equity of {account.equity_ccy:,.2f} agrees"
            self._confirmed(symbols[index], text)
        return True

    def _confirmed(self, symbol: str, text: str) -> None:
        self._events.add("critical", symbol, f"the price is believed: {text}")
        self._recorder.audit("MARKET", {"symbol": symbol, "believed": text})

    def _say(self, level: str, symbol: str, text: str) -> None:
        now_ns = self._now_ns()
        said_ns, n_more = self._said.get(symbol, (-FOLD_NS, 0))
        if now_ns - said_ns < FOLD_NS:
            self._said[symbol] = said_ns, n_more + 1
            return
        self._said[symbol] = now_ns, 0
        text += f" (and {n_more} more before)" if n_more else ""
        self._events.add(level, symbol, text)
        self._recorder.audit("MARKET", {"symbol": symbol, "doubt": text}, status="FAILED")


def _bar_text(bar: Sequence[Any]) -> str:
    opened_ns, *prices = bar[:5]
    in_words = " ".join(price_text(float(price)) for price in prices)
    return f"bar of {to_datetime(int(opened_ns)):%H:%M} UTC ({in_words})"
