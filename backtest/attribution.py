"""Who earned what in a backtest: every trade's amounts in whole cents, split over its members.

The parts of a trade sum to its amounts, so members, books, symbols and account agree to the cent.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from backtest.simulate import Result
from engine.decision import read
from engine.decision.attribution import split_ccy
from engine.decision.money import CURRENCY_DIGITS, rounded_ccy
from engine.decision.state import Records
from engine.kernels.compiled import core_kernel
from engine.metrics import performance as metrics

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
# A trade's amounts by their names in reports: gross is before commission and swap.
AMOUNTS = {
    "gross_profit_ccy": "profit_ccy",
    "commission_ccy": "commission_ccy",
    "swap_ccy": "swap_ccy",
}


@core_kernel
def split_amounts(amounts: Floats, shares: Floats, digits: int, parts: Floats) -> None:
    """Split `amounts` (n_amounts, n) by `shares` (n, most) into `parts`, all in C order."""
    for a in range(amounts.shape[0]):
        for i in range(amounts.shape[1]):
            split_ccy(amounts[a, i], shares[i], digits, parts[a, i])


def parts_ccy(result: Result) -> Floats:
    """Return each member's part of each trade's AMOUNTS, (3, n_trades, most members), in cents."""
    trades = result.trades
    out = np.zeros((len(AMOUNTS), *result.shares.shape))
    split_amounts(amounts_ccy(trades), np.ascontiguousarray(result.shares), CURRENCY_DIGITS, out)
    return out


def amounts_ccy(trades: Records) -> Floats:
    """Return the AMOUNTS of trades, (3, n), in cents."""
    return rounded_ccy([trades[name] for name in AMOUNTS.values()], CURRENCY_DIGITS)


def money(values: Floats) -> float:
    """Return a sum of cents as cents: 0.0 stays 0.0."""
    scale = 10.0**CURRENCY_DIGITS
    return float(np.rint(values * scale).sum() / scale) + 0.0  # whole numbers add up exactly


def rows_by(owners: Integers, n_owners: int) -> list[Integers]:
    """Return each owner's rows, in order; `owners` (n,) numbers them from 0."""
    order = np.argsort(owners, kind="stable")
    return np.split(order, np.searchsorted(owners[order], np.arange(1, n_owners)))


def figures(parts: Floats) -> dict[str, Any]:
    """Return the figures of some trades' amounts or parts, (3, n): sums of cents, and rates."""
    profit, commission, swap = parts
    net = rounded_ccy(profit + commission + swap, CURRENCY_DIGITS)
    rate, factor = metrics.win_rate_frac(net), metrics.profit_factor(net)
    return {
        "trades_count": parts.shape[1],
        "gross_profit_ccy": money(profit),
        "commission_ccy": money(commission),
        "swap_ccy": money(swap),
        "net_profit_ccy": money(net),
        "win_rate_frac": None if math.isnan(rate) else rate,
        "profit_factor": None if math.isnan(factor) else factor,
    }


def strategies(result: Result) -> list[dict[str, Any]]:
    """Return each member's parts, and beside them its shadow record, in file order.

    `shadow` is what it would have earned alone, voting or not, in units of risk: trades, their sum
    and mean, and the deepest fall of its daily results (of the last 64 days).
    """
    parts = parts_ccy(result)
    slots = result.compiled.slots
    out = []
    for slot, rows in zip(slots, rows_by(result.trades["slot"], len(slots)), strict=True):
        for column, member in enumerate(slot.members):
            own = rows[result.shares[rows, column] > 0.0]
            out.append(
                {
                    "strategy": result.compiled.strategies[member].name,
                    "book": slot.book.name,
                    "symbol": slot.symbol,
                    **figures(parts[:, own, column]),
                    "shadow": _shadow(result, member),
                }
            )
    return out


def _shadow(result: Result, member: int) -> dict[str, Any]:
    record = read.member(result.core.outputs, member)
    n_trades, total_r = record.shadow_trades, record.shadow_r
    curve_r = np.cumsum(np.nan_to_num(result.core.days[:, member]))
    highs_r = np.maximum(np.maximum.accumulate(curve_r), 0.0)
    return {
        "trades_count": n_trades,
        "total_r": total_r,
        "mean_r": total_r / n_trades if n_trades else None,
        "max_drawdown_r": float(np.max(highs_r - curve_r)),
    }


def attribution_table(result: Result) -> dict[str, Any]:
    """Return one row a trade and member with a part in it, as named columns.

    `trade` is the row of the trades file, from 1; amounts are in cents.
    """
    parts = parts_ccy(result)
    trade, column = np.nonzero(result.shares > 0.0)
    slots, names = result.compiled.slots, [s.name for s in result.compiled.strategies]
    owner = result.trades["slot"][trade].tolist()
    rows = dict(zip(AMOUNTS, parts[:, trade, column], strict=True))
    net = rounded_ccy(sum(rows.values()), CURRENCY_DIGITS)
    return {
        "trade": trade + 1,
        "book": [slots[s].book.name for s in owner],
        "strategy": [
            names[slots[s].members[c]] for s, c in zip(owner, column.tolist(), strict=True)
        ],
        "share_frac": result.shares[trade, column],
        **rows,
        "net_profit_ccy": net,
    }
