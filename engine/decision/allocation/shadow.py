"""Shadow records: what each member would have earned alone, costs included, in units of risk.

A member's shadow trades like a book of one, whether the member is enabled or not: the same quotes,
spread, commission, swaps, stops, targets and spent rule; no portfolio limits and no size. One
unit, 1 R, is the loss at its stop, or 1 % of the entry price without one.
Bars are matched when they have closed, so that live and backtest see them alike.
"""

from typing import Final

import numpy as np

from engine.decision.matching import NO_HIT, match_bar
from engine.decision.money import round_price
from engine.decision.state import N_DAYS, Core
from engine.kernels.compiled import core_kernel

# A position without a stop risks this much of its price.
UNIT_WITHOUT_STOP_FRAC: Final = 0.01

_EXIT: Final = 1
_ENTRY: Final = 2


@core_kernel
def step_shadow(core: Core, member: int, due: int) -> None:
    """Leave and enter as a book of one would with the member's output now.

    An exit waits for the next fresh quote, an entry for the next bar of the member's own at which
    the quote is fresh. A second call at the same batch does nothing.
    """
    config = core.members[member]
    output = core.outputs[member]
    quote = core.quotes[config["symbol"]]
    direction = output["direction"]
    held = output["shadow_direction"]
    wait = 0
    if held != 0 and (output["shadow_pending"] == _EXIT or direction != held):
        if quote["fresh"]:
            close_shadow(core, member, quote["bid"] if held > 0 else quote["ask"])
            held = 0
        else:
            wait = _EXIT
    if held == 0 and direction != 0 and not output["shadow_spent"]:
        if due and quote["fresh"] and quote["conversion"] > 0.0:
            _open(core, member)
        else:
            wait = _ENTRY
    if wait != output["shadow_pending"]:
        before = output["shadow_pending"]
        core.work[config["symbol"]]["pending"] += (wait != 0) - (before != 0)
        output["shadow_pending"] = wait


@core_kernel
def _open(core: Core, member: int) -> None:
    output = core.outputs[member]
    s = core.members[member]["symbol"]
    spec = core.symbols[s]
    quote = core.quotes[s]
    direction = output["direction"]
    price = quote["ask"] if direction > 0 else quote["bid"]
    has_stop = output["stop_distance"] > 0.0
    output["shadow_direction"] = direction
    output["shadow_price"] = price
    output["shadow_stop"] = round_price(price - direction * output["stop_distance"], spec["digits"])
    output["shadow_target"] = round_price(
        price + direction * output["target_distance"], spec["digits"]
    )
    output["shadow_unit"] = output["stop_distance"] if has_stop else UNIT_WITHOUT_STOP_FRAC * price
    per_unit = spec["contract_size"] * quote["conversion"]
    output["shadow_cost"] = 2.0 * spec["commission_per_lot_ccy"] / per_unit
    output["shadow_swap"] = 0.0
    narrow_levels(core, s, direction, output["shadow_stop"], output["shadow_target"])


@core_kernel
def result_r(core: Core, member: int, price: float) -> float:
    """Return what a member's shadow position makes if it closes at `price`, in R."""
    output = core.outputs[member]
    gain = (price - output["shadow_price"]) * output["shadow_direction"]
    return float((gain + output["shadow_swap"] - output["shadow_cost"]) / output["shadow_unit"])


@core_kernel
def close_shadow(core: Core, member: int, price: float) -> None:
    """Book a member's shadow position at `price` and flatten it."""
    output = core.outputs[member]
    r = result_r(core, member, price)
    output["shadow_r"] += r
    output["shadow_square_r"] += r * r
    output["shadow_trades"] += 1
    output["shadow_direction"] = 0
    output["shadow_stop"] = output["shadow_target"] = np.nan


