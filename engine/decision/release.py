"""How drawdown tier 2 ends by itself: `[risk] drawdown_release`, a number of server days.

A flat account cannot recover, so that tier 2 would last for ever without somebody's word.
docs/SEMANTICS.md §7, docs/decisions/0043-a-flat-account-is-released.md.
"""

from typing import Final, NamedTuple

from engine.decision.state import Core
from engine.kernels.compiled import core_kernel

STOPPED_TIER: Final = 2


class Release(NamedTuple):
    """A high-water mark that was lowered at the day that began at `time_ns`, and both marks."""

    time_ns: int
    before_ccy: float
    after_ccy: float


def released(core: Core, time_ns: int, before_ccy: float) -> Release | None:
    """Return the release since the high-water mark was `before_ccy`, at the day's beginning."""
    after_ccy = float(core.account[0]["high_water_ccy"])
    return Release(time_ns, before_ccy, after_ccy) if after_ccy < before_ccy else None


@core_kernel
def is_flat(core: Core) -> bool:
    """Tell whether no slot holds a position or has an order whose outcome is not known yet."""
    for i in range(len(core.slots)):
        position = core.positions[i]
        if position["direction"] != 0 or position["pending_direction"] != 0:
            return False
        if position["unsettled"]:
            return False
    return True


@core_kernel
def is_stopped(core: Core) -> bool:
    """Tell whether the account is flat in tier 2, which its equity can never leave."""
    return bool(core.account[0]["tier"] == STOPPED_TIER and is_flat(core))


@core_kernel
def begin_stopped_day(core: Core) -> None:
    """Count a server day that begins flat in tier 2; release the drawdown after enough of them.

    The first such beginning counts no day, since the day before it was not wholly spent there.
    The mark is set to the balance, which is the equity of a flat account; the account's mark falls
    by as much, so that what others have lost still counts. The next mark releases the tier.
    """
    account = core.account[0]
    if not is_stopped(core):
        account["stopped_days"] = 0
        return
    account["stopped_days"] += 1
    days = core.limits[0]["drawdown_release_days"]
    balance = account["balance_ccy"]
    if not 0.0 < days < account["stopped_days"] or not balance > 0.0:
        return
    account["stopped_days"] = 0
    account_high = account["account_high_ccy"] - (account["high_water_ccy"] - balance)
    whole = balance + account["external_ccy"]
    if whole > account_high:  # what others made may be unknown: NaN
        account_high = whole
    account["high_water_ccy"] = balance
    account["account_high_ccy"] = account_high


@core_kernel
def leave_stopped_days(core: Core) -> None:
    """Begin the count anew where the account is no longer flat in tier 2; after each mark."""
    account = core.account[0]
    if account["stopped_days"] != 0 and not is_stopped(core):
        account["stopped_days"] = 0
