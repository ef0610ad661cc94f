"""Entries: each rule in turn, then the size; the first rule that refuses names itself."""

import math
from typing import Final

from engine.decision import rules
from engine.decision.account import add_exposure, sum_exposure
from engine.decision.allocation.shadow import narrow_levels
from engine.decision.money import commission_ccy, round_ccy, round_price
from engine.decision.signals import votes
from engine.decision.sizing import sized_lots
from engine.decision.state import FIXED_LOTS, VOLATILITY_TARGET, WEIGHTED, Core
from engine.kernels.compiled import core_kernel
from engine.model.reasons import Refusal
from engine.model.views.decisions import ORDER_RULES, STATE_RULES

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
_REDUCING: Final = int(Refusal.REDUCING)
_SYMBOL_KILLED: Final = int(Refusal.SYMBOL_KILLED)
_RESTRICTED: Final = int(Refusal.RESTRICTED)
_CLOSED_SESSION: Final = int(Refusal.CLOSED_SESSION)
_BARRED: Final = int(Refusal.BARRED)
_DAILY_LOSS: Final = int(Refusal.DAILY_LOSS)
_ACCOUNT_DRAWDOWN: Final = int(Refusal.ACCOUNT_DRAWDOWN)
_SPREAD: Final = int(Refusal.SPREAD)
_COLLAR: Final = int(Refusal.COLLAR)
_NO_RECORD: Final = int(Refusal.NO_RECORD)
_ORDER_LOTS: Final = int(Refusal.ORDER_LOTS)
_ORDER_VALUE: Final = int(Refusal.ORDER_VALUE)
_DECLARED_LOTS: Final = int(Refusal.DECLARED_LOTS)
_DECLARED_ORDERS: Final = int(Refusal.DECLARED_ORDERS)
_REPEATED: Final = int(Refusal.REPEATED)
_THROTTLE: Final = int(Refusal.THROTTLE)
_SYMBOL_THROTTLE: Final = int(Refusal.SYMBOL_THROTTLE)
_BOOK_EXPOSURE: Final = int(Refusal.BOOK_EXPOSURE)
_NET_EXPOSURE: Final = int(Refusal.NET_EXPOSURE)
_CORRELATION: Final = int(Refusal.CORRELATION)
_DIVERSIFICATION: Final = int(Refusal.DIVERSIFICATION)
_VALUE_AT_RISK: Final = int(Refusal.VALUE_AT_RISK)


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


# As plain numbers, which kernels take.
_STATE_RULES: Final = tuple(map(int, STATE_RULES))
_ORDER_RULES: Final = tuple(map(int, ORDER_RULES))


@core_kernel
def check_state(core: Core, slot: int) -> int:
    """Record what the rules say that forbid any entry of this slot now; return who refuses."""
    row = core.checks[slot]
    row[_HALTED, 0], row[_HALTED, 1] = rules.halted(core)
    row[_REDUCING, 0], row[_REDUCING, 1] = rules.reducing(core)
    row[_DRAWDOWN_TIER, 0], row[_DRAWDOWN_TIER, 1] = rules.drawdown_tier(core)
    row[_UNKNOWN_EQUITY, 0], row[_UNKNOWN_EQUITY, 1] = rules.unknown_equity(core)
    row[_ACCOUNT_DRAWDOWN, 0], row[_ACCOUNT_DRAWDOWN, 1] = rules.account_drawdown(core)
    row[_DAILY_LOSS, 0], row[_DAILY_LOSS, 1] = rules.daily_loss(core)
    row[_UNSETTLED, 0], row[_UNSETTLED, 1] = rules.unsettled(core, slot)
    row[_SYMBOL_KILLED, 0], row[_SYMBOL_KILLED, 1] = rules.symbol_killed(core, slot)
    row[_RESTRICTED, 0], row[_RESTRICTED, 1] = rules.restricted(core, slot)
    row[_CLOSED_SESSION, 0], row[_CLOSED_SESSION, 1] = rules.closed_session(core, slot)
    row[_BARRED, 0], row[_BARRED, 1] = rules.barred(core, slot)
    row[_STALE_PRICE, 0], row[_STALE_PRICE, 1] = rules.stale_price(core, slot)
    row[_NO_CONVERSION, 0], row[_NO_CONVERSION, 1] = rules.no_conversion(core, slot)
    row[_SPREAD, 0], row[_SPREAD, 1] = rules.spread(core, slot)
    row[_COLLAR, 0], row[_COLLAR, 1] = rules.collar(core, slot)
    for rule in _STATE_RULES:
        if not row[rule, 0] <= row[rule, 1]:  # a NaN refuses
            return rule
    return _ACCEPTED