@core_kernel
def pursue_shadows(core: Core) -> None:
    """Step the shadows that wait for a quote; call once the batch's signals are taken."""
    for s in range(len(core.symbols)):
        work = core.work[s]
        if work["pending"] == 0 or not core.quotes[s]["fresh"]:
            continue
        for i in range(work["first"], work["stop"]):
            m = core.by_symbol[i]
            if core.outputs[m]["shadow_pending"]:
                step_shadow(core, m, (work["closed"] >> core.members[m]["timeframe"]) & 1)


@core_kernel
def match_shadows(
    core: Core, symbol: int, open_bid: float, high_bid: float, low_bid: float, spread: float
) -> None:
    """Match the shadow positions of a symbol inside a closed bar, `spread` in price units."""
    work = core.work[symbol]
    digits = core.symbols[symbol]["digits"]
    for i in range(work["first"], work["stop"]):
        m = core.by_symbol[i]
        output = core.outputs[m]
        if output["shadow_direction"] == 0:
            continue
        hit, price = match_bar(
            output["shadow_direction"],
            output["shadow_stop"],
            output["shadow_target"],
            open_bid,
            high_bid,
            low_bid,
            spread,
            digits,
        )
        if hit != NO_HIT:
            close_shadow(core, m, price)
            output["shadow_spent"] = 1
            if output["shadow_pending"]:
                work["pending"] -= 1
                output["shadow_pending"] = 0


@core_kernel
def roll_shadows(core: Core) -> None:
    """End a day: move `days` up by one and write each member's result since its day before.

    Open positions count at the last quotes, on the side they would close on. A member whose
    market was closed has no day: NaN, and what happened meanwhile counts in its next one.
    """
    for m in range(len(core.members)):
        output = core.outputs[m]
        for day in range(1, N_DAYS):
            core.days[day - 1, m] = core.days[day, m]
        core.days[N_DAYS - 1, m] = np.nan
        quote = core.quotes[core.members[m]["symbol"]]
        if not quote["traded"]:
            continue
        held = output["shadow_direction"]
        equity_r = output["shadow_r"]
        if held != 0:
            equity_r += result_r(core, m, quote["bid"] if held > 0 else quote["ask"])
        core.days[N_DAYS - 1, m] = equity_r - output["shadow_day_r"]
        output["shadow_days"] += 1
        output["shadow_day_r"] = equity_r
        output["shadow_high_r"] = max(output["shadow_high_r"], equity_r)


@core_kernel
def narrow_levels(core: Core, symbol: int, direction: int, stop: float, target: float) -> None:
    """Take a position's levels into the bounds beyond which no level lies; NaN is none."""
    work = core.work[symbol]
    if direction > 0:
        if stop > work["long_stop"]:
            work["long_stop"] = stop
        if target < work["long_target"]:
            work["long_target"] = target
    else:
        if stop < work["short_stop"]:
            work["short_stop"] = stop
        if target > work["short_target"]:
            work["short_target"] = target


@core_kernel
def bound_levels(core: Core, symbol: int) -> None:
    """Work the bounds of a symbol's stops and targets out anew, shadows' and slots'."""
    work = core.work[symbol]
    work["long_stop"] = work["short_target"] = -np.inf
    work["long_target"] = work["short_stop"] = np.inf
    for i in range(work["first"], work["stop"]):
        output = core.outputs[core.by_symbol[i]]
        if output["shadow_direction"] != 0:
            narrow_levels(
                core,
                symbol,
                output["shadow_direction"],
                output["shadow_stop"],
                output["shadow_target"],
            )
    for slot in range(len(core.slots)):
        position = core.positions[slot]
        if core.slots[slot]["symbol"] == symbol and position["direction"] != 0:
            narrow_levels(core, symbol, position["direction"], position["stop"], position["target"])


@core_kernel
def renew_work(core: Core) -> None:
    """Work out what is not saved: levels' bounds and waiting shadows; after loading a state."""
    for s in range(len(core.symbols)):
        core.work[s]["pending"] = 0
        core.work[s]["closed"] = 0
        bound_levels(core, s)
    for m in range(len(core.members)):
        if core.outputs[m]["shadow_pending"]:
            core.work[core.members[m]["symbol"]]["pending"] += 1
