"""Stops that follow the price: trailing behind the best one, or to the entry once it has paid.

A stop only ever moves toward profit. It is moved at batches, after the entries, by the bars closed
by then: the bar that begins at the batch is the first to meet it.
"""

from typing import Final

import numpy as np

from engine.decision.allocation.shadow import narrow_levels
from engine.decision.money import round_price
from engine.decision.state import Core, Floats, Integers
from engine.kernels.compiled import core_kernel

# Distances of prices on their digits are whole points but for the last bits.
_POINTS_EPS: Final = 1e-3


@core_kernel
def follow_bar(core: Core, symbol: int, high_bid: float, low_bid: float, spread: float) -> None:
    """Take a closed bar's best price, on the closing side, for positions whose stop moves."""
    if core.work[symbol]["moving"] == 0:
        return
    for slot in range(len(core.slots)):
        position = core.positions[slot]
        if core.slots[slot]["symbol"] != symbol or position["direction"] == 0:
            continue
        if position["direction"] > 0:
            position["best_price"] = max(position["best_price"], high_bid)
        else:
            low_ask = round_price(low_bid + spread, core.symbols[symbol]["digits"])
            position["best_price"] = min(position["best_price"], low_ask)


@core_kernel
def choose_stops(core: Core, moved: Integers, stops: Floats) -> int:
    """Write the slots whose stop moves now into `moved`, and where to; return how many.

    `moved` (n_slots,) and `stops` (n_slots,). Nothing is changed: `move_stop` does that, in live
    once the broker has it.
    """
    n = 0
    if core.work[-1]["moving"] == 0:
        return n
    for slot in range(len(core.slots)):
        stop = moved_stop(core, slot)
        if not np.isnan(stop):
            moved[n], stops[n] = slot, stop
            n += 1
    return n


@core_kernel
def moved_stop(core: Core, slot: int) -> float:
    """Return where a slot's stop belongs now; NaN to leave it where it is.

    It needs a fresh quote, the contract's distance to it, of the target too, and a way of
    `step_points`.
    """
    config, position = core.slots[slot], core.positions[slot]
    direction = position["direction"]
    if direction == 0 or position["close_reason"] or position["unsettled"]:
        return np.nan
    quote = core.quotes[config["symbol"]]
    if not quote["fresh"] or position["entry_ns"] == core.account[0]["batch_ns"]:
        return np.nan
    spec = core.symbols[config["symbol"]]
    point = spec["point"]
    entry, best = position["entry_price"], position["best_price"]
    gain_points = direction * (best - entry) / point + _POINTS_EPS
    # Prices times direction: larger is better on both sides.
    wanted = -np.inf
    if config["trail_points"] > 0.0 and gain_points >= config["trail_from_points"]:
        wanted = direction * best - config["trail_points"] * point
    if config["break_even_points"] > 0.0 and gain_points >= config["break_even_points"]:
        wanted = max(wanted, direction * entry + config["break_even_plus_points"] * point)
    if wanted == -np.inf:
        return np.nan
    stop = round_price(direction * wanted, spec["digits"])
    way_points = direction * (stop - position["stop"]) / point + _POINTS_EPS
    if way_points < max(config["step_points"], 1.0):  # without a stop there is no way: NaN
        return np.nan
    near = quote["bid"] if direction > 0 else quote["ask"]
    least_points = max(spec["stops_level_points"], 1.0)
    if direction * (near - stop) / point + _POINTS_EPS < least_points:
        return np.nan
    # A change is judged whole: a broker refuses it for a target that is too near by now.
    if direction * (position["target"] - near) / point + _POINTS_EPS < least_points:
        return np.nan  # without a target this is NaN, which is not below
    return float(stop)


@core_kernel
def move_stop(core: Core, slot: int, stop: float) -> None:
    """Move a slot's stop to where the broker has it now."""
    position = core.positions[slot]
    position["stop"] = stop
    symbol = core.slots[slot]["symbol"]
    narrow_levels(core, symbol, position["direction"], stop, position["target"])
