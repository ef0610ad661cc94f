"""The broker's own records, as the ledger keeps them. Prices and money as the module shows them.

Times are milliseconds of the server's wall clock, encoded as an epoch. Fields of orders and
deals have the module's names.
"""

import msgspec


class Position(msgspec.Struct, kw_only=True):
    """An open position. `direction` +1 or -1; `sl`, `tp` 0.0 for none; `swap_ccy` unrounded."""

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


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A filled market order."""

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


class AccountRecord(msgspec.Struct, kw_only=True):
    """The account and the broker's counters. `clock_ns`: UTC up to which all is processed.

    `swap_day`: the server day up to which swaps are charged; -1 before the first.
    """

    login: int
    currency: str
    hedging: bool
    balance_ccy: float
    clock_ns: int
    next_order: int = 5_000_001
    next_deal: int = 9_000_001
    swap_day: int = -1
