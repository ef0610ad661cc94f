"""Entries: each rule in turn, then the size; the first rule that refuses names itself."""

from typing import Final

import numpy as np

from engine.decision.account import notional_ccy
from engine.decision.money import commission_ccy, floor_lots, round_ccy, round_price
from engine.decision.signals import votes
from engine.decision.state import FIXED_LOTS, WEIGHTED, Core
from engine.model.compiled import core_kernel
from engine.model.reasons import Refusal

NO_WISH: Final = -1
_ACCEPTED: Final = int(Refusal.ACCEPTED)
_STALE_PRICE: Final = int(Refusal.STALE_PRICE)
_HALTED: Final = int(Refusal.HALTED)
_DRAWDOWN_TIER: Final = int(Refusal.DRAWDOWN_TIER)
_NO_STOP: Final = int(Refusal.NO_STOP)
_STOP_TOO_CLOSE: Final = int(Refusal.STOP_TOO_CLOSE)
_VOLUME_BELOW_MIN: Final = int(Refusal.VOLUME_BELOW_MIN)
_SYMBOL_EXPOSURE: Final = int(Refusal.SYMBOL_EXPOSURE)
_GROSS_EXPOSURE: Final = int(Refusal.GROSS_EXPOSURE)
_UNSETTLED: Final = int(Refusal.UNSETTLED)
_NO_CONVERSION: Final = int(Refusal.NO_CONVERSION)
_MARGIN: Final = int(Refusal.MARGIN)
_UNKNOWN_EQUITY: Final = int(Refusal.UNKNOWN_EQUITY)

TIER_1_SIZE_FRAC: Final = 0.5


@core_kernel
def entry_weight(core: Core, member: int) -> float:
    """Return an agreeing member's weight in the entry: share × confidence, or 1 in a vote."""
    if core.slots[core.members[member]["slot"]]["combine"] == WEIGHTED:
        return float(core.members[member]["share"] * core.outputs[member]["confidence"])
    return 1.0


@core_kernel
def entry_distances(core: Core, slot: int, direction: int) -> tuple[float, float]:
    """Return the agreeing members' weighted mean (stop, target) distance; NaN where none has one.

    Their shares of the coming trade are fixed here; dissenters get 0.
    """
    config = core.slots[slot]
    first = config["first_member"]
    last = first + config["n_members"]
    total = 0.0
    stop_sum = 0.0
    stop_weight = 0.0
    target_sum = 0.0
    target_weight = 0.0
    for m in range(first, last):
        output = core.outputs[m]
        if not votes(core, m) or output["direction"] != direction:
            continue
        weight = entry_weight(core, m)
        total += weight
        if output["stop_distance"] > 0.0:
            stop_sum += weight * output["stop_distance"]
            stop_weight += weight
        if output["target_distance"] > 0.0:
            target_sum += weight * output["target_distance"]
            target_weight += weight
    for m in range(first, last):
        output = core.outputs[m]
        agrees = votes(core, m) and output["direction"] == direction and total > 0.0
        output["entry_share"] = entry_weight(core, m) / total if agrees else 0.0
    stop = stop_sum / stop_weight if stop_weight > 0.0 else float("nan")
    target = target_sum / target_weight if target_weight > 0.0 else float("nan")
    return stop, target


@core_kernel
def sized_lots(core: Core, slot: int, stop_distance: float) -> float:
    """Return lots floored to the step and capped at the symbol's maximum; 0.0 below its minimum.

    Fixed fraction: the largest lots whose stop-out costs at most `risk_frac` of equity. Tier 1
    halves; allocation multiplies.
    """
    config = core.slots[slot]
    s = config["symbol"]
    spec = core.symbols[s]
    account = core.account[0]
    if config["sizing"] == FIXED_LOTS:
        lots = config["lots"]
    else:
        loss_per_lot = stop_distance * spec["contract_size"] * core.quotes[s]["conversion"]
        lots = account["equity_ccy"] * config["risk_frac"] / loss_per_lot
    lots *= config["allocation"]
    if account["tier"] == 1:
        lots *= TIER_1_SIZE_FRAC
    lots = floor_lots(min(lots, spec["volume_max_lots"]), spec["volume_step_lots"])
    return lots if lots >= spec["volume_min_lots"] else 0.0


@core_kernel
def state_refusal(core: Core, slot: int) -> int:
    """Return the rule that forbids any entry of this slot now: state, price, conversion."""
    account = core.account[0]
    quote = core.quotes[core.slots[slot]["symbol"]]
    if account["entries_halted"] or account["tier"] >= 3:
        return _HALTED
    if account["tier"] == 2:
        return _DRAWDOWN_TIER
    if not 0.0 < account["equity_ccy"] < np.inf:
        return _UNKNOWN_EQUITY
    if core.positions[slot]["unsettled"]:
        return _UNSETTLED
    if not quote["fresh"]:
        return _STALE_PRICE
    if not quote["conversion"] > 0.0:
        return _NO_CONVERSION
    return _ACCEPTED


