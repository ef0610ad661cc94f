"""The phases of a batch, in the order that backtest and live run them.

roll_day → quotes → begin_batch → take_events → pursue_shadows → decide_exits → decide_entries →
choose_stops → end_batch. Bars that closed are matched for shadows before all of it.
"""

from engine.decision.account import (
    bar_ask,
    close_bar,
    mark,
    mark_exposure,
    update_conversions,
    update_tier,
    usual_spread,
)
from engine.decision.allocation.shadow import bound_levels, match_shadows
from engine.decision.covariance import sample_returns
from engine.decision.entries import decide_entry
from engine.decision.exits import wants_exit
from engine.decision.money import round_price
from engine.decision.moving_stops import follow_bar
from engine.decision.plausible import is_plausible, note_doubt
from engine.decision.signals import is_due
from engine.decision.state import Core, Integers
from engine.kernels.compiled import core_kernel
from engine.model.times import NS_PER_MINUTE


@core_kernel
def begin_batch(core: Core, batch_ns: int) -> None:
    """Mark everything at the batch's quotes and move the risk state."""
    value_batch(core, batch_ns)
    judge_batch(core, batch_ns)


@core_kernel
def value_batch(core: Core, batch_ns: int) -> float:
    """Mark everything at the batch's quotes; return what our positions are worth."""
    core.account[0]["batch_ns"] = batch_ns
    update_conversions(core)
    return mark(core)


@core_kernel
def judge_batch(core: Core, batch_ns: int) -> None:
    """Move the risk state of a marked account."""
    update_tier(core, batch_ns)
    sample_returns(core, batch_ns)


@core_kernel
def decide_exits(core: Core, exits: Integers) -> int:
    """Write the slots that close now into `exits` ((n_slots,) int64), in order; return how many."""
    n = 0
    for slot in range(len(core.slots)):
        position = core.positions[slot]
        if (position["dirty"] or position["close_reason"]) and wants_exit(core, slot) != 0:
            exits[n] = slot
            n += 1
    return n


@core_kernel
def decide_entries(core: Core, entries: Integers, refused: Integers) -> int:
    """Write the slots that enter now into `entries`, in book order; return how many.

    Call after the exits are settled: equity is marked anew, and each accepted entry counts as
    filled for the next one's checks. `refused` ((N_REFUSALS,) int64) counts the wishes that a rule
    refused, each once a rule, however many batches it goes on; a slot's last answer stands in its
    `refusal`, what the rules said in `checks`.
    """
    mark(core)
    return choose_entries(core, entries, refused)


@core_kernel
def choose_entries(core: Core, entries: Integers, refused: Integers) -> int:
    """Do what `decide_entries` does where the account is already marked at these quotes."""
    n = 0
    marked = False
    for slot in range(len(core.slots)):
        position = core.positions[slot]
        if position["wish"] == 0 or position["direction"] != 0 or position["spent"]:
            continue
        if not is_due(core, slot):
            continue
        if not marked:
            mark_exposure(core)
            marked = True
        answer = decide_entry(core, slot)
        position["refusal"] = answer
        if answer == 0:
            entries[n] = slot
            n += 1
        elif not position["refused_rules"] >> answer & 1:
            position["refused_rules"] |= 1 << answer
            refused[answer] += 1
    return n


@core_kernel
def end_batch(core: Core) -> None:
    """Forget what was due at this batch."""
    for s in range(len(core.symbols)):
        core.work[s]["closed"] = 0
    for slot in range(len(core.slots)):
        core.positions[slot]["due"] = 0


def skip_batch(core: Core, batch_ns: int) -> None:
    """Note a batch that was missed, which nothing was decided at; Python only."""
    account = core.account[0]
    account["batch_ns"] = max(int(account["batch_ns"]), batch_ns)


@core_kernel
def take_bar(
    core: Core,
    symbol: int,
    open_ns: int,
    open_bid: float,
    high_bid: float,
    low_bid: float,
    close_bid: float,
    spread: float,
) -> bool:
    """Take a closed bar: its range for the shadows, its close as the last good price.

    Return whether all of it is believed. A range that is not moves no stop and meets none.
    """
    believed = range_is_plausible(core, symbol, high_bid, low_bid, spread)
    if believed:
        if touches_level(core, symbol, high_bid, low_bid, spread):
            match_shadows(core, symbol, open_bid, high_bid, low_bid, spread)
            bound_levels(core, symbol)
        follow_bar(core, symbol, high_bid, low_bid, spread)
    else:
        note_doubt(core.quotes, symbol, open_ns, open_ns + NS_PER_MINUTE - 1)
    return close_bar(core, symbol, open_ns, close_bid, spread) and believed


@core_kernel
def range_is_plausible(
    core: Core, symbol: int, high_bid: float, low_bid: float, spread: float
) -> bool:
    """Tell whether a bar's range may be believed before its close is taken."""
    high_ask = bar_ask(core, symbol, high_bid, spread)
    return is_plausible(core.quotes, symbol, low_bid, high_ask, usual_spread(core, symbol))


@core_kernel
def touches_level(core: Core, symbol: int, high_bid: float, low_bid: float, spread: float) -> bool:
    """Tell whether a bar may have reached a stop or target of the symbol's positions."""
    work = core.work[symbol]
    if low_bid <= work["long_stop"] or high_bid >= work["long_target"]:
        return True
    digits = core.symbols[symbol]["digits"]
    return bool(
        round_price(high_bid + spread, digits) >= work["short_stop"]
        or round_price(low_bid + spread, digits) <= work["short_target"]
    )
