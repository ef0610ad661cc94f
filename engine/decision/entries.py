"""Entries: each rule in turn, then the size; the first rule that refuses names itself."""

import math
from typing import NamedTuple

from engine.decision import rules
from engine.decision.account import add_exposure, sum_exposure
from engine.decision.allocation.shadow import narrow_levels
from engine.decision.allocation.sizing import sized_lots
from engine.decision.money import commission_ccy, round_ccy, round_price
from engine.decision.signals import votes
from engine.decision.state import FIXED_LOTS, VOLATILITY_TARGET, WEIGHTED, Core
from engine.kernels.compiled import core_kernel
from engine.model.reasons import Refusal


@core_kernel
def entry_distances(core: Core, slot: int, direction: int) -> tuple[float, float]:
    """Return the agreeing members' weighted mean (stop, target) distance; NaN where none has one.

    A member weighs share × confidence, in a vote 1. Their shares of the coming trade are fixed
    here; dissenters get 0.
    """
    config = core.slots[slot]
    first = config["first_member"]
    last = first + config["n_members"]
    weighted = config["combine"] == WEIGHTED
    total = 0.0
    stop_sum = 0.0
    stop_weight = 0.0
    target_sum = 0.0
    target_weight = 0.0
    for m in range(first, last):
        output = core.outputs[m]
        if not votes(core, m) or output["direction"] != direction:
            output["entry_share"] = 0.0
            continue
        weight = output["share"] * output["confidence"] if weighted else 1.0
        output["entry_share"] = weight
        total += weight
        if output["stop_distance"] > 0.0:
            stop_sum += weight * output["stop_distance"]
            stop_weight += weight
        if output["target_distance"] > 0.0:
            target_sum += weight * output["target_distance"]
            target_weight += weight
    for m in range(first, last):
        output = core.outputs[m]
        output["entry_share"] = output["entry_share"] / total if total > 0.0 else 0.0
    stop = stop_sum / stop_weight if stop_weight > 0.0 else float("nan")
    target = target_sum / target_weight if target_weight > 0.0 else float("nan")
    return stop, target


@core_kernel
def nearest_level(core: Core, slot: int, direction: int, stop: float, target: float) -> float:
    """Return how far the nearer of stop and target is from the closing price, in price units."""
    quote = core.quotes[core.slots[slot]["symbol"]]
    spec = core.symbols[core.slots[slot]["symbol"]]
    closing = quote["bid"] if direction > 0 else quote["ask"]
    nearest = math.inf
    if not math.isnan(stop):
        nearest = (closing - stop) * direction
    if not math.isnan(target):
        nearest = min(nearest, (target - closing) * direction)
    # 1.17 − 1.1695 is 0.00050…017 in binary: on the symbol's grid just the least is the least.
    return round_price(nearest, spec["digits"]) if nearest < math.inf else math.inf


@core_kernel
def decide_entry(core: Core, slot: int) -> int:
    """Return ACCEPTED (the slot's `pending_*` say what to send) or which rule refused.

    An accepted entry counts as filled at once for the next one's checks, and as entered once
    `count_entry` is told that it was.
    """
    refusal = rules.check_state(core, slot)
    if refusal != Refusal.ACCEPTED:
        return refusal
    position = core.positions[slot]
    direction = position["wish"]
    s = core.slots[slot]["symbol"]
    quote = core.quotes[s]
    spec = core.symbols[s]
    method = core.slots[slot]["sizing"]
    stop_distance, target_distance = entry_distances(core, slot, direction)
    price = quote["ask"] if direction > 0 else quote["bid"]
    stop = round_price(price - direction * stop_distance, spec["digits"])
    target = round_price(price + direction * target_distance, spec["digits"])
    needs_stop = method != FIXED_LOTS and method != VOLATILITY_TARGET
    nearest = nearest_level(core, slot, direction, stop, target)
    least = round_price(spec["stops_level_points"] * spec["point"], spec["digits"])
    lots = sized_lots(core, slot, stop_distance)
    row = core.checks[slot]
    row[Refusal.NO_STOP, 0] = 1.0 if needs_stop and not stop_distance > 0.0 else 0.0
    row[Refusal.NO_STOP, 1] = row[Refusal.NO_RECORD, 1] = 0.0
    row[Refusal.STOP_TOO_CLOSE] = nearest, least
    row[Refusal.NO_RECORD, 0] = 1.0 if method == VOLATILITY_TARGET and math.isnan(lots) else 0.0
    row[Refusal.VOLUME_BELOW_MIN] = lots, spec["volume_min_lots"]
    if row[Refusal.NO_STOP, 0] != 0.0:
        return Refusal.NO_STOP
    if not nearest > least:
        return Refusal.STOP_TOO_CLOSE
    if row[Refusal.NO_RECORD, 0] != 0.0:
        return Refusal.NO_RECORD
    if not lots > 0.0:
        return Refusal.VOLUME_BELOW_MIN
    refusal = rules.check_order(core, slot, direction, lots)
    if (
        refusal == Refusal.DECLARED_LOTS
        or refusal == Refusal.DECLARED_ORDERS
        or refusal == Refusal.REPEATED
    ):
        bar_book(core, slot, refusal)
    if refusal != Refusal.ACCEPTED:
        return refusal
    add_exposure(core, s, direction * lots)
    sum_exposure(core)
    count_message(core, s, core.account[0]["batch_ns"])
    position["pending_direction"] = direction
    position["pending_lots"] = lots
    position["pending_price"] = price
    position["pending_stop_distance"] = stop_distance
    position["pending_target_distance"] = target_distance
    return Refusal.ACCEPTED


