"""The account's balance, explained by its deals; deposits and withdrawals are told apart.

Whoever traded: a balance moves by what the deals since say, to the cent. What moves it otherwise is
a doubt. Cash that was paid in or out is nobody's result: it is ours to size with, and moves every
mark of the equity in proportion, so that no drawdown and no day's loss comes of it.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from engine.decision import read
from engine.decision.account import move_cash, take_external_ccy, take_external_lots
from engine.decision.money import round_ccy
from engine.decision.state import Core
from engine.execution.terminal import Terminal
from engine.model.broker import DEAL_TYPE_BALANCE, BrokerPosition
from engine.model.times import NS_PER_DAY, NS_PER_HOUR
from engine.trading.events import EventLog
from engine.trading.recorder import Recorder

_CENT_CCY = 0.005
# Balance and deals are read one after the other, and deals may lag; longer is a doubt.
UNEXPLAINED_S = 5.0
# At a first start: how far back the newest deal is looked for.
_FIRST_LOOK_NS = 7 * NS_PER_DAY
# Deals are asked for by time and told apart by number; the broker's clock may repeat an hour.
_MARGIN_NS = 2 * NS_PER_HOUR


class ExplainedBalance(msgspec.Struct, frozen=True, kw_only=True):
    """The balance up to and with the deal of this number and time."""

    balance_ccy: float
    deal: int
    time_ns: int


class Balance:
    """What is known of the account's balance; `explained` is saved with the engine's state."""

    def __init__(
        self,
        terminal: Terminal,
        *,
        recorder: Recorder,
        events: EventLog,
        now_ns: Callable[[], int],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.explained: ExplainedBalance | None = None
        self.on_doubt: Callable[[str], object] = lambda reason: None
        self.on_cash: Callable[[float], None] = lambda cash_ccy: None
        self._terminal = terminal
        self._recorder = recorder
        self._events = events
        self._now_ns = now_ns
        self._monotonic_s = monotonic_s
        self._since_s = math.nan

    def look(self, core: Core, there_ccy: float) -> None:
        """Explain the terminal's balance of now; take cash that moved into the core.

        Raises:
            BrokerError: the deals could not be read; nothing was concluded.
        """
        known = self.explained
        if known is not None and abs(there_ccy - known.balance_ccy) < _CENT_CCY:
            self._since_s = math.nan
            return
        from_ns = self._now_ns() - _FIRST_LOOK_NS if known is None else known.time_ns - _MARGIN_NS
        newest, time_ns = (0, self._now_ns()) if known is None else (known.deal, known.time_ns)
        deals = [d for d in self._terminal.deals(from_ns) if d.ticket > newest]
        if deals:
            last = max(deals, key=lambda d: d.ticket)
            newest, time_ns = last.ticket, last.time_ns
        now = ExplainedBalance(balance_ccy=there_ccy, deal=newest, time_ns=time_ns)
        if known is None:
            self.explained = now
            return
        moved_ccy = sum(d.profit_ccy + d.commission_ccy + d.swap_ccy for d in deals)
        if not abs(known.balance_ccy + moved_ccy - there_ccy) < _CENT_CCY:
            self._doubt(now, there_ccy - known.balance_ccy, moved_ccy)
            return
        self.explained, self._since_s = now, math.nan
        for deal in deals:
            if deal.type == DEAL_TYPE_BALANCE:
                self._pay(core, deal.profit_ccy, deal.comment)

    def _pay(self, core: Core, cash_ccy: float, comment: str) -> None:
        move_cash(core, cash_ccy)
        self.on_cash(cash_ccy)
        word = "deposit" if cash_ccy > 0.0 else "withdrawal"
        text = f"{word} of {abs(cash_ccy):,.2f} {comment}".strip()
        self._events.add("warning", "account", text)
        self._recorder.audit("ACCOUNT", {word: abs(cash_ccy), "comment": comment})

    def _doubt(self, now: ExplainedBalance, changed_ccy: float, moved_ccy: float) -> None:
        now_s = self._monotonic_s()
        if math.isnan(self._since_s):
            self._since_s = now_s
        if now_s - self._since_s < UNEXPLAINED_S:
            return
        text = f"the balance moved by {changed_ccy:+z,.2f}, its deals say {moved_ccy:+z,.2f}"
        self._events.add("critical", "account", f"{text}; no new entries")
        self._recorder.audit("ACCOUNT", {"unexplained": text}, status="FAILED")
        self.on_doubt(text)
        self.explained, self._since_s = now, math.nan  # said once


class Others:
    """Keeps the difference between the terminal's balance and ours."""

    def __init__(self, terminal: Terminal, balance: Balance) -> None:
        self._terminal = terminal
        self._balance = balance
        self._balance_ccy: float | None = None
        self._held: dict[int, float] = {}

    def count(
        self,
        core: Core,
        symbols: Mapping[str, int],
        held: Sequence[BrokerPosition],
        *,
        settled: bool,
        look: bool = False,
    ) -> None:
        """Take what others hold into the core.

        The balance is asked for when they hold something else than before, or at a `look`; unless
        it is `settled`, deals of our own may still be missing in ours, and it waits.

        Raises:
            BrokerError: the terminal could not be read.
        """
        lots = (
            (symbols[position.symbol], position.direction * position.lots)
            for position in held
            if position.symbol in symbols
        )
        take_external_lots(core, lots)
        now = {position.identifier: position.lots for position in held}
        if settled and (look or now != self._held):
            there_ccy = self._terminal.account().balance_ccy
            self._balance.look(core, there_ccy)
            theirs_ccy = there_ccy - read.account(core).balance_ccy
            self._balance_ccy = float(round_ccy(theirs_ccy, read.currency_digits(core)))
            self._held = now
        if self._balance_ccy is None:  # what was saved stands
            return
        open_ccy = sum(position.profit_ccy + position.swap_ccy for position in held)
        take_external_ccy(core, self._balance_ccy + open_ccy)
