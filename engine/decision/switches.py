"""What an operator or a supervisor may switch: members on and off, halts, flatten, resume.

Python callers only; each is a few assignments that depend on nothing else.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from engine.decision.signals import combine, leaves, votes
from engine.decision.state import Core, Floats
from engine.model.reasons import ExitReason, TradingState


class Carried(NamedTuple):
    """What a slot's members say of its position.

    `n_voting` vote, `n_alive` are not killed; `net` is theirs; `leaves`: it is closed by them.
    """

    n_voting: int
    n_alive: int
    net: float
    leaves: bool


def disable(core: Core, member: int) -> None:
    """Take a member's vote; what is held stays, protected, until its exit."""
    core.outputs[member]["enabled"] = 0
    core.outputs[member]["waiting"] = 0
    _decide_anew(core, member)


def quarantine(core: Core, member: int) -> None:
    """Disable a member that failed; enabling it again clears the mark."""
    disable(core, member)
    core.outputs[member]["quarantined"] = 1


def enable(core: Core, member: int) -> None:
    """Give a member its vote back, from its next change on; its book may enter again."""
    output = core.outputs[member]
    book = core.slots["book"][int(core.members[member]["slot"])]
    core.positions["barred"][core.slots["book"] == book] = 0
    if output["enabled"] and not output["killed"] and not output["benched"]:
        return
    output["enabled"] = 1
    output["waiting"] = 1
    output["killed"] = 0
    output["quarantined"] = 0
    output["benched"] = 0
    output["shadow_high_r"] = output["shadow_day_r"]
    _decide_anew(core, member)


def switch_off(core: Core, member: int, *, killed: bool) -> None:
    """Take a member's vote; a killed one has no say in the exit either."""
    disable(core, member)
    core.outputs[member]["killed"] = core.outputs[member]["killed"] or killed


def bench(core: Core, member: int) -> None:
    """Take a member's vote for its shadow record's sake; what is held stays until its exit."""
    output = core.outputs[member]
    output["benched"] = 1
    output["benched_day"] = output["shadow_days"]
    _decide_anew(core, member)


def unbench(core: Core, member: int) -> None:
    """Give a member that proved itself again its vote back, from its next change on."""
    output = core.outputs[member]
    output["benched"] = 0
    output["waiting"] = 1
    # What benched it must not bench it again the next day.
    output["shadow_high_r"] = output["shadow_day_r"]
    _decide_anew(core, member)


def carried_without(core: Core, slot: int, members: Iterable[int], *, kill: bool) -> Carried:
    """Return how a slot's open position would fare without the votes of these members.

    By the slot's own rule, on copies: `core` stays as it is.
    """
    trial = core.replace(outputs=core.outputs.copy(), positions=core.positions.copy())
    for member in members:
        switch_off(trial, member, killed=kill)
    combine(trial, slot)
    first = int(core.slots[slot]["first_member"])
    everybody = range(first, first + int(core.slots[slot]["n_members"]))
    return Carried(
        n_voting=sum(votes(trial, member) for member in everybody),
        n_alive=sum(int(trial.outputs[member]["killed"] == 0) for member in everybody),
        net=float(trial.positions[slot]["net"]),
        leaves=bool(leaves(trial, slot)),
    )


def _decide_anew(core: Core, member: int) -> None:
    decide_anew(core, int(core.members[member]["slot"]))


def decide_anew(core: Core, slot: int) -> None:
    """Have a slot's members combined anew at its next decision."""
    core.positions[slot]["dirty"] = 1


def await_outcome(core: Core, slot: int, *, entry: bool, direction: int, lots: float) -> None:
    """Send nothing of a slot while an order's outcome is looked for.

    An `entry` of a flat slot counts in the rules of its book as if it had been filled.
    """
    position = core.positions[slot]
    position["unsettled"] = 1
    if entry and position["direction"] == 0:
        position["pending_direction"], position["pending_lots"] = direction, lots


def set_unsettled(core: Core, slot: int, unsettled: bool) -> None:
    """Say whether an order of a slot is still looked for."""
    core.positions[slot]["unsettled"] = int(unsettled)


def settle_all(core: Core) -> None:
    """Say that no order of any slot is looked for."""
    core.positions["unsettled"] = 0


@contextmanager
def without_wishes(core: Core, slots: Sequence[int]) -> Iterator[None]:
    """Decide entries inside it as if these slots wished none."""
    wishes = core.positions["wish"].copy()
    core.positions["wish"][list(slots)] = 0
    try:
        yield
    finally:
        core.positions["wish"] = wishes


def begin(core: Core, enabled: Sequence[bool], allocations: Sequence[float]) -> None:
    """Set what a portfolio file says of each member's vote and each slot's allocation."""
    core.outputs["enabled"] = enabled
    core.positions["allocation"] = allocations


