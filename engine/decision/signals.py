"""Members' outputs to a book's net signal: latching, changes, spent flags, vote and weights."""

from typing import Final

import numpy as np

from engine.decision.allocation.shadow import step_shadow
from engine.decision.state import MAJORITY, UNANIMOUS, WEIGHTED, Core, Records
from engine.kernels.compiled import core_kernel
from engine.model.signals import HOLD, LONG, SHORT

# A net is a sum of shares and confidences; beyond so many parts of 1 it is rounding.
_NET_PARTS: Final = 1e12


@core_kernel
def take_events(core: Core, events: Records) -> None:
    """Take members' outputs at bars that closed, rows of EVENT in order: live's call a batch."""
    for i in range(len(events)):
        config = core.members[events[i]["member"]]
        core.work[config["symbol"]]["closed"] |= 1 << config["timeframe"]
        take_output(
            core,
            events[i]["member"],
            events[i]["raw"],
            events[i]["confidence"],
            events[i]["stop_distance"],
            events[i]["target_distance"],
            events[i]["warming"],
        )


@core_kernel
def take_confidence(core: Core, member: int, confidence: float) -> None:
    """Take the confidence of a member of a weighted book; without a side it has none."""
    output = core.outputs[member]
    has_side = (output["raw"] == LONG) | (output["raw"] == SHORT)
    # Without a branch: nobody can foresee it. To combine in vain changes nothing.
    output["confidence"] = confidence if has_side else output["confidence"]
    core.positions[core.members[member]["slot"]]["dirty"] = 1


@core_kernel
def take_output(
    core: Core,
    member: int,
    raw: int,
    confidence: float,
    stop_distance: float,
    target_distance: float,
    warming: int,
) -> None:
    """Take one member's raw output; HOLD keeps what was latched, FLAT carries nothing.

    A change is LONG or SHORT where the preceding bar's raw output was another: LONG, LONG is
    none, LONG, HOLD, LONG is one. In a vote confidence does nothing and counts as 1. Taking an
    output again changes nothing.
    """
    output = core.outputs[member]
    slot = core.members[member]["slot"]
    output["warming"] = warming
    if raw == LONG or raw == SHORT:
        weight = confidence if core.slots[slot]["combine"] == WEIGHTED else 1.0
        if output["confidence"] != weight:
            output["confidence"] = weight
            core.positions[slot]["dirty"] = 1
        output["stop_distance"] = stop_distance
        output["target_distance"] = target_distance
    if raw != output["raw"]:
        output["raw"] = raw
        if raw == LONG or raw == SHORT:
            output["waiting"] = 0
            output["changed"] = 1
            output["shadow_spent"] = 0
            core.positions[slot]["dirty"] = 1
        if raw != HOLD and output["direction"] != raw:
            output["direction"] = raw
            core.positions[slot]["dirty"] = 1
        step_shadow(core, member, 1)
    elif output["shadow_pending"]:
        step_shadow(core, member, 1)


@core_kernel
def votes(core: Core, member: int) -> bool:
    """Tell whether a member has a vote for entries."""
    output = core.outputs[member]
    return bool(output["enabled"] and not output["waiting"] and not output["benched"])


@core_kernel
def is_due(core: Core, slot: int) -> bool:
    """Tell whether a bar of one of the slot's members closed, or somebody asks for a decision."""
    if core.positions[slot]["due"]:
        return True
    config = core.slots[slot]
    return bool(core.work[config["symbol"]]["closed"] & config["timeframes"])


@core_kernel
def combine(core: Core, slot: int) -> None:
    """Set the slot's `net` and `wish` (the entry zone it is in) and re-arm it if it may.

    Net is Σ share × confidence × direction over those who vote ÷ Σ of their shares; for a vote
    Σ direction. With nobody to vote the others speak for the exit alone: what is held stays,
    protected, until its exit, and `wish` is 0.
    """
    config = core.slots[slot]
    position = core.positions[slot]
    first = config["first_member"]
    last = first + config["n_members"]
    n_voting = 0
    n_long = 0
    n_short = 0
    net = 0.0
    total_share = 0.0
    for m in range(first, last):
        if votes(core, m):
            output = core.outputs[m]
            direction = output["direction"]
            n_voting += 1
            n_long += direction > 0
            n_short += direction < 0
            net += output["share"] * output["confidence"] * direction
            total_share += output["share"]
    everyone = n_voting == 0
    if everyone:
        for m in range(first, last):
            output = core.outputs[m]
            total_share += output["share"]
            if not output["killed"]:
                direction = output["direction"]
                n_long += direction > 0
                n_short += direction < 0
                net += output["share"] * output["confidence"] * direction
    wish = 0
    if config["combine"] == WEIGHTED:
        # 0.1 + 0.2 − 0.3 is 5.6e-17 in binary: a tie is one, and a zone just reached is reached.
        net = np.rint(net / total_share * _NET_PARTS) / _NET_PARTS if total_share > 0.0 else 0.0
        net += 0.0  # never −0.0
        if abs(net) >= config["enter"]:
            wish = 1 if net > 0.0 else -1
    else:
        net = float(n_long - n_short)
        least = quorum(config["quorum"], n_voting)
        if net > 0.0 and n_long >= least:
            wish = 1
        elif net < 0.0 and n_short >= least:
            wish = -1
    position["net"] = net
    wished = 0 if everyone else wish
    if wished != position["wish"]:
        position["wish"] = wished
        position["refused_rules"] = 0
    position["dirty"] = 0
    if config["n_members"] == 1:
        if core.outputs[first]["changed"]:
            position["spent"] = 0
    elif wish == 0 or wish == -position["spent_direction"]:
        position["spent"] = 0
    for m in range(first, last):
        core.outputs[m]["changed"] = 0


@core_kernel
def quorum(said: int, n_voting: int) -> int:
    """Return how many must agree: a number, more than half of those who vote, or all of them."""
    if said == MAJORITY:
        return n_voting // 2 + 1
    if said == UNANIMOUS:
        return n_voting
    return said


@core_kernel
def leaves(core: Core, slot: int) -> bool:
    """Tell whether the net signal no longer carries the slot's open position."""
    direction = core.positions[slot]["direction"]
    carried = core.positions[slot]["net"] * direction
    if core.slots[slot]["combine"] == WEIGHTED:
        return bool(carried <= 0.0 or carried < core.slots[slot]["exit"])
    return bool(carried <= 0.0)
