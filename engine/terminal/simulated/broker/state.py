"""The broker's own records, as the ledger keeps them. Prices and money as the module shows them.

Times are milliseconds of the server's wall clock, encoded as an epoch. Fields of orders and
deals have the module's names.
"""

from typing import Final

import msgspec

from engine.terminal.simulated.module import constants as c

WORKING: Final = (c.ORDER_STATE_STARTED, c.ORDER_STATE_PLACED, c.ORDER_STATE_PARTIAL)
BUYS: Final = (
    c.ORDER_TYPE_BUY,
    c.ORDER_TYPE_BUY_LIMIT,
    c.ORDER_TYPE_BUY_STOP,
    c.ORDER_TYPE_BUY_STOP_LIMIT,
)


class SimPosition(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An open position. `direction` +1 or -1; `sl`, `tp` 0.0 for none; `swap_ccy` unrounded.

    `since_ns`: prices from this moment on (UTC) meet its stop and target; earlier ones came before
    a working order made it what it is.
    """

    ticket: int
    identifier: int
    symbol: str
    direction: int
    lots: float
    price_open: float
    sl: float
    tp: float
    magic: int
    comment: str
    time_msc: int
    time_update_msc: int
    swap_ccy: float = 0.0
    since_ns: int = 0


class SimOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An order, working or history.

    `price` is what it asks for, of a market order what it got; `lots_left` is not filled.
    `expiration_s` is on the server's clock; `done_msc` 0 while it works; `since_ns` as
    a position's.
    """

    ticket: int
    symbol: str
    type: int
    lots: float
    price: float
    sl: float
    tp: float
    magic: int
    comment: str
    reason: int
    type_filling: int
    position_id: int
    time_msc: int
    position_by: int = 0
    price_stoplimit: float = 0.0
    type_time: int = c.ORDER_TIME_GTC
    expiration_s: int = 0
    lots_left: float = 0.0
    state: int = c.ORDER_STATE_FILLED
    done_msc: int = 0
    since_ns: int = 0

    @property
    def direction(self) -> int:
        """Return +1 for an order that buys, -1 for one that sells."""
        return 1 if self.type in BUYS else -1

    @property
    def is_working(self) -> bool:
        """Tell whether the order can still be filled."""
        return self.state in WORKING and not self.done_msc

    @property
    def closed_msc(self) -> int:
        """Return when the order left the book."""
        return self.done_msc or self.time_msc


class Deal(msgspec.Struct, frozen=True, kw_only=True):
    """A deal; `entry` and `reason` as DEAL_ENTRY_* and DEAL_REASON_*; money is rounded."""

    ticket: int
    order: int
    time_msc: int
    type: int
    entry: int
    magic: int
    position_id: int
    reason: int
    volume: float
    price: float
    commission: float
    swap: float
    profit: float
    symbol: str
    comment: str

    @property
    def closed_msc(self) -> int:
        """Return when it was done."""
        return self.time_msc


class AccountRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The account and the broker's counters. `clock_ns`: UTC up to which all is processed.

    `swap_day`: the server day up to which swaps are charged; -1 before the first. `taken`: lots
    already dealt, by symbol and side, at a quote's time (UTC ns).
    """

    login: int
    currency: str
    hedging: bool
    balance_ccy: float
    clock_ns: int
    next_order: int = 5_000_001
    next_deal: int = 9_000_001
    swap_day: int = -1
    taken: dict[str, tuple[int, float]] = {}
