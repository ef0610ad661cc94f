"""The core's state: structured arrays that every decision function reads and writes.

A *slot* is one book's position in one symbol. Slots stand in book order, members in file order
within their slot; every sum runs in that order. `*_CONFIG` arrays come from the portfolio and do
not change while running, `*_STATE` arrays, `days` and `returns` are what a restart must restore;
the rest is worked out from them.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engine.decision.plausible import BELIEF_FIELDS
from engine.kernels.arrays import Arrays
from engine.model.portfolio import RISK_LIMITS
from engine.model.reasons import Refusal

Records = npt.NDArray[np.void]
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

WEIGHTED: Final = 0
VOTE: Final = 1

# Quorums that depend on how many vote.
MAJORITY: Final = -1
UNANIMOUS: Final = -2

FIXED_FRACTION: Final = 0
FIXED_LOTS: Final = 1
VOLATILITY_TARGET: Final = 2
KELLY: Final = 3

N_REFUSALS: Final = len(Refusal)
# Daily results kept of each member, returns kept of each symbol.
N_DAYS: Final = 64
N_RETURNS: Final = 250

LIMITS = np.dtype(
    [(name, "f8") for name in (*RISK_LIMITS, "leverage", "stop_out_frac", "drawdown_release_days")]
    + [("currency_digits", "i8")]
)

SYMBOL_CONFIG = np.dtype(
    [
        ("digits", "i8"),
        ("point", "f8"),
        ("contract_size", "f8"),
        ("volume_min_lots", "f8"),
        ("volume_max_lots", "f8"),
        ("volume_step_lots", "f8"),
        ("commission_per_lot_ccy", "f8"),
        ("swap_long_points", "f8"),
        ("swap_short_points", "f8"),
        ("swap_triple_weekday", "i8"),
        ("stops_level_points", "f8"),
        ("spread_points", "f8"),
        # Where account currency per unit of profit currency comes from: −1 means 1.0.
        ("conversion_symbol", "i8"),
        ("conversion_inverse", "i8"),
        # 0: the account's ceiling.
        ("order_max_lots", "f8"),
        ("restricted", "i8"),
        # Minutes of the server's day at which entries begin and end; both 0: always.
        ("entry_from_minute", "i8"),
        ("entry_to_minute", "i8"),
    ]
)

SYMBOL_STATE = np.dtype(
    [
        # The last believed quote and close, and what is known of a price that is not believed.
        *BELIEF_FIELDS,
        # 1: the quote is T's own; 0: the last close, good for marking only.
        ("fresh", "i8"),
        ("conversion", "f8"),
        # The bid of the last sample of returns.
        ("sample_bid", "f8"),
        ("n_samples", "i8"),
        ("killed", "i8"),
        # Whether a bar of it closed in the server's day under way.
        ("traded", "i8"),
        # The token bucket of this symbol's messages to the broker.
        ("tokens", "f8"),
        ("tokens_ns", "i8"),
        # What others hold on this account: signed lots, and margin they use.
        ("external_lots", "f8"),
    ]
)

# Worked out from the rest at need. The last row holds the account's sums.
SYMBOL_WORK = np.dtype(
    [
        ("gross_ccy", "f8"),
        ("net_ccy", "f8"),
        # Timeframes whose bar closed at this batch, a bit each; members whose shadow waits.
        ("closed", "i8"),
        ("pending", "i8"),
        # Members stand by symbol in `by_symbol`, those of this one from `first` to `stop`.
        ("first", "i8"),
        ("stop", "i8"),
        # Lots on each side, where the broker's margin is asked for.
        ("long_lots", "f8"),
        ("short_lots", "f8"),
        # Slots whose stop may move.
        ("moving", "i8"),
        # No level of a held position lies beyond these, bid for long and ask for short ones.
        ("long_stop", "f8"),
        ("long_target", "f8"),
        ("short_stop", "f8"),
        ("short_target", "f8"),
    ]
)

SLOT_CONFIG = np.dtype(
    [
        ("book", "i8"),
        ("symbol", "i8"),
        ("first_member", "i8"),
        ("n_members", "i8"),
        # Its members' timeframes, a bit each.
        ("timeframes", "i8"),
        ("combine", "i8"),
        ("enter", "f8"),
        ("exit", "f8"),
        ("quorum", "i8"),
        ("sizing", "i8"),
        ("risk_frac", "f8"),
        ("lots", "f8"),
        ("volatility_frac", "f8"),
        ("kelly_frac", "f8"),
        ("kelly_max_frac", "f8"),
        ("kelly_min_trades", "f8"),
        ("kelly_shrink_trades", "f8"),
        # What the book declares of itself; 0 declares nothing.
        ("max_orders_per_day", "f8"),
        ("max_lots", "f8"),
        # How its stops move; 0 for not at all.
        ("trail_points", "f8"),
        ("trail_from_points", "f8"),
        ("break_even_points", "f8"),
        ("break_even_plus_points", "f8"),
        ("step_points", "f8"),
    ]
)

SLOT_STATE = np.dtype(
    [
        # What every batch reads stands together, in small numbers: the core lives in the cache.
        ("direction", "i1"),
        ("wish", "i1"),
        ("spent", "i1"),
        ("spent_direction", "i1"),
        # What `combine` says may be out of date; decide at this batch though no bar closed.
        ("dirty", "i1"),
        ("due", "i1"),
        # A goal, not an intent: closing is tried at every quote until the slot is flat.
        ("close_reason", "i1"),
        # An order of this slot has an unknown outcome: nothing is sent until it is settled.
        ("unsettled", "i1"),
        ("lots", "f8"),
        ("entry_price", "f8"),
        ("swap_ccy", "f8"),
        ("net", "f8"),
        ("stop", "f8"),
        ("target", "f8"),
        ("commission_ccy", "f8"),
        # The best price on its closing side of the bars closed since the entry, ∓inf before the
        # first; where its stop moves.
        ("best_price", "f8"),
        ("entry_ns", "i8"),
        ("ticket", "i8"),
        ("intent", "i8"),
        # Multiplies lots: the book's share over the equal share.
        ("allocation", "f8"),
        ("pending_lots", "f8"),
        ("pending_price", "f8"),
        ("pending_stop_distance", "f8"),
        ("pending_target_distance", "f8"),
        ("pending_direction", "i1"),
        ("refusal", "i1"),
        # A rule took its entries until a named person enables it again: the Refusal.
        ("barred", "i1"),
        ("repeated_direction", "i1"),
        ("orders_today", "i4"),
        ("repeated", "i4"),
        ("n_trades", "i4"),
        ("repeated_since_ns", "i8"),
        ("barred_ns", "i8"),
        # The rules that have refused the present wish, a bit each.
        ("refused_rules", "i8"),
        # Sums over its closed positions; realised is net of costs.
        ("realised_ccy", "f8"),
        ("paid_commission_ccy", "f8"),
        ("paid_swap_ccy", "f8"),
    ],
    align=True,
)

MEMBER_CONFIG = np.dtype([("slot", "u4"), ("symbol", "u2"), ("timeframe", "u2"), ("share", "f8")])

MEMBER_STATE = np.dtype(
    [
        # As in SLOT_STATE, what every event reads stands together.
        ("enabled", "i1"),
        # Enabled again, but not before its output changes.
        ("waiting", "i1"),
        # Switched off by its shadow record, since this roll of the day.
        ("benched", "i1"),
        ("killed", "i1"),
        ("quarantined", "i1"),
        ("warming", "i1"),
        # The raw output acted upon at the preceding bar, HOLD included; and what it stands for.
        ("raw", "i1"),
        ("direction", "i1"),
        ("changed", "i1"),
        ("shadow_direction", "i1"),
        ("shadow_spent", "i1"),
        ("shadow_pending", "i1"),
        ("benched_day", "i4"),
        ("confidence", "f8"),
        # Its share of the book now; its share of the book's open position, fixed at entry.
        ("share", "f8"),
        ("entry_share", "f8"),
        ("stop_distance", "f8"),
        ("target_distance", "f8"),
        # Its shadow record: prices per unit, results in R.
        ("shadow_stop", "f8"),
        ("shadow_target", "f8"),
        ("shadow_price", "f8"),
        ("shadow_unit", "f8"),
        ("shadow_cost", "f8"),
        ("shadow_swap", "f8"),
        ("shadow_r", "f8"),
        ("shadow_square_r", "f8"),
        ("shadow_trades", "i8"),
        # Days of its market that have ended since its record began.
        ("shadow_days", "i8"),
        # At the last day's end, open position included; the highest since it has its vote.
        ("shadow_day_r", "f8"),
        ("shadow_high_r", "f8"),
        # Its parts of closed positions; realised is net of costs.
        ("realised_ccy", "f8"),
        ("paid_commission_ccy", "f8"),
        ("paid_swap_ccy", "f8"),
    ],
    align=True,
)

ACCOUNT_STATE = np.dtype(
    [
        ("batch_ns", "i8"),
        # The server's wall clock at the batch; its last day in which a bar opened; the calendar
        # day up to which swaps are charged.
        ("server_ns", "i8"),
        ("server_day", "i8"),
        ("swap_day", "i8"),
        ("n_rolls", "i8"),
        ("closed_day", "i8"),
        ("balance_ccy", "f8"),
        ("equity_ccy", "f8"),
        ("high_water_ccy", "f8"),
        # The mark that no `resume --rebase` lowers.
        ("lifetime_high_ccy", "f8"),
        ("day_start_equity_ccy", "f8"),
        ("drawdown_frac", "f8"),
        # What others on this account have made or lost, and its mark and drawdown with them.
        ("external_ccy", "f8"),
        ("account_high_ccy", "f8"),
        ("account_drawdown_frac", "f8"),
        ("tier", "i8"),
        # TradingState: an operator's halt, or the engine's own doubt.
        ("trading", "i8"),
        ("halted_ns", "i8"),
        # Server days in a row that began flat in tier 2.
        ("stopped_days", "i8"),
        ("tokens", "f8"),
        ("tokens_ns", "i8"),
        # Number of the last sample of returns, and where the next one is written.
        ("sample", "i8"),
        ("next_return", "i8"),
    ]
)


EVENT = np.dtype(
    [
        ("confidence", "f8"),
        ("stop_distance", "f8"),
        ("target_distance", "f8"),
        ("member", "u4"),
        ("raw", "i1"),
        ("warming", "i1"),
    ],
    align=True,
)
"""One member's output at one closed bar."""


