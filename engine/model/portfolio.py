"""The portfolio file as records: what trades, with which limits. One format everywhere.

Defaults are the safe ones. `engine.portfolio` reads, checks and compiles it.
"""

from typing import Final, Literal

import msgspec

from engine.model.errors import UserError


def parse_fraction(text: str) -> float:
    """Return a fraction from 0 to 1.

    Raises:
        UserError: it is none; a bare 20 is not taken for 20 %.
    """
    number, percent, rest = text.strip().partition("%")
    try:
        value = float(number) / (100.0 if percent else 1.0)
    except ValueError:
        value = -1.0
    if rest or not 0.0 <= value <= 1.0:
        raise UserError(f"{text!r} is no share: write 0.2 or 20%, from 0 to 1 or 100%")
    return value


# How many days of results a record holds; no rule can ask for more.
RECORD_DAYS: Final = 64


class AccountSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The simulated account of a backtest, a replay or the demo.

    Below `stop_out_level_percent` of the margin in equity the broker closes the largest losers.
    """

    balance_ccy: float = 100_000.0
    currency: str = "USD"
    leverage: int = 100
    stop_out_level_percent: float = 50.0
    margin_mode: Literal["hedging", "netting"] = "hedging"


class SymbolOverride(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Contract facts that replace the built-in ones of a symbol; None keeps the default.

    `order_max_lots` replaces the account-wide ceiling of one order; `entry_hours` ("HH:MM-HH:MM",
    server time, may pass midnight) are when entries are allowed.
    """

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
    order_max_lots: float | None = None
    entry_hours: str | None = None


class RiskSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits before an order; docs/SEMANTICS.md §7 has the rules that read them.

    Exposures are notional over equity, margin is what the broker blocks over equity.
    `drawdown_release`: server days after which a flat account leaves tier 2, or whoever resumes it.
    """

    drawdown_reduce_frac: float = 0.04
    drawdown_stop_entries_frac: float = 0.08
    drawdown_flatten_frac: float = 0.12
    account_drawdown_max_frac: float = 0.2
    daily_loss_max_frac: float = 0.05
    symbol_exposure_max_frac: float = 10.0
    book_exposure_max_frac: float = 10.0
    gross_exposure_max_frac: float = 30.0
    net_exposure_max_frac: float = 20.0
    margin_max_frac: float = 0.9
    correlation_threshold_frac: float = 0.8
    correlated_exposure_max_frac: float = 15.0
    diversify_above_frac: float = 10.0
    largest_share_max_frac: float = 0.6
    var_max_frac: float = 0.1
    order_max_lots: float = 50.0
    order_max_value_frac: float = 10.0
    collar_frac: float = 0.02
    collar_spreads: float = 50.0
    spread_max_factor: float = 5.0
    orders_per_minute_max: float = 120.0
    symbol_orders_per_minute_max: float = 60.0
    repeated_max: float = 20.0
    repeated_minutes: float = 60.0
    book_orders_per_day_max: float = 500.0
    sample_minutes: float = 60.0
    samples_min: float = 48.0
    correlation_shrink_frac: float = 0.1
    restricted: list[str] = []
    close_only: list[str] = []
    closed_days: list[str] = []
    drawdown_release: int | Literal["operator"] = "operator"


RISK_LIMITS = tuple(
    name for name, value in msgspec.structs.asdict(RiskSpec()).items() if isinstance(value, float)
)
"""The keys of `RiskSpec` that are numbers: what the core reads and an operator may set."""


class SizingSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an entry is sized.

    `fixed_fraction`: `risk_frac` of equity lost at the stop; `fixed_lots`: `lots`;
    `volatility_target`: the position's daily volatility is `volatility_frac` of equity;
    `kelly`: `kelly_frac` of the full Kelly fraction of the members' shadow records, at most
    `kelly_max_frac`; `risk_frac` until the record has `kelly_min_trades`.
    """

    method: Literal["fixed_fraction", "fixed_lots", "volatility_target", "kelly"] = "fixed_fraction"
    risk_frac: float = 0.005
    lots: float = 0.01
    volatility_frac: float = 0.002
    kelly_frac: float = 0.25
    kelly_max_frac: float = 0.01
    kelly_min_trades: int = 50
    kelly_shrink_trades: int = 50


class StopsSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the stop of an open position moves, in points; 0 does not move it.

    From `trail_from_points` beyond the entry on it stays `trail_points` behind the best price; at
    `break_even_points` beyond the entry it goes to the entry and `break_even_plus_points` more. It
    moves toward profit alone, by `step_points` or more at a time.
    """

    trail_points: float = 0.0
    trail_from_points: float = 0.0
    break_even_points: float = 0.0
    break_even_plus_points: float = 0.0
    step_points: float = 10.0


class StrategySpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One strategy: a registered kind with parameters on a symbol and timeframe.

    `others` are the symbols of its further inputs. What it declares of itself, for a strategy in
    no book: at most `max_orders_per_day` and `max_lots` an order; 0 declares nothing.
    """

    name: str
    kind: str
    symbol: str
    others: list[str] = []
    timeframe: str = "M1"
    params: dict[str, bool | int | float | str] = {}
    enabled: bool = True
    sizing: SizingSpec | None = None
    stops: StopsSpec | None = None
    max_orders_per_day: int = 0
    max_lots: float = 0.0


class BookSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An ensemble of strategies that owns a position per symbol. Shares are of the book.

    `quorum` is how many must agree to enter: a number, more than half of those who vote
    ("majority") or all of them ("unanimous").
    """

    name: str
    members: dict[str, float]
    combine: Literal["weighted", "vote"] = "weighted"
    enter: float = 0.35
    exit: float = 0.10
    quorum: int | Literal["majority", "unanimous"] = 1
    sizing: SizingSpec | None = None
    stops: StopsSpec | None = None
    max_orders_per_day: int = 0
    max_lots: float = 0.0


class SwitchSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a member loses its vote by its shadow record, and when it gets it back.

    A score is decayed mean over decayed deviation of daily results, with the allocation's
    half-life, read from `min_days` days on. Drawdowns are in R: `disable_drawdown_r` since it got
    its vote, `enable_drawdown_r` since it lost it. The rules are
    those of `engine.decision.allocation.switching`.
    """

    disable_score: float = -0.2
    enable_score: float = 0.0
    disable_drawdown_r: float = 20.0
    enable_drawdown_r: float = 10.0
    cool_down_days: int = 10
    min_days: int = 20


class AllocationSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How books share the account, or members their book (`level`), decided once a server day.

    `shares` are the books': the manual ones, and where the other methods begin; members begin with
    the shares of their [[book]]. A day's result weighs half as much `half_life_days` later, and a
    record of `shrink_days` days keeps half of its distance to the mean score. Floors and caps are
    multiples of the equal share; a day moves at most `turnover_max_frac` of the whole. None of
    them binds manual shares. `engine.decision.allocation.allocate` has the methods.
    """

    method: Literal["manual", "score", "inverse_volatility", "hrp"] = "manual"
    level: Literal["books", "members"] = "books"
    shares: dict[str, float] = {}
    half_life_days: float = 30.0
    shrink_days: float = 30.0
    min_days: int = 20
    floor_ratio: float = 0.25
    cap_ratio: float = 3.0
    turnover_max_frac: float = 0.2
    switch: SwitchSpec | None = None


class Portfolio(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A whole portfolio file. A strategy named in no book is a book of one."""

    account: AccountSpec = AccountSpec()
    symbols: dict[str, SymbolOverride] = {}
    risk: RiskSpec = RiskSpec()
    strategy: list[StrategySpec] = []
    book: list[BookSpec] = []
    allocation: AllocationSpec = AllocationSpec()
    server_clock: str = "new_york+7"
