"""How much can still be traded at the quote as it stands; each new tick brings it anew."""

import math

from engine.decision.money import round_lots
from engine.terminal.simulated.broker.market import SimMarket
from engine.terminal.simulated.broker.state import AccountRecord


class Liquidity:
    """Lots offered at the quote, on each side; `lots` None never ends.

    What was taken is kept with the account, so that a restart does not bring it anew.
    Stops, targets and stop-outs are always filled whole: the broker guarantees them.
    """

    def __init__(self, market: SimMarket, account: AccountRecord, lots: float | None) -> None:
        self._market = market
        self._account = account
        self.lots = lots

    def left(self, symbol: str, direction: int) -> float:
        """Return what a deal in `direction` can get now, lots."""
        if self.lots is None:
            return math.inf
        at_ns, taken = self._account.taken.get(f"{symbol}{direction:+d}", (0, 0.0))
        if at_ns != self._market.quotes[symbol].time_ns:
            return self.lots
        return float(round_lots(max(0.0, self.lots - taken)))

    def take(self, symbol: str, direction: int, lots: float) -> None:
        """Note a deal."""
        if self.lots is not None:
            taken = self.lots - self.left(symbol, direction) + lots
            at_ns = self._market.quotes[symbol].time_ns
            self._account.taken[f"{symbol}{direction:+d}"] = at_ns, taken
