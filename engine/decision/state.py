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


def _record(*groups: str, align: bool = False) -> Any:
    """Return a record's type; each group is a type and the names of the fields that have it.

    Saved states have this order of fields; what every event reads stands together, in small
    numbers, because the core lives in the processor's cache.
    """
    fields = [(name, kind) for kind, *names in map(str.split, groups) for name in names]
    return np.dtype(fields, align=align)


LIMITS = _record(
    # Every option of `[risk]`, then the account's own; stop_out_frac is the margin level.
    " ".join(("f8", *RISK_LIMITS)),
    "f8 leverage stop_out_frac drawdown_release_days",
    "i8 currency_digits",
)

SYMBOL_CONFIG = _record(
    # The contract: digits of a price, the smallest step of one, units in a lot.
    "i8 digits",
    "f8 point contract_size",
    # The volumes that the broker takes.
    "f8 volume_min_lots volume_max_lots volume_step_lots",
    # Costs: of a side, and of a night; Monday is 0.
    "f8 commission_per_lot_ccy swap_long_points swap_short_points",
    "i8 swap_triple_weekday",
    # The least distance of a stop from the price, and the usual spread.
    "f8 stops_level_points spread_points",
    # The symbol that prices the profit currency in the account's, −1 for 1.0; 1: by 1 / its bid.
    "i8 conversion_symbol conversion_inverse",
    # The largest order, 0 for the account's ceiling; 1: no entries.
    "f8 order_max_lots",
    "i8 restricted",
    # Minutes of the server's day at which entries begin and end; both 0: always.
    "i8 entry_from_minute entry_to_minute",
)

SYMBOL_STATE = np.dtype(
    [
        # The last believed quote and close, and what is known of a price that is not believed.
        *BELIEF_FIELDS,
        *_record(
            # 1: the quote is this batch's own; 0: the last close, good for marking only.
            "i8 fresh",
            # Account currency per unit of profit currency, NaN while unknown.
            "f8 conversion",
            # The bid of the last sample of returns, and the number of samples.
            "f8 sample_bid",
            "i8 n_samples",
            # 1: an operator killed it; 1: a bar of it closed in the server's present day.
            "i8 killed traded",
            # The token bucket of its messages to the broker.
            "f8 tokens",
            "i8 tokens_ns",
            # Signed lots of positions that are not the engine's.
            "f8 external_lots",
        ).descr,
    ]
)

# Worked out from the rest at need, a row a symbol; the last row holds the account's sums.
SYMBOL_WORK = _record(
    # The notional, long and short added, and long less short.
    "f8 gross_ccy net_ccy",
    # Timeframes whose bar closed at this batch, a bit each; members whose shadow waits.
    "i8 closed pending",
    # Where the symbol's members begin and end in `by_symbol`.
    "i8 first stop",
    # Lots on each side, where the broker's margin is asked for.
    "f8 long_lots short_lots",
    # The number of slots whose stop may move.
    "i8 moving",
    # No level of an open position lies beyond these: bid for long, ask for short ones.
    "f8 long_stop long_target short_stop short_target",
)

SLOT_CONFIG = _record(
    # Whose slot it is: numbers of its book and symbol, and its members' place in `members`.
    "i8 book symbol first_member n_members",
    # Its members' timeframes, a bit each.
    "i8 timeframes",
    # How its members' signals become one: WEIGHTED or VOTE, thresholds, and the vote's quorum.
    "i8 combine",
    "f8 enter exit",
    "i8 quorum",
    # How its size is found: the method, and each method's own numbers.
    "i8 sizing",
    "f8 risk_frac lots volatility_frac",
    "f8 kelly_frac kelly_max_frac kelly_min_trades kelly_shrink_trades",
    # What the book declares of itself; 0 declares nothing.
    "f8 max_orders_per_day max_lots",
    # How its stops move; 0 for not at all.
    "f8 trail_points trail_from_points break_even_points break_even_plus_points step_points",
)

