"""How much can still be traded at the quote as it stands; each new tick brings it anew."""

import math

from engine.terminal.simulated.market import Market, Quote


class Liquidity:
    """Lots offered at the quote, on each side; `lots` None never ends.

    Stops, targets and stop-outs are always filled whole: the broker guarantees them.
    """

    def __init__(self, market: Market, lots: float | None) -> None:
        self._market = market
        self.lots = lots
        self._taken: dict[tuple[str, int], tuple[Quote, float]] = {}

    def left(self, symbol: str, direction: int) -> float:
        """Return what a deal in `direction` can get now, lots."""
        if self.lots is None:
            return math.inf
        quote, taken = self._taken.get((symbol, direction), (None, 0.0))
        if quote is not self._market.quotes[symbol]:
            return self.lots
        return round(max(0.0, self.lots - taken), 8)

    def take(self, symbol: str, direction: int, lots: float) -> None:
        """Note a deal."""
        if self.lots is not None:
            taken = self.lots - self.left(symbol, direction) + lots
            self._taken[symbol, direction] = self._market.quotes[symbol], taken
