"""What an operator or a supervisor may switch: members on and off, halts, flatten, resume.

Python callers only; each is a few assignments that depend on nothing else.
"""

import numpy as np

from engine.decision.state import Core
from engine.model.reasons import ExitReason


def disable(core: Core, member: int) -> None:
    """Take a member's vote; what is held stays, protected, until its exit."""
    core.outputs[member]["enabled"] = 0
    core.outputs[member]["waiting"] = 0


def quarantine(core: Core, member: int) -> None:
    """Disable a member that failed; enabling it again clears the mark."""
    disable(core, member)
    core.outputs[member]["quarantined"] = 1


def enable(core: Core, member: int) -> None:
    """Give a member its vote back, from its next change on."""
    if core.outputs[member]["enabled"] and not core.outputs[member]["killed"]:
        return
    core.outputs[member]["enabled"] = 1
    core.outputs[member]["waiting"] = 1
    core.outputs[member]["killed"] = 0
    core.outputs[member]["quarantined"] = 0


def kill(core: Core, member: int) -> int:
    """Disable a member and close what it alone holds; return its slot.

    A book of one closes at the next quote; a larger book decides anew without the vote.
    """
    disable(core, member)
    core.outputs[member]["killed"] = 1
    slot = int(core.members[member]["slot"])
    position = core.positions[slot]
    position["due"] = 1
    if core.slots[slot]["n_members"] == 1 and position["direction"] != 0:
        position["close_reason"] = int(ExitReason.KILL)
    return slot


def kill_held(core: Core) -> None:
    """Give every position whose members are all killed the goal to close.

    An order that was under way when the kill came is caught here once it is filled.
    """
    alive = np.zeros(len(core.slots), bool)
    alive[core.members["slot"][core.outputs["killed"] == 0]] = True
    held = (core.positions["direction"] != 0) & (core.positions["close_reason"] == 0)
    core.positions["close_reason"][held & ~alive] = int(ExitReason.KILL)


def halt_entries(core: Core) -> None:
    """Refuse entries until resumed; what is held stays protected."""
    core.account[0]["entries_halted"] = 1


def flatten(core: Core, reason: ExitReason = ExitReason.FLATTEN) -> None:
    """Halt entries and give every open position the goal to close."""
    halt_entries(core)
    open_slots = core.positions["direction"] != 0
    undecided = core.positions["close_reason"] == 0
    core.positions["close_reason"][open_slots & undecided] = int(reason)


def resume(core: Core, *, rebase: bool = False) -> None:
    """Lift halts; after tier 3 `rebase` sets the high-water mark to today's equity."""
    account = core.account[0]
    account["entries_halted"] = 0
    if account["tier"] >= 3:
        account["tier"] = 2
        account["halted_ns"] = 0
    if rebase and 0.0 < account["equity_ccy"] < np.inf:
        account["high_water_ccy"] = account["equity_ccy"]
        account["drawdown_frac"] = 0.0
