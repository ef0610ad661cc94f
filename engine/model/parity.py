"""How alike live and a backtest of the same hours were.

Times are int64 ns UTC, money is the account's, net of costs.
"""

import msgspec


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Where live and the backtest were not alike; `explained` tells whether `why` is a reason."""

    time_ns: int
    symbol: str
    what: str
    why: str
    explained: bool


class ParityScore(msgspec.Struct, frozen=True, kw_only=True):
    """How alike a strategy's trades were: `n_alike` of `n_trades` were opened and closed alike.

    Where it had no trade, `n_trades` is 0. `live_ccy`, `tested_ccy`: its part of what was closed.
    """

    strategy: str
    from_ns: int
    to_ns: int
    n_trades: int
    n_alike: int
    live_ccy: float
    tested_ccy: float
    gaps: tuple[Gap, ...] = ()

    @property
    def score(self) -> float:
        """The part that was alike, NaN without a trade."""
        return self.n_alike / self.n_trades if self.n_trades else float("nan")
