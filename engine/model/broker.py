"""The terminal's answers as plain records: UTC nanoseconds, snake_case, picklable.

`engine.terminal.gateway` makes them from MetaTrader structs; nothing else sees those structs.
"""

import msgspec


class AccountState(msgspec.Struct, frozen=True, kw_only=True):
    """`account_info()`: money in account currency.

    `hedging` from the margin mode, `real_money` from the trade mode. `stop_out_frac` is the margin
    level below which the broker closes, None where it goes by an amount of money.
    """

    login: int
    server: str
    currency: str
    currency_digits: int
    leverage: int
    hedging: bool
    real_money: bool
    trade_allowed: bool
    balance_ccy: float
    equity_ccy: float
    profit_ccy: float
    margin_ccy: float
    margin_free_ccy: float
    stop_out_frac: float | None = None


class Quote(msgspec.Struct, frozen=True, array_like=True):
    """A symbol's last tick; `time_ns` is the tick's own time, UTC."""

    symbol: str
    time_ns: int
    bid: float
    ask: float

    def closing(self, direction: int) -> float:
        """Return the side on which a position closes: long on bid, short on ask."""
        return self.bid if direction > 0 else self.ask

    def opening(self, direction: int) -> float:
        """Return the side on which a position opens."""
        return self.closing(-direction)


class BrokerPosition(msgspec.Struct, frozen=True, kw_only=True):
    """One open position. `direction` +1 or -1; stop and target 0.0 for none."""

    ticket: int
    identifier: int
    symbol: str
    magic: int
    direction: int
    lots: float
    entry_price: float
    price: float
    stop: float
    target: float
    profit_ccy: float
    swap_ccy: float
    opened_ns: int
    comment: str


class BrokerOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A working or historical order, as far as reconciliation needs it."""

    ticket: int
    symbol: str
    magic: int
    type: int
    state: int
    lots_initial: float
    lots_current: float
    position_id: int
    setup_ns: int
    done_ns: int
    comment: str


DEAL_TYPE_BALANCE = 2
"""A deposit, or a withdrawal if negative."""


class BrokerDeal(msgspec.Struct, frozen=True, kw_only=True):
    """A deal. `entry`: 0 in, 1 out, 2 in/out, 3 out by; `reason` as DEAL_REASON_*.

    `direction` is the deal's own: +1 bought, -1 sold, 0 for balance operations; `type` as
    DEAL_TYPE_*.
    """

    ticket: int
    order: int
    position_id: int
    symbol: str
    magic: int
    direction: int
    entry: int
    reason: int
    lots: float
    price: float
    profit_ccy: float
    commission_ccy: float
    swap_ccy: float
    time_ns: int
    comment: str
    type: int = 0


class OrderRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A market deal to send. `position` 0 opens; otherwise it closes that ticket.

    Stop and target: 0.0 for none. `price` is the quote it was decided on; after `valid_until_ns`
    (0 for ever) the terminal's host refuses to send it. `filling`: how many of the symbol's
    filling modes to pass over, best first.
    """

    symbol: str
    direction: int
    lots: float
    price: float
    magic: int
    comment: str
    stop: float = 0.0
    target: float = 0.0
    position: int = 0
    deviation_points: int = 20
    valid_until_ns: int = 0
    filling: int = 0


class OrderResult(msgspec.Struct, frozen=True, kw_only=True):
    """`order_send`'s answer. `retcode` 0: the module returned None with `error`."""

    retcode: int
    order: int = 0
    deal: int = 0
    lots: float = 0.0
    price: float = 0.0
    comment: str = ""
    error: int = 1
    error_text: str = ""


class MarketUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """What the terminal host saw since the last one.

    `batch_ns` is T when all bars that close at T are in, else 0. `bars` holds, per symbol, the
    closed M1 bars not sent before, as BAR_DTYPE bytes. `quotes` holds changed quotes, at a batch
    every watched symbol's. `doubt`: why the host sends no entry although it is connected, or "".
    """

    market_ns: int
    batch_ns: int
    quotes: list[Quote]
    bars: dict[str, bytes] = {}
    connected: bool = True
    doubt: str = ""