def take_file_shares(core: Core, allocations: Sequence[float]) -> None:
    """Set the portfolio file's shares and slots' allocations; who is changed decides anew."""
    changed = core.outputs["share"] != core.members["share"]
    core.positions["dirty"][core.members["slot"][changed]] = 1
    core.outputs["share"] = core.members["share"]
    core.positions["allocation"] = allocations


def allocate_slots(core: Core, slots: Sequence[int], allocation: float) -> None:
    """Set the factor that multiplies the lots of slots."""
    core.positions["allocation"][list(slots)] = allocation


def share_out(core: Core, members: Sequence[int], shares: Floats) -> None:
    """Set members' shares of their book, (n_members,) of these; their slots decide anew."""
    core.outputs["share"][list(members)] = shares
    core.positions["dirty"][core.members["slot"][list(members)]] = 1


def kill(core: Core, member: int) -> int:
    """Disable a member and close what it alone holds; return its slot.

    A book of one closes at the next quote; a larger book decides anew without the vote.
    """
    switch_off(core, member, killed=True)
    slot = int(core.members[member]["slot"])
    position = core.positions[slot]
    position["due"] = 1
    if core.slots[slot]["n_members"] == 1 and position["direction"] != 0:
        position["close_reason"] = int(ExitReason.KILL)
    return slot


def close_slots(core: Core, slots: Iterable[int]) -> None:
    """Give what slots hold the goal to close because a member was killed."""
    for slot in slots:
        position = core.positions[slot]
        if position["direction"] != 0 and position["close_reason"] == 0:
            position["close_reason"] = int(ExitReason.KILL)


def kill_symbol(core: Core, symbol: int) -> list[int]:
    """Refuse a symbol's entries and give its positions the goal to close; return its slots."""
    core.quotes[symbol]["killed"] = 1
    slots = np.flatnonzero(core.slots["symbol"] == symbol).tolist()
    for slot in slots:
        if core.positions[slot]["direction"] != 0:
            core.positions[slot]["close_reason"] = int(ExitReason.KILL)
    return slots


def enable_symbol(core: Core, symbol: int) -> None:
    """Let a symbol's books enter again."""
    core.quotes[symbol]["killed"] = 0


def close_position(core: Core, ticket: int) -> bool:
    """Give the position of a ticket the goal to close; False if no slot holds it.

    Its slot is spent afterwards: it enters again when its signal re-arms.
    """
    for slot in np.flatnonzero(core.positions["ticket"] == ticket):
        if core.positions[slot]["direction"] != 0:
            if core.positions[slot]["close_reason"] == 0:
                core.positions[slot]["close_reason"] = int(ExitReason.OPERATOR)
            return True
    return False


def kill_held(core: Core) -> None:
    """Give every position whose members, or whose symbol, are killed the goal to close.

    An order that was under way when the kill came is caught here once it is filled.
    """
    dead = np.ones(len(core.slots), bool)
    dead[core.members["slot"][core.outputs["killed"] == 0]] = False
    dead |= core.quotes["killed"][core.slots["symbol"]] != 0
    held = (core.positions["direction"] != 0) & (core.positions["close_reason"] == 0)
    core.positions["close_reason"][held & dead] = int(ExitReason.KILL)


def halt_entries(core: Core) -> None:
    """Refuse entries until an operator resumes; what is held stays protected."""
    core.account[0]["trading"] = int(TradingState.HALTED)


def reduce_only(core: Core) -> None:
    """Refuse entries while the engine is in doubt; an operator's halt stands."""
    if core.account[0]["trading"] == int(TradingState.ACTIVE):
        core.account[0]["trading"] = int(TradingState.REDUCING)


def flatten(core: Core, reason: ExitReason = ExitReason.FLATTEN) -> None:
    """Halt entries and give every open position the goal to close."""
    halt_entries(core)
    open_slots = core.positions["direction"] != 0
    undecided = core.positions["close_reason"] == 0
    core.positions["close_reason"][open_slots & undecided] = int(reason)


def resume(core: Core, *, rebase: bool = False) -> None:
    """Lift halts; `rebase` sets the high-water marks to today's equity, which ends every tier."""
    account = core.account[0]
    account["trading"] = int(TradingState.ACTIVE)
    if account["tier"] >= 3:
        account["tier"] = 2
        account["halted_ns"] = 0
    if rebase and 0.0 < account["equity_ccy"] < np.inf:
        account["high_water_ccy"] = account["equity_ccy"]
        account["account_high_ccy"] = account["equity_ccy"] + account["external_ccy"]
        account["drawdown_frac"] = account["account_drawdown_frac"] = 0.0
        account["tier"] = account["stopped_days"] = 0