@core_kernel
def exposure_refusal(core: Core, symbol: int, lots: float) -> int:
    """Return the exposure rule that an order of `lots` would break; what is accepted counts.

    Comparisons are written so that a NaN refuses.
    """
    account = core.account[0]
    limits = core.limits[0]
    worth_ccy = notional_ccy(core, symbol, lots)
    equity = account["equity_ccy"]
    symbol_after_ccy = core.quotes[symbol]["exposure_ccy"] + worth_ccy
    if not symbol_after_ccy <= limits["symbol_exposure_max_frac"] * equity:
        return _SYMBOL_EXPOSURE
    gross_after_ccy = account["gross_exposure_ccy"] + worth_ccy
    if not gross_after_ccy <= limits["gross_exposure_max_frac"] * equity:
        return _GROSS_EXPOSURE
    margin_after_ccy = account["margin_ccy"] + worth_ccy / limits["leverage"]
    if not margin_after_ccy <= limits["margin_max_frac"] * equity:
        return _MARGIN
    return _ACCEPTED


@core_kernel
def decide_entry(core: Core, slot: int) -> int:
    """Return NO_WISH, ACCEPTED (the slot's `pending_*` say what to send) or who refused.

    An accepted entry counts as filled at once for the next one's checks.
    """
    position = core.positions[slot]
    direction = position["wish"]
    if not position["due"]:
        return NO_WISH
    position["due"] = 0
    if direction == 0 or position["spent"] or position["direction"] != 0:
        return NO_WISH
    refusal = state_refusal(core, slot)
    if refusal != _ACCEPTED:
        return refusal
    s = core.slots[slot]["symbol"]
    quote = core.quotes[s]
    spec = core.symbols[s]
    stop_distance, target_distance = entry_distances(core, slot, direction)
    has_stop = stop_distance > 0.0
    if not has_stop and core.slots[slot]["sizing"] != FIXED_LOTS:
        return _NO_STOP
    price = quote["ask"] if direction > 0 else quote["bid"]
    closing = quote["bid"] if direction > 0 else quote["ask"]
    stop = round_price(price - direction * stop_distance, spec["digits"])
    target = round_price(price + direction * target_distance, spec["digits"])
    nearest = spec["stops_level_points"] * spec["point"]
    if (closing - stop) * direction <= nearest or (target - closing) * direction <= nearest:
        return _STOP_TOO_CLOSE
    lots = sized_lots(core, slot, stop_distance)
    if lots <= 0.0:
        return _VOLUME_BELOW_MIN
    refusal = exposure_refusal(core, s, lots)
    if refusal != _ACCEPTED:
        return refusal
    worth_ccy = notional_ccy(core, s, lots)
    quote["exposure_ccy"] += worth_ccy
    core.account[0]["gross_exposure_ccy"] += worth_ccy
    core.account[0]["margin_ccy"] += worth_ccy / core.limits[0]["leverage"]
    position["pending_direction"] = direction
    position["pending_lots"] = lots
    position["pending_price"] = price
    position["pending_stop_distance"] = stop_distance
    position["pending_target_distance"] = target_distance
    return _ACCEPTED


@core_kernel
def opening_commission_ccy(core: Core, slot: int, lots: float) -> float:
    """Return the entry deal's commission, rounded; ≤ 0."""
    spec = core.symbols[core.slots[slot]["symbol"]]
    return commission_ccy(lots, spec["commission_per_lot_ccy"], core.limits[0]["currency_digits"])


@core_kernel
def entry_levels(core: Core, slot: int, price: float) -> tuple[float, float]:
    """Return (stop, target) prices of the pending entry filled at `price`; NaN for none."""
    position = core.positions[slot]
    digits = core.symbols[core.slots[slot]["symbol"]]["digits"]
    direction = position["pending_direction"]
    stop = round_price(price - direction * position["pending_stop_distance"], digits)
    return stop, round_price(price + direction * position["pending_target_distance"], digits)


@core_kernel
def apply_open(
    core: Core, slot: int, price: float, lots: float, time_ns: int, deal_commission_ccy: float
) -> None:
    """Book the pending entry's deal; levels are fixed from the fill."""
    position = core.positions[slot]
    account = core.account[0]
    stop, target = entry_levels(core, slot, price)
    position["direction"] = position["pending_direction"]
    position["lots"] = lots
    position["entry_price"] = price
    position["entry_ns"] = time_ns
    position["stop"] = stop
    position["target"] = target
    position["commission_ccy"] = deal_commission_ccy
    position["swap_ccy"] = 0.0
    position["close_reason"] = 0
    position["pending_direction"] = 0
    account["balance_ccy"] = round_ccy(
        account["balance_ccy"] + deal_commission_ccy, core.limits[0]["currency_digits"]
    )


@core_kernel
def cancel_entry(core: Core, slot: int) -> None:
    """Forget a pending entry that the broker refused; the next mark frees its exposure."""
    core.positions[slot]["pending_direction"] = 0