@core_kernel
def bar_book(core: Core, slot: int, refusal: int) -> None:
    """Take the entries of a slot's whole book until a named person enables it again."""
    for i in range(len(core.slots)):
        position = core.positions[i]
        if core.slots[i]["book"] == core.slots[slot]["book"] and not position["barred"]:
            position["barred"] = refusal
            position["barred_ns"] = core.account[0]["batch_ns"]


@core_kernel
def count_entry(core: Core, slot: int, direction: int) -> None:
    """Count an entry that was executed: of the day, and of the same again.

    One that was refused, withdrawn or never sent is none; one that may have been is pending, and
    counts in the rules of its book.
    """
    position = core.positions[slot]
    count = rules.repeats(core, slot, direction)
    if count == 0:
        position["repeated_direction"] = direction
        position["repeated_since_ns"] = core.account[0]["batch_ns"]
    position["repeated"] = count + 1
    position["orders_today"] += 1


@core_kernel
def count_message(core: Core, symbol: int, now_ns: int) -> None:
    """Take a token of the account's and the symbol's bucket for a message to the broker.

    Entries, closes and changes of stops take one each; only entries are asked whether there is one.
    """
    account = core.account[0]
    quote = core.quotes[symbol]
    limits = core.limits[0]
    most, own_most = limits["orders_per_minute_max"], limits["symbol_orders_per_minute_max"]
    left = rules.tokens_left(account["tokens"], account["tokens_ns"], now_ns, most)
    own_left = rules.tokens_left(quote["tokens"], quote["tokens_ns"], now_ns, own_most)
    account["tokens"] = max(left - 1.0, 0.0)
    quote["tokens"] = max(own_left - 1.0, 0.0)
    account["tokens_ns"] = max(account["tokens_ns"], now_ns)
    quote["tokens_ns"] = max(quote["tokens_ns"], now_ns)


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
    # The fill is no price that it could close at: the first closed bar brings one.
    position["best_price"] = -math.inf if position["direction"] > 0 else math.inf
    position["entry_ns"] = time_ns
    position["stop"] = stop
    position["target"] = target
    position["commission_ccy"] = deal_commission_ccy
    position["swap_ccy"] = 0.0
    position["close_reason"] = 0
    position["pending_direction"] = 0
    position["refused_rules"] = 0
    narrow_levels(core, core.slots[slot]["symbol"], position["direction"], stop, target)
    account["balance_ccy"] = round_ccy(
        account["balance_ccy"] + deal_commission_ccy, core.limits[0]["currency_digits"]
    )


@core_kernel
def cancel_entry(core: Core, slot: int) -> None:
    """Forget a pending entry that the broker refused; the next mark frees its exposure."""
    core.positions[slot]["pending_direction"] = 0


class EntryFill(NamedTuple):
    """An entry as the broker executed it; distances in price units on the losing and the winning
    side, NaN for none. `ticket` and `intent` are the broker's and the engine's numbers of it.
    """

    direction: int
    lots: float
    price: float
    stop_distance: float
    target_distance: float
    time_ns: int
    commission_ccy: float
    ticket: int
    intent: int


def open_position(core: Core, slot: int, fill: EntryFill) -> None:
    """Book an entry that the broker executed, whatever the slot had pending; Python only."""
    position = core.positions[slot]
    position["pending_direction"] = fill.direction
    position["pending_stop_distance"] = fill.stop_distance
    position["pending_target_distance"] = fill.target_distance
    apply_open(core, slot, fill.price, fill.lots, fill.time_ns, fill.commission_ccy)
    position["ticket"], position["intent"] = fill.ticket, fill.intent
