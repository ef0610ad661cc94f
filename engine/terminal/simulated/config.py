"""What a simulated terminal is made from; JSON-serialisable, so that a parent can hand it over."""

from typing import Literal

import msgspec

from engine.model.symbols import SymbolSpec


class AccountConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The account a new ledger opens with; an existing ledger's balance wins.

    `any_login`: whoever logs in owns it. `exchange`: a netting account in exchange margin mode.
    `fifo`: positions of a symbol close oldest first. `hedge_allowed` False: no position against
    another. `limit_orders`: working orders at most, `limit_positions`: open positions; 0 for any
    number.
    """

    login: int = 1_000_001
    any_login: bool = False
    balance_ccy: float = 100_000.0
    currency: str = "USD"
    leverage: int = 100
    hedging: bool = True
    exchange: bool = False
    fifo: bool = False
    hedge_allowed: bool = True
    limit_orders: int = 200
    limit_positions: int = 0
    server: str = "Simulated-Demo"
    password: str | None = None


class ReplayPrices(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag="replay",
    tag_field="kind",
):
    """Recorded bars: for each symbol the path of a `.npy` file of BAR_DTYPE."""

    files: dict[str, str]


class GeneratedPrices(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag="generated",
    tag_field="kind",
):
    """Prices made from a seed."""

    seed: int


class SimulatedConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A simulated terminal. `start_ns` is where a new ledger's clock begins, a whole minute.

    `speed` None: time is stepped by `advance`; otherwise simulated seconds per second.
    `ledger_path` None: nothing is kept. `execution`: "market" fills at the quote whatever the
    request's price; "instant" and "request" requote when it lies further than `deviation` from
    it; "exchange" fills at the quote and takes limit orders that cross it. `filling_mode`: bitmask,
    FOK 1, IOC 2, BOC 4. `liquidity_lots`: offered on each side of a tick; None never ends.
    `volume_limit_lots`: held and waiting in one direction of a symbol at most; 0.0 for any.
    `hours`: trading hours of all symbols, such as "mon 01:00-23:55", and `holidays`, such as
    "2018-12-25", on the server's clock; none: open whenever there are prices.
    `orders`: "daily" ends the working orders without a term of their own, and takes all stops and
    targets away, when the server's day changes; "daily_no_stops" leaves stops and targets.
    `filtered`: the server deals at no price that `engine.decision.plausible` does not believe.
    `margin_call_frac`, `margin_so_frac`: margin levels of call and stop-out. `margin_so_ccy`: the
    free margin below which positions are stopped out instead, and `margin_call_ccy` its call.
    `faults`: what goes wrong, as `fault_text` reads it.
    """

    specs: list[SymbolSpec]
    source: ReplayPrices | GeneratedPrices
    start_ns: int
    account: AccountConfig = AccountConfig()
    server_clock: str = "new_york+7"
    ledger_path: str | None = None
    speed: float | None = None
    execution: Literal["market", "instant", "request", "exchange"] = "market"
    filling_mode: int = 3
    liquidity_lots: float | None = None
    freeze_level_points: float = 0.0
    volume_limit_lots: float = 0.0
    orders: Literal["gtc", "daily", "daily_no_stops"] = "gtc"
    hours: list[str] = []
    holidays: list[str] = []
    filtered: bool = False
    margin_call_frac: float = 1.0
    margin_so_frac: float = 0.5
    margin_so_ccy: float | None = None
    margin_call_ccy: float = 0.0
    faults: str = ""
