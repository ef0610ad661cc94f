"""Who earned what: a slot's closed amounts in whole cents, split over its members.

Every amount is split by the shares that were fixed at the entry, rounded down to the cent; the
cents that are left go to the largest remainders, ties by file order (Hamilton's method). So the
parts add up to the account's amount exactly, always.
"""

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.decision.money import round_ccy
from engine.decision.state import Core
from engine.kernels.compiled import core_kernel

# 0.29 × 100 is 28.999…96 in binary: a part that is a whole number of cents must stay one.
_CENT_EPS: Final = 1e-9
# Remainders are compared in these parts of a cent: thirds that were added up differently are equal.
_REMAINDERS: Final = 1e6


@core_kernel
def remainder(exact: float) -> float:
    """Return what a part is above its whole cents, in whole `_REMAINDERS`."""
    return float(np.rint((exact - math.floor(exact + _CENT_EPS)) * _REMAINDERS))


@core_kernel
def part_cents(cents: int, shares: npt.NDArray[np.float64], member: int, taken: int) -> int:
    """Return one member's part of `cents` ≥ 0 under `shares` ((n,), Σ 1 or all 0).

    `taken` is Σ of all members' whole parts; who has the largest remainders gets one more each.
    """
    exact = cents * shares[member]
    whole = math.floor(exact + _CENT_EPS)
    if shares[member] <= 0.0:
        return 0
    own = remainder(exact)
    rank = 0
    for other in range(len(shares)):
        if other == member or shares[other] <= 0.0:
            continue
        rest = remainder(cents * shares[other])
        if rest > own or (rest == own and other < member):
            rank += 1
    return int(whole + (1 if rank < cents - taken else 0))


@core_kernel
def whole_cents(cents: int, shares: npt.NDArray[np.float64]) -> int:
    """Return Σ of the members' parts of `cents`, each rounded down."""
    total = 0
    for member in range(len(shares)):
        if shares[member] > 0.0:
            total += math.floor(cents * shares[member] + _CENT_EPS)
    return int(total)


@core_kernel
def in_cents(amount_ccy: float, digits: int) -> tuple[int, float]:
    """Return a rounded amount in whole cents ≥ 0, and how many of them make 1, with its sign."""
    scale = 10.0**digits
    return round(abs(amount_ccy) * scale), -scale if amount_ccy < 0.0 else scale


@core_kernel
def split_ccy(
    amount_ccy: float,
    shares: npt.NDArray[np.float64],
    digits: int,
    parts_ccy: npt.NDArray[np.float64],
) -> None:
    """Write each member's part of a rounded amount into `parts_ccy`, both (n,)."""
    cents, per_ccy = in_cents(amount_ccy, digits)
    taken = whole_cents(cents, shares)
    for member in range(len(shares)):
        parts_ccy[member] = part_cents(cents, shares, member, taken) / per_ccy + 0.0


@core_kernel
def book_result(
    core: Core, slot: int, profit_ccy: float, commission_ccy: float, swap_ccy: float
) -> None:
    """Add closed amounts to the slot's sums and, split, to its members'; all in whole cents."""
    config = core.slots[slot]
    position = core.positions[slot]
    first = config["first_member"]
    last = first + config["n_members"]
    digits = core.limits[0]["currency_digits"]
    position["paid_commission_ccy"] = round_ccy(
        position["paid_commission_ccy"] + commission_ccy, digits
    )
    position["paid_swap_ccy"] = round_ccy(position["paid_swap_ccy"] + swap_ccy, digits)
    net_ccy = profit_ccy + commission_ccy + swap_ccy
    position["realised_ccy"] = round_ccy(position["realised_ccy"] + net_ccy, digits)
    shares = core.outputs["entry_share"][first:last]
    for amount in range(3):
        value_ccy = profit_ccy if amount == 0 else commission_ccy if amount == 1 else swap_ccy
        if value_ccy == 0.0:
            continue
        cents, per_ccy = in_cents(value_ccy, digits)
        taken = whole_cents(cents, shares)
        for m in range(first, last):
            output = core.outputs[m]
            if output["entry_share"] <= 0.0:
                continue
            part_ccy = part_cents(cents, shares, m - first, taken) / per_ccy
            output["realised_ccy"] = round_ccy(output["realised_ccy"] + part_ccy, digits)
            if amount == 1:
                output["paid_commission_ccy"] = round_ccy(
                    output["paid_commission_ccy"] + part_ccy, digits
                )
            elif amount == 2:
                output["paid_swap_ccy"] = round_ccy(output["paid_swap_ccy"] + part_ccy, digits)
