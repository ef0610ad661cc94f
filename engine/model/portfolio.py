"""The portfolio file as records: what trades, with which limits. One format everywhere.

Defaults are the safe ones. `engine.portfolio` reads, checks and compiles it.
"""

from typing import Literal

import msgspec


class Account(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The simulated account of a backtest, a replay or the demo."""

    balance_ccy: float = 100_000.0
    currency: str = "USD"
    leverage: int = 100
    margin_mode: Literal["hedging", "netting"] = "hedging"


class SymbolOverride(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Contract facts that replace the built-in ones of a symbol; None keeps the default."""

    digits: int | None = None
    contract_size: float | None = None
    base: str | None = None
    profit_currency: str | None = None
    volume_min_lots: float | None = None
    volume_max_lots: float | None = None
    volume_step_lots: float | None = None
    spread_points: float | None = None
    commission_per_lot_ccy: float | None = None
    swap_long_points: float | None = None
    swap_short_points: float | None = None
    swap_triple_weekday: int | None = None
    stops_level_points: float | None = None


class Risk(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits before an order. Exposures are notional over equity, margin is what the broker
    blocks over equity.
    """

    drawdown_reduce_frac: float = 0.04
    drawdown_stop_entries_frac: float = 0.08
    drawdown_flatten_frac: float = 0.12
    symbol_exposure_max_frac: float = 10.0
    gross_exposure_max_frac: float = 30.0
    margin_max_frac: float = 0.9


class Sizing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an entry is sized: a fraction of equity lost at the stop, or plain lots."""

    method: Literal["fixed_fraction", "fixed_lots"] = "fixed_fraction"
    risk_frac: float = 0.005
    lots: float = 0.01


class Strategy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One strategy: a registered kind with parameters on a symbol and timeframe."""

    name: str
    kind: str
    symbol: str
    timeframe: str = "M1"
    params: dict[str, bool | int | float | str] = {}
    enabled: bool = True
    sizing: Sizing | None = None


class Book(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An ensemble of strategies that owns a position per symbol. Shares are of the book."""

    name: str
    members: dict[str, float]
    combine: Literal["weighted", "vote"] = "weighted"
    enter: float = 0.35
    exit: float = 0.10
    quorum: int = 1
    sizing: Sizing | None = None


class Allocation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How books share the account; manual shares multiply lots by share ÷ equal share."""

    method: Literal["manual"] = "manual"
    shares: dict[str, float] = {}


class Portfolio(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A whole portfolio file. A strategy named in no book is a book of one."""

    account: Account = Account()
    symbols: dict[str, SymbolOverride] = {}
    risk: Risk = Risk()
    strategy: list[Strategy] = []
    book: list[Book] = []
    allocation: Allocation = Allocation()
    server_clock: str = "new_york+7"
