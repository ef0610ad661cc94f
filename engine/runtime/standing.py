"""What the account may do now, and why: ACTIVE, REDUCING or HALTED, from the core's own flags."""

import math
from typing import Literal

from engine.decision.account import TIER_RELEASE_FRAC
from engine.decision.release import STOPPED_TIER, is_flat
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
        return "REDUCING", f"drawdown tier 2: no new entries{way_out(core)}"
    if not 0.0 < account["equity_ccy"] < math.inf:
        known = "gone" if account["equity_ccy"] <= 0.0 else "unknown: a position has no price"
        return "REDUCING", f"equity is {known}; no new entries"
    fallen, most = account["account_drawdown_frac"], core.limits[0]["account_drawdown_max_frac"]
    if not fallen <= most:
        text = f"account drawdown {fallen:.2%} where {most:.2%} is the most: no new entries"
        return "REDUCING", text
    return "ACTIVE", ""


def way_out(core: Core) -> str:
    """Return how a flat account leaves tier 2, with a semicolon before; "" while something is held.

    Its equity cannot move any more, so that nothing but time or an operator's word ends the tier.
    """
    account, limits = core.account[0], core.limits[0]
    if account["tier"] != STOPPED_TIER or not is_flat(core):
        return ""
    out = "; nothing is held, so equity cannot recover: `resume --rebase` measures from today's"
    days = int(limits["drawdown_release_days"])
    if days:
        left = max(days + 1 - int(account["stopped_days"]), 1)
        out += f", or it is released in {left} server day(s)"
    return out


def kept_out(core: Core, currency: str) -> str:
    """Return what keeps every entry out though nobody halted, with its figures; "" for nothing."""
    account, limits = core.account[0], core.limits[0]
    equity = float(account["equity_ccy"])
    if not 0.0 < equity < math.inf:
        known = "gone" if equity <= 0.0 else "unknown: a position has no price"
        return f"equity is {known}"
    if account["tier"] == STOPPED_TIER:
        stop_frac = float(limits["drawdown_stop_entries_frac"])
        return (
            f"drawdown tier 2: equity {equity:,.2f} {currency} is "
            f"{float(account['drawdown_frac']):.2%} below the high-water mark "
            f"{float(account['high_water_ccy']):,.2f}, entries come back below "
            f"{TIER_RELEASE_FRAC * stop_frac:.2%}{way_out(core)}"
        )
    fallen, most = (
        float(account["account_drawdown_frac"]),
        float(limits["account_drawdown_max_frac"]),
    )
    if not fallen <= most:
        whole = equity + float(account["external_ccy"])
        return (
            f"account drawdown: {whole:,.2f} {currency}, others' results included, is "
            f"{fallen:.2%} below its high-water mark {float(account['account_high_ccy']):,.2f}, "
            f"where {most:.2%} is the most; `resume --rebase` measures from today's"
        )
    return ""