@core_kernel
def check_order(core: Core, slot: int, direction: int, lots: float) -> int:
    """Record what the rules say of an order of `lots`; return who refuses. Accepted ones count."""
    row = core.checks[slot]
    row[_ORDER_LOTS, 0], row[_ORDER_LOTS, 1] = rules.order_lots(core, slot, lots)
    row[_ORDER_VALUE, 0], row[_ORDER_VALUE, 1] = rules.order_value(core, slot, lots)
    row[_DECLARED_LOTS, 0], row[_DECLARED_LOTS, 1] = rules.declared_lots(core, slot, lots)
    row[_DECLARED_ORDERS, 0], row[_DECLARED_ORDERS, 1] = rules.declared_orders(core, slot)
    row[_REPEATED, 0], row[_REPEATED, 1] = rules.repeated(core, slot, direction)
    row[_THROTTLE, 0], row[_THROTTLE, 1] = rules.throttle(core)
    row[_SYMBOL_THROTTLE, 0], row[_SYMBOL_THROTTLE, 1] = rules.symbol_throttle(core, slot)
    row[_BOOK_EXPOSURE, 0], row[_BOOK_EXPOSURE, 1] = rules.book_exposure(core, slot, lots)
    row[_SYMBOL_EXPOSURE, 0], row[_SYMBOL_EXPOSURE, 1] = rules.symbol_exposure(core, slot, lots)
    row[_GROSS_EXPOSURE, 0], row[_GROSS_EXPOSURE, 1] = rules.gross_exposure(core, slot, lots)
    row[_NET_EXPOSURE, 0], row[_NET_EXPOSURE, 1] = rules.net_exposure(core, slot, direction, lots)
    row[_MARGIN, 0], row[_MARGIN, 1] = rules.margin(core, slot, lots)
    row[_CORRELATION, 0], row[_CORRELATION, 1] = rules.same_bet(core, slot, direction, lots)
    row[_DIVERSIFICATION, 0], row[_DIVERSIFICATION, 1] = rules.diversification(core, slot, lots)
    row[_VALUE_AT_RISK, 0], row[_VALUE_AT_RISK, 1] = rules.value_at_risk(
        core, slot, direction, lots
    )
    for rule in _ORDER_RULES:
        if not row[rule, 0] <= row[rule, 1]:
            return rule
    return _ACCEPTED


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
    refusal = check_state(core, slot)
    if refusal != _ACCEPTED:
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
    row[_NO_STOP, 0] = 1.0 if needs_stop and not stop_distance > 0.0 else 0.0
    row[_NO_STOP, 1] = row[_NO_RECORD, 1] = 0.0
    row[_STOP_TOO_CLOSE, 0], row[_STOP_TOO_CLOSE, 1] = nearest, least
    row[_NO_RECORD, 0] = 1.0 if method == VOLATILITY_TARGET and math.isnan(lots) else 0.0
    row[_VOLUME_BELOW_MIN, 0], row[_VOLUME_BELOW_MIN, 1] = lots, spec["volume_min_lots"]
    if row[_NO_STOP, 0] != 0.0:
        return _NO_STOP
    if not nearest > least:
        return _STOP_TOO_CLOSE
    if row[_NO_RECORD, 0] != 0.0:
        return _NO_RECORD
    if not lots > 0.0:
        return _VOLUME_BELOW_MIN
    refusal = check_order(core, slot, direction, lots)
    if refusal == _DECLARED_LOTS or refusal == _DECLARED_ORDERS or refusal == _REPEATED:
        bar_book(core, slot, refusal)
    if refusal != _ACCEPTED:
        return refusal
    add_exposure(core, s, direction * lots)
    sum_exposure(core)
    count_message(core, s, core.account[0]["batch_ns"])
    position["pending_direction"] = direction
    position["pending_lots"] = lots
    position["pending_price"] = price
    position["pending_stop_distance"] = stop_distance
    position["pending_target_distance"] = target_distance
    return _ACCEPTED


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
