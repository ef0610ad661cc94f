"""What the account may do now, and why: ACTIVE, REDUCING or HALTED, from the core's own flags."""

import math
from typing import Literal

from engine.decision.state import Core
from engine.model.reasons import TradingState

Standing = Literal["ACTIVE", "REDUCING", "HALTED"]


def standing(
    core: Core, *, flattening: bool, reason: str, withheld: str = ""
) -> tuple[Standing, str]:
    """Return the trading state with its reason.

    `reason` is who halted or what is in doubt; `withheld`: what keeps entries out for now.
    """
    account = core.account[0]
    if account["tier"] >= 3:
        return "HALTED", "drawdown tier 3: flattened; resume by an operator"
    if flattening:
        return "HALTED", f"flattening: {int((core.positions['direction'] != 0).sum())} left"
    if account["trading"] == TradingState.HALTED:
        return "HALTED", reason or "entries halted by an operator"
    if account["trading"] == TradingState.REDUCING:
        return "REDUCING", reason or "in doubt: no new entries"
    if withheld:
        return "REDUCING", withheld
    if account["tier"] == 2:
        return "REDUCING", "drawdown tier 2: no new entries"
    if not 0.0 < account["equity_ccy"] < math.inf:
        known = "gone" if account["equity_ccy"] <= 0.0 else "unknown: a position has no price"
        return "REDUCING", f"equity is {known}; no new entries"
    return "ACTIVE", ""
