"""Position sizing: what an entry may risk, in lots; exact volume steps.

Fixed fraction: the largest lots whose stop-out costs at most `risk_frac` of equity.
Volatility target: the position moves `volatility_frac` of equity in a usual day.
Kelly: as fixed fraction, with a fraction of the growth-optimal f = mean ÷ variance of the agreeing
members' shadow results in R; the mean is shrunk to 0 by n ÷ (n + `kelly_shrink_trades`). A shadow
record begins with the run, so what parameters were fitted to before never counts; below
`kelly_min_trades` it is `risk_frac`. Source: E. O. Thorp (2006), "The Kelly Criterion", §3.
"""

import math
from typing import Final

from engine.decision.covariance import daily_volatility_frac
from engine.decision.money import floor_lots
from engine.decision.state import FIXED_LOTS, KELLY, VOLATILITY_TARGET, Core
from engine.kernels.compiled import core_kernel

TIER_1_SIZE_FRAC: Final = 0.5
ALLOCATION_MAX: Final = 3.0
_LEAST_FRAC: Final = 1e-9


@core_kernel
def kelly_risk_frac(core: Core, slot: int) -> float:
    """Return what the agreeing members' shadow records say to risk at the stop; 0 for nothing."""
    config = core.slots[slot]
    first = config["first_member"]
    n_trades = 0.0
    mean_r = 0.0
    square_r = 0.0
    for m in range(first, first + config["n_members"]):
        output = core.outputs[m]
        share = output["entry_share"]
        count = output["shadow_trades"]
        if share > 0.0 and count > 0:
            n_trades += share * count
            mean_r += share * output["shadow_r"] / count
            square_r += share * output["shadow_square_r"] / count
    if n_trades < config["kelly_min_trades"] * (1.0 - _LEAST_FRAC):  # thirds of 3, 4 and 2 are 3
        return float(min(config["risk_frac"], config["kelly_max_frac"]))
    variance = square_r - mean_r * mean_r
    # Results that are all alike, or add up to nothing, differ from it in their last bits.
    if not (mean_r > _LEAST_FRAC * math.sqrt(square_r) and variance > _LEAST_FRAC * square_r):
        return 0.0
    shrunk_r = mean_r * n_trades / (n_trades + config["kelly_shrink_trades"])
    return float(min(config["kelly_frac"] * shrunk_r / variance, config["kelly_max_frac"]))


@core_kernel
def wanted_lots(core: Core, slot: int, stop_distance: float) -> float:
    """Return the lots that the slot's method asks for, unrounded; NaN where it has no record."""
    config = core.slots[slot]
    s = config["symbol"]
    quote = core.quotes[s]
    if config["sizing"] == FIXED_LOTS:
        return float(config["lots"])
    equity = core.account[0]["equity_ccy"]
    lot_ccy = core.symbols[s]["contract_size"] * quote["conversion"]
    if config["sizing"] == VOLATILITY_TARGET:
        moves_ccy = daily_volatility_frac(core, s) * quote["bid"] * lot_ccy
        # What never moved has no record of how far it moves.
        return (
            float(equity * config["volatility_frac"] / moves_ccy) if moves_ccy > 0.0 else math.nan
        )
    risk_frac = config["risk_frac"]
    if config["sizing"] == KELLY:
        risk_frac = kelly_risk_frac(core, slot)
    return float(equity * risk_frac / (stop_distance * lot_ccy))


@core_kernel
def sized_lots(core: Core, slot: int, stop_distance: float) -> float:
    """Return lots floored to the step, at most the symbol's maximum; 0.0 below its minimum.

    Allocation, the book's share over the equal share, multiplies; tier 1 halves. NaN where the
    method has no record to size by.
    """
    spec = core.symbols[core.slots[slot]["symbol"]]
    allocation = min(core.positions[slot]["allocation"], ALLOCATION_MAX)
    lots = wanted_lots(core, slot, stop_distance) * allocation
    if core.account[0]["tier"] == 1:
        lots *= TIER_1_SIZE_FRAC
    if math.isnan(lots):
        return math.nan
    most = spec["volume_max_lots"]
    lots = floor_lots(min(lots, most), spec["volume_step_lots"])
    if lots > most:  # a maximum a hair below a step
        lots = floor_lots(most - 0.5 * spec["volume_step_lots"], spec["volume_step_lots"])
    return lots if lots >= spec["volume_min_lots"] else 0.0