class Core(Arrays):
    """Everything the decision functions work on.

    `days` (N_DAYS, n_members) daily shadow results in R, oldest first, NaN before a member's
    first and where its market was closed; `returns` (N_RETURNS, n_symbols) a ring of sampled
    returns; `covariance` (n_symbols, n_symbols) of a sample, NaN where unknown; `checks` (n_slots,
    N_REFUSALS, 2) each rule's value and limit at a slot's last decision.
    """

    limits: Records
    account: Records
    symbols: Records
    quotes: Records
    slots: Records
    positions: Records
    members: Records
    outputs: Records
    days: Floats
    returns: Floats
    closed_days: Integers
    work: Records
    by_symbol: Integers
    covariance: Floats
    checks: Floats


def read_limits(core: Core) -> dict[str, float]:
    """Return the limits in force, by name."""
    return {name: float(core.limits[0][name]) for name in LIMITS.names or ()}


def write_limits(core: Core, limits: Mapping[str, float]) -> None:
    """Put limits in force that `read_limits` returned; others stay as they are."""
    for name in limits.keys() & set(LIMITS.names or ()):
        core.limits[name] = limits[name]


def stop_moves(slots: Any) -> Any:
    """Return whether stops of these SLOT_CONFIG may move, one or many."""
    return (slots["trail_points"] > 0.0) | (slots["break_even_points"] > 0.0)


