"""The broker's stop-out: below a margin level it closes the largest loser, and looks again.

A backtest does what the simulated broker does at the same quotes, to the cent: profit and swap of
each position, their sum and the margin are rounded as a terminal shows them. Live the broker does
it, and its deals say so.
"""

import math
from typing import Final

from engine.decision.account import open_profit_ccy
from engine.decision.money import round_ccy
from engine.decision.state import Core
from engine.kernels.compiled import core_kernel

# More than what rounding adds to a position's profit and swap, in any currency.
_ROUNDED_CCY: Final = 1.0


@core_kernel
def margin_ccy(
    lots: float, contract_size: float, bid: float, conversion: float, leverage: float
) -> float:
    """Return what the broker blocks for `lots`, unrounded."""
    return lots * contract_size * bid * conversion / leverage


@core_kernel
def is_stopped_out(equity_ccy: float, margin_ccy: float, level_frac: float) -> bool:
    """Tell whether equity is below so much of the margin."""
    return equity_ccy < margin_ccy * level_frac


@core_kernel
def may_be_stopped_out(core: Core, gross_ccy: float) -> bool:
    """Tell, from what all positions are worth, whether it is worth while to look closely.

    Equity is as marked; the margin is at most that of both sides together.
    """
    limits = core.limits[0]
    slack_ccy = _ROUNDED_CCY * (len(core.slots) + 2)
    most_ccy = gross_ccy / limits["leverage"] * limits["stop_out_frac"]
    return gross_ccy > 0.0 and not core.account[0]["equity_ccy"] - slack_ccy > most_ccy


@core_kernel
def broker_figures(core: Core) -> tuple[float, float]:
    """Return (equity, margin) as the broker has them, rounded.

    Of a symbol's two sides the larger one is blocked.
    """
    digits = core.limits[0]["currency_digits"]
    for s in range(len(core.symbols)):
        core.work[s]["long_lots"] = core.work[s]["short_lots"] = 0.0
    open_ccy = 0.0
    for slot in range(len(core.slots)):
        position = core.positions[slot]
        if position["direction"] == 0:
            continue
        work = core.work[core.slots[slot]["symbol"]]
        if position["direction"] > 0:
            work["long_lots"] += position["lots"]
        else:
            work["short_lots"] += position["lots"]
        open_ccy += round_ccy(open_profit_ccy(core, slot), digits)
        open_ccy += round_ccy(position["swap_ccy"], digits)
    equity_ccy = round_ccy(core.account[0]["balance_ccy"] + round_ccy(open_ccy, digits), digits)
    margin = 0.0
    for s in range(len(core.symbols)):
        lots = max(core.work[s]["long_lots"], core.work[s]["short_lots"])
        if lots > 0.0:
            quote = core.quotes[s]
            margin += margin_ccy(
                lots,
                core.symbols[s]["contract_size"],
                quote["bid"],
                quote["conversion"],
                core.limits[0]["leverage"],
            )
    return equity_ccy, round_ccy(margin, digits)


@core_kernel
def stopped_out_slot(core: Core) -> int:
    """Return the slot that the broker closes now at its quote, −1 for none.

    That is the largest loss among those with a fresh quote, of equal ones the oldest.
    """
    equity_ccy, blocked_ccy = broker_figures(core)
    if not is_stopped_out(equity_ccy, blocked_ccy, core.limits[0]["stop_out_frac"]):
        return -1
    worst = -1
    least_ccy = math.inf
    since_ns = 0
    for slot in range(len(core.slots)):
        position = core.positions[slot]
        if position["direction"] == 0 or not core.quotes[core.slots[slot]["symbol"]]["fresh"]:
            continue
        profit = round_ccy(open_profit_ccy(core, slot), core.limits[0]["currency_digits"])
        if profit < least_ccy or (profit == least_ccy and position["entry_ns"] < since_ns):
            worst, least_ccy, since_ns = slot, profit, position["entry_ns"]
    return worst
