"""Exits: which slots close now, and what closing does to the ledger."""

from typing import Final

from engine.decision.account import book_cash
from engine.decision.attribution import book_result
from engine.decision.money import commission_ccy, profit_ccy, round_ccy, round_lots
from engine.decision.signals import combine, is_due, leaves
from engine.decision.state import Core
from engine.kernels.compiled import core_kernel
from engine.model.reasons import ExitReason

_SIGNAL: Final = int(ExitReason.SIGNAL)


@core_kernel
def wants_exit(core: Core, slot: int) -> int:
    """Combine a due slot and return why it must close now, 0 if it need not or cannot.

    A decided exit is a goal: it waits for the next quote and is renewed until the slot is flat.
    """
    position = core.positions[slot]
    if position["dirty"] and is_due(core, slot):
        combine(core, slot)
        if position["direction"] != 0 and position["close_reason"] == 0 and leaves(core, slot):
            position["close_reason"] = _SIGNAL
    if position["direction"] == 0 or position["unsettled"]:
        return 0
    if not core.quotes[core.slots[slot]["symbol"]]["fresh"]:
        return 0
    return int(position["close_reason"])


@core_kernel
def exit_price(core: Core, slot: int) -> float:
    """Return the quote a slot closes at: long on bid, short on ask."""
    quote = core.quotes[core.slots[slot]["symbol"]]
    return float(quote["bid"] if core.positions[slot]["direction"] > 0 else quote["ask"])


@core_kernel
def closing_amounts(core: Core, slot: int, price: float) -> tuple[float, float, float]:
    """Return (profit, commission, swap) of the deal that closes a slot at `price`, rounded."""
    position = core.positions[slot]
    s = core.slots[slot]["symbol"]
    spec = core.symbols[s]
    digits = core.limits[0]["currency_digits"]
    profit = profit_ccy(
        position["direction"],
        position["lots"],
        position["entry_price"],
        price,
        spec["digits"],
        spec["contract_size"],
        core.quotes[s]["conversion"],
    )
    commission = commission_ccy(position["lots"], spec["commission_per_lot_ccy"], digits)
    return round_ccy(profit, digits), commission, round_ccy(position["swap_ccy"], digits)


@core_kernel
def apply_close(
    core: Core,
    slot: int,
    reason: int,
    deal_profit_ccy: float,
    deal_commission_ccy: float,
    deal_swap_ccy: float,
) -> None:
    """Book a closing deal, attribute it and flatten the slot.

    After anything but its own signal a slot is spent: it must re-arm before it enters again.
    """
    position = core.positions[slot]
    account = core.account[0]
    account["balance_ccy"] = round_ccy(
        account["balance_ccy"] + deal_profit_ccy + deal_commission_ccy + deal_swap_ccy,
        core.limits[0]["currency_digits"],
    )
    position["n_trades"] += 1
    book_result(
        core, slot, deal_profit_ccy, position["commission_ccy"] + deal_commission_ccy, deal_swap_ccy
    )
    position["dirty"] = 1
    if reason != _SIGNAL:
        position["spent"] = 1
        position["spent_direction"] = position["direction"]
    position["direction"] = 0
    position["lots"] = 0.0
    position["swap_ccy"] = 0.0
    position["commission_ccy"] = 0.0
    position["ticket"] = 0
    position["close_reason"] = 0
    position["best_price"] = float("nan")
    position["stop"] = float("nan")
    position["target"] = float("nan")


def reduce_position(
    core: Core,
    slot: int,
    left_lots: float,
    deal_profit_ccy: float,
    deal_commission_ccy: float,
    deal_swap_ccy: float,
) -> None:
    """Book a deal that closed a part and attribute it; `left_lots` > 0 stay open. Python only."""
    position = core.positions[slot]
    position["swap_ccy"] *= left_lots / position["lots"]
    position["lots"] = float(round_lots(left_lots))
    book_cash(core, deal_profit_ccy, deal_commission_ccy, deal_swap_ccy)
    book_result(core, slot, deal_profit_ccy, deal_commission_ccy, deal_swap_ccy)