SLOT_STATE = _record(
    # The side of its position, and the side that its members ask for; 0 for none.
    "i1 direction wish",
    # 1: it may not enter before its signal re-arms, and the side that it was closed on.
    "i1 spent spent_direction",
    # 1: `combine` may be out of date; 1: it decides at this batch though no bar closed.
    "i1 dirty due",
    # A goal, not an intent: closing is tried at every quote until the slot is flat.
    "i1 close_reason",
    # 1: an order has an unknown outcome: nothing is sent until that is settled.
    "i1 unsettled",
    # The position, its swap so far, and its members' net signal.
    "f8 lots entry_price swap_ccy net",
    # Its levels as prices, NaN for none, and the commission of its entry.
    "f8 stop target commission_ccy",
    # Where its stop moves: the best closing price of bars since the entry, ∓inf before the first.
    "f8 best_price",
    # When it was opened, and the broker's and the engine's numbers of it.
    "i8 entry_ns ticket intent",
    # Multiplies lots: the book's share over the equal share.
    "f8 allocation",
    # The entry that was accepted and is not booked yet; direction 0 for none.
    "f8 pending_lots pending_price pending_stop_distance pending_target_distance",
    "i1 pending_direction",
    # The rule that refused its last wish; the rule that took its entries until it is enabled.
    "i1 refusal barred",
    # Entries of the day, and entries one after the other on the same side.
    "i1 repeated_direction",
    "i4 orders_today repeated",
    # The number of its closed positions.
    "i4 n_trades",
    "i8 repeated_since_ns barred_ns",
    # The rules that have refused the present wish, a bit each.
    "i8 refused_rules",
    # Sums over its closed positions; realised is net of costs.
    "f8 realised_ccy paid_commission_ccy paid_swap_ccy",
    align=True,
)

# Whose strategy it is, and its share of the book in the file.
MEMBER_CONFIG = _record("u4 slot", "u2 symbol timeframe", "f8 share")

MEMBER_STATE = _record(
    # 1: it has its vote; 1: it has it again, but not before its output changes.
    "i1 enabled waiting",
    # 1: switched off by its shadow record, by an operator, by a fault.
    "i1 benched killed quarantined",
    # 1: its window is not full yet.
    "i1 warming",
    # The raw output at the preceding bar, HOLD included; what it stands for; 1: it changed.
    "i1 raw direction changed",
    # Its shadow position: the side; 1: spent; whether an exit (1) or an entry (2) waits.
    "i1 shadow_direction shadow_spent shadow_pending",
    # Its shadow_days when it was benched.
    "i4 benched_day",
    "f8 confidence",
    # Its share of the book now; its share of the book's open position, fixed at entry.
    "f8 share entry_share",
    # What it says of levels, in price units, NaN for none.
    "f8 stop_distance target_distance",
    # Its shadow position, in price units; shadow_unit is 1 R.
    "f8 shadow_stop shadow_target shadow_price shadow_unit shadow_cost shadow_swap",
    # Its shadow record: sums of results in R and of their squares, and their number.
    "f8 shadow_r shadow_square_r",
    "i8 shadow_trades",
    # Days of its market that have ended since its record began.
    "i8 shadow_days",
    # R at the last day's end, open position included; the highest since it has its vote.
    "f8 shadow_day_r shadow_high_r",
    # Its parts of closed positions; realised is net of costs.
    "f8 realised_ccy paid_commission_ccy paid_swap_ccy",
    align=True,
)

ACCOUNT_STATE = _record(
    # The batch, and the server's wall clock at it.
    "i8 batch_ns server_ns",
    # The server's last day in which a bar opened; the day up to which swaps are charged.
    "i8 server_day swap_day",
    # The number of days that ended; 1: today takes no entries.
    "i8 n_rolls closed_day",
    "f8 balance_ccy equity_ccy",
    # Marks of the equity; `resume --rebase` lowers all but the lifetime's.
    "f8 high_water_ccy lifetime_high_ccy day_start_equity_ccy",
    "f8 drawdown_frac",
    # Profit of positions that are not the engine's; the whole account's mark and drawdown.
    "f8 external_ccy account_high_ccy account_drawdown_frac",
    # The drawdown tier, 0 to 3.
    "i8 tier",
    # TradingState: an operator's halt, or the engine's own doubt; when it was halted.
    "i8 trading halted_ns",
    # Server days in a row that began flat in tier 2.
    "i8 stopped_days",
    # The token bucket of all messages to the broker.
    "f8 tokens",
    "i8 tokens_ns",
    # Number of the last sample of returns, and where the next one is written.
    "i8 sample next_return",
)

EVENT = _record(
    "f8 confidence stop_distance target_distance", "u4 member", "i1 raw warming", align=True
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