def new_core(
    *,
    limits: Records,
    symbols: Records,
    slots: Records,
    members: Records,
    balance_ccy: float,
    closed_days: Integers | None = None,
) -> Core:
    """Return a flat core with `balance_ccy`; every member enabled, every quote unknown.

    `closed_days` are server days (since 1970-01-01) without entries.
    """
    account = np.zeros(1, ACCOUNT_STATE)
    for field in ACCOUNT_STATE.names or ():
        if field.endswith("_ccy") and field != "external_ccy":
            account[field] = balance_ccy
    account["server_day"] = account["swap_day"] = account["sample"] = -1
    account["tokens"] = limits["orders_per_minute_max"]
    quotes = np.zeros(len(symbols), SYMBOL_STATE)
    prices = ("bid", "ask", "conversion", "close", "sample_bid", "suspect_bid", "suspect_ask")
    for field in prices:
        quotes[field] = np.nan
    quotes["tokens"] = limits["symbol_orders_per_minute_max"]
    positions = np.zeros(len(slots), SLOT_STATE)
    positions["stop"] = positions["target"] = np.nan
    positions["allocation"] = 1.0
    outputs = np.zeros(len(members), MEMBER_STATE)
    outputs["enabled"] = outputs["warming"] = 1
    for field in ("stop_distance", "target_distance", "shadow_stop", "shadow_target"):
        outputs[field] = np.nan
    outputs["share"] = members["share"]
    by_symbol = np.argsort(members["symbol"], kind="stable")
    work = np.zeros(len(symbols) + 1, SYMBOL_WORK)
    work["first"][:-1] = np.searchsorted(members["symbol"][by_symbol], np.arange(len(symbols)))
    work["stop"][:-1] = np.searchsorted(
        members["symbol"][by_symbol], np.arange(len(symbols)), side="right"
    )
    moves = stop_moves(slots)
    np.add.at(work["moving"], slots["symbol"][moves], 1)
    work["moving"][-1] = np.count_nonzero(moves)
    return Core(
        limits,
        account,
        symbols,
        quotes,
        slots,
        positions,
        members,
        outputs,
        np.full((N_DAYS, len(members)), np.nan),
        np.zeros((N_RETURNS, len(symbols))),
        np.zeros(0, np.int64) if closed_days is None else closed_days,
        work,
        by_symbol.astype(np.int64),
        np.full((len(symbols), len(symbols)), np.nan),
        np.full((len(slots), N_REFUSALS, 2), np.nan),
    )
