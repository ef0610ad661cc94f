"""What the router asks the trader about orders that are under way."""

from typing import TYPE_CHECKING

import msgspec

from engine.decision import read
from engine.decision.entries import entry_levels
from engine.decision.rules import check_state
from engine.model.broker import MarketUpdate
from engine.model.errors import BrokerError
from engine.model.orders import Intent
from engine.model.reasons import Refusal, TradingState
from engine.terminal.retcodes import Verdict
from engine.trading.levels import or_zero

if TYPE_CHECKING:
    from engine.trading.trader import Trader


class TraderPolicy:
    """Answers for one trader, on its thread; see `engine.execution.router.OrderPolicy`."""

    def __init__(self, trader: "Trader") -> None:
        self._trader = trader
        # Why the account may not trade at all, "" where nothing says so.
        self.barred = ""
        # The account's rule that of several positions in a symbol the oldest is closed first.
        self.oldest_first = False

    def allowed(self, intent: Intent) -> bool:
        """Tell whether an entry may still go out: kill, halt and flatten may have come since."""
        trader = self._trader
        if intent.action == "CLOSE":
            return True
        active = read.account(trader.core).trading == TradingState.ACTIVE
        if not active or trader.flattening is not None or self.barred:
            return False
        if trader.positions.unknown_in(intent.symbol):
            return False
        if trader.pauses.reason(intent.symbol, intent.direction):
            return False
        if read.quote(trader.core, trader.symbol_index[intent.symbol]).killed:
            return False
        voters = [trader.member_index[name] for name in intent.shares]
        return bool(voters) and all(read.member(trader.core.outputs, m).enabled for m in voters)

    def again(self, intent: Intent) -> Intent | str:
        """Return an intent at the terminal's price of now, or what forbids it there."""
        trader = self._trader
        trader.count_messages([intent])
        try:
            quote = trader.terminal.quotes([intent.symbol])[0]
        except BrokerError as e:
            return f"no price: {e}"
        update = MarketUpdate(market_ns=trader.now_ns(), batch_ns=0, quotes=[quote])
        trader.take_quotes(update, fresh_from_ns=read.account(trader.core).batch_ns)
        if intent.action == "CLOSE":
            price = quote.closing(intent.direction)
            return msgspec.structs.replace(intent, price=price) if price > 0.0 else intent
        if refusal := check_state(trader.core, intent.slot):
            return Refusal(refusal).name
        price = quote.opening(intent.direction)
        stop, target = map(or_zero, entry_levels(trader.core, intent.slot, price))
        return msgspec.structs.replace(intent, price=price, stop=stop, target=target)

    def refused(self, intent: Intent, verdict: Verdict) -> None:
        """Pause what the broker closed; bar everything where it is the account that may not."""
        trader = self._trader
        if verdict.name == "TRADE_DISABLED" and not self._account_trades():
            self.barred = "TRADE_DISABLED: the account may not trade"
            return
        if verdict.name == "FIFO_CLOSE":
            self.oldest_first = True
            text = f"{intent.symbol}: this account closes the oldest position first"
            trader.events.add("error", intent.book, text)
        trader.pauses.take(intent, verdict)
        if verdict.name == "NO_MONEY":
            text = f"{intent.symbol} {intent.lots:g} lots: the broker says there is no money for it"
            trader.events.add("critical", intent.book, text)

    def wait(self, seconds: float) -> None:
        """Wait for the broker, no longer than something urgent lets it."""
        self._trader.urgent.wait(seconds)

    def _account_trades(self) -> bool:
        try:
            return self._trader.terminal.account().trade_allowed
        except BrokerError:  # then nothing is known of the account
            return True
