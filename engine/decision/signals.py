"""Members' outputs to a book's net signal: latching, changes, spent flags, vote and weights."""

from engine.decision.state import DUE, DUE_REPEATED, WEIGHTED, Core
from engine.model.compiled import core_kernel
from engine.model.signals import HOLD, LONG, SHORT


@core_kernel
def take_signal(
    core: Core,
    member: int,
    raw: int,
    confidence: float,
    stop_distance: float,
    target_distance: float,
    warming: int,
) -> None:
    """Take one member's raw output at its closed bar; HOLD keeps what was latched.

    A change is LONG or SHORT where the preceding bar's raw output was another: LONG, LONG is
    none, LONG, HOLD, LONG is one.
    """
    output = core.outputs[member]
    output["changed"] = 1 if raw != output["raw"] and (raw == LONG or raw == SHORT) else 0
    if output["changed"]:
        output["waiting"] = 0
    output["raw"] = raw
    output["warming"] = warming
    if raw != HOLD:
        output["direction"] = raw
        output["confidence"] = confidence
        output["stop_distance"] = stop_distance
        output["target_distance"] = target_distance
    core.positions[core.members[member]["slot"]]["due"] = DUE


@core_kernel
def repeat_signal(core: Core, member: int) -> None:
    """Take an output that equals the preceding bar's in every field: as `take_signal`, shorter."""
    core.outputs[member]["changed"] = 0
    position = core.positions[core.members[member]["slot"]]
    if position["due"] == 0:
        position["due"] = DUE_REPEATED


@core_kernel
def votes(core: Core, member: int) -> bool:
    """Tell whether a member has a vote for entries."""
    output = core.outputs[member]
    return bool(output["enabled"] and not output["waiting"])


@core_kernel
def must_combine(core: Core, slot: int) -> bool:
    """Tell whether `combine` could change anything: an output did, or a spent slot may re-arm."""
    position = core.positions[slot]
    return bool(
        position["due"] == DUE or (position["due"] == DUE_REPEATED and position["spent"] != 0)
    )


@core_kernel
def combine(core: Core, slot: int) -> None:
    """Set the slot's `net` and `wish` (the entry zone it is in) and re-arm it if it may.

    Net is Σ share × confidence × direction over enabled members, shares renormalised; for a vote
    Σ direction. With no enabled member the disabled ones speak for the exit alone: what is held
    stays, protected, until its exit, and `wish` is 0.
    """
    config = core.slots[slot]
    position = core.positions[slot]
    first = config["first_member"]
    last = first + config["n_members"]
    n_voting = 0
    total_share = 0.0
    for m in range(first, last):
        if votes(core, m):
            n_voting += 1
            total_share += core.members[m]["share"]
    weighted = config["combine"] == WEIGHTED
    net = 0.0
    n_long = 0
    n_short = 0
    everyone = n_voting == 0
    if everyone:
        for m in range(first, last):
            total_share += core.members[m]["share"]
    for m in range(first, last):
        output = core.outputs[m]
        if not (everyone or votes(core, m)):
            continue
        if everyone and output["killed"]:
            continue
        direction = output["direction"]
        if direction > 0:
            n_long += 1
        elif direction < 0:
            n_short += 1
        if weighted and total_share > 0.0:
            net += core.members[m]["share"] / total_share * output["confidence"] * direction
    wish = 0
    if weighted:
        if abs(net) >= config["enter"]:
            wish = 1 if net > 0.0 else -1
    else:
        net = float(n_long - n_short)
        if net > 0.0 and n_long >= config["quorum"]:
            wish = 1
        elif net < 0.0 and n_short >= config["quorum"]:
            wish = -1
    position["net"] = net
    position["wish"] = 0 if everyone else wish
    if position["spent"]:
        if config["n_members"] == 1:
            if core.outputs[first]["changed"]:
                position["spent"] = 0
        elif wish == 0 or wish == -position["spent_direction"]:
            position["spent"] = 0


@core_kernel
def leaves(core: Core, slot: int) -> bool:
    """Tell whether the net signal no longer carries the slot's open position."""
    direction = core.positions[slot]["direction"]
    carried = core.positions[slot]["net"] * direction
    if core.slots[slot]["combine"] == WEIGHTED:
        return bool(carried <= 0.0 or carried < core.slots[slot]["exit"])
    return bool(carried <= 0.0)
