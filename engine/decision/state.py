"""The core's state: structured arrays that every decision function reads and writes.

A *slot* is one book's position in one symbol. Slots stand in book order, members in file order
within their slot; every sum runs in that order. `*_CONFIG` arrays come from the portfolio and do
not change while running, `*_STATE` arrays are what a restart must restore.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Records = npt.NDArray[np.void]

WEIGHTED: Final = 0
VOTE: Final = 1

# A slot's `due`: a member's bar closed; or one closed and says what the bar before it said.
DUE: Final = 1
DUE_REPEATED: Final = 2

FIXED_FRACTION: Final = 0
FIXED_LOTS: Final = 1

LIMITS = np.dtype(
    [
        ("drawdown_reduce_frac", "f8"),
        ("drawdown_stop_entries_frac", "f8"),
        ("drawdown_flatten_frac", "f8"),
        ("symbol_exposure_max_frac", "f8"),
        ("gross_exposure_max_frac", "f8"),
        ("margin_max_frac", "f8"),
        ("leverage", "f8"),
        ("currency_digits", "i8"),
    ]
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
        # Where account currency per unit of profit currency comes from: −1 means 1.0.
        ("conversion_symbol", "i8"),
        ("conversion_inverse", "i8"),
    ]
)

SYMBOL_STATE = np.dtype(
    [
        ("bid", "f8"),
        ("ask", "f8"),
        # 1: the quote is T's own; 0: the last close, good for marking only.
        ("fresh", "i8"),
        ("conversion", "f8"),
        ("exposure_ccy", "f8"),
    ]
)

SLOT_CONFIG = np.dtype(
    [
        ("book", "i8"),
        ("symbol", "i8"),
        ("first_member", "i8"),
        ("n_members", "i8"),
        ("combine", "i8"),
        ("enter", "f8"),
        ("exit", "f8"),
        ("quorum", "i8"),
        ("sizing", "i8"),
        ("risk_frac", "f8"),
        ("lots", "f8"),
        ("allocation", "f8"),
    ]
)

SLOT_STATE = np.dtype(
    [
        ("direction", "i8"),
        ("lots", "f8"),
        ("entry_price", "f8"),
        ("entry_ns", "i8"),
        ("stop", "f8"),
        ("target", "f8"),
        ("commission_ccy", "f8"),
        ("swap_ccy", "f8"),
        ("ticket", "i8"),
        ("intent", "i8"),
        # A goal, not an intent: closing is tried at every quote until the slot is flat.
        ("close_reason", "i8"),
        # An order of this slot has an unknown outcome: nothing is sent until it is settled.
        ("unsettled", "i8"),
        ("spent", "i8"),
        ("spent_direction", "i8"),
        ("due", "i8"),
        ("net", "f8"),
        ("wish", "i8"),
        ("refusal", "i8"),
        ("pending_direction", "i8"),
        ("pending_lots", "f8"),
        ("pending_price", "f8"),
        ("pending_stop_distance", "f8"),
        ("pending_target_distance", "f8"),
    ]
)

MEMBER_CONFIG = np.dtype([("slot", "i8"), ("share", "f8")])

MEMBER_STATE = np.dtype(
    [
        ("enabled", "i8"),
        # Enabled again, but not before its output changes.
        ("waiting", "i8"),
        ("killed", "i8"),
        ("quarantined", "i8"),
        ("warming", "i8"),
        # The raw output acted upon at the preceding bar, HOLD included; and what it stands for.
        ("raw", "i8"),
        ("direction", "i8"),
        ("confidence", "f8"),
        ("stop_distance", "f8"),
        ("target_distance", "f8"),
        ("changed", "i8"),
        # Share of the book's open position, fixed at entry.
        ("entry_share", "f8"),
    ]
)

ACCOUNT_STATE = np.dtype(
    [
        ("batch_ns", "i8"),
        ("server_day", "i8"),
        ("balance_ccy", "f8"),
        ("equity_ccy", "f8"),
        ("high_water_ccy", "f8"),
        ("day_start_equity_ccy", "f8"),
        ("drawdown_frac", "f8"),
        ("gross_exposure_ccy", "f8"),
        ("margin_ccy", "f8"),
        ("tier", "i8"),
        # An operator's halt: no entries until resumed.
        ("entries_halted", "i8"),
        ("halted_ns", "i8"),
    ]
)


class Core(NamedTuple):
    """Everything the decision functions work on."""

    limits: Records
    account: Records
    symbols: Records
    quotes: Records
    slots: Records
    positions: Records
    members: Records
    outputs: Records


def new_core(
    *, limits: Records, symbols: Records, slots: Records, members: Records, balance_ccy: float
) -> Core:
    """Return a flat core with `balance_ccy`; every member enabled, every quote unknown."""
    account = np.zeros(1, ACCOUNT_STATE)
    for field in ("balance_ccy", "equity_ccy", "high_water_ccy", "day_start_equity_ccy"):
        account[field] = balance_ccy
    account["server_day"] = -1
    quotes = np.zeros(len(symbols), SYMBOL_STATE)
    quotes["bid"] = quotes["ask"] = quotes["conversion"] = np.nan
    positions = np.zeros(len(slots), SLOT_STATE)
    positions["stop"] = positions["target"] = np.nan
    outputs = np.zeros(len(members), MEMBER_STATE)
    outputs["enabled"] = outputs["warming"] = 1
    outputs["stop_distance"] = outputs["target_distance"] = np.nan
    return Core(limits, account, symbols, quotes, slots, positions, members, outputs)
