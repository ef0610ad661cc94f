"""The phases of a batch, in the order that backtest and live run them.

roll_day → quotes → begin_batch → take_signal … → decide_exits → decide_entries
"""

import numpy as np
import numpy.typing as npt

from engine.decision.account import mark, update_conversions, update_tier
from engine.decision.entries import NO_WISH, decide_entry
from engine.decision.exits import wants_exit
from engine.decision.state import Core
from engine.model.compiled import core_kernel
from engine.model.reasons import Refusal

Integers = npt.NDArray[np.int64]
N_REFUSALS = len(Refusal)


@core_kernel
def begin_batch(core: Core, batch_ns: int) -> None:
    """Mark everything at the batch's quotes and move the risk state."""
    core.account[0]["batch_ns"] = batch_ns
    update_conversions(core)
    mark(core)
    update_tier(core, batch_ns)


@core_kernel
def decide_exits(core: Core, exits: Integers) -> int:
    """Write the slots that close now into `exits` ((n_slots,) int64), in order; return how many."""
    n = 0
    for slot in range(len(core.slots)):
        if wants_exit(core, slot) != 0:
            exits[n] = slot
            n += 1
    return n


@core_kernel
def decide_entries(core: Core, entries: Integers, refused: Integers) -> int:
    """Write the slots that enter now into `entries`, in book order; return how many.

    Call after the exits are settled: equity is marked anew, and each accepted entry counts as
    filled for the next one's checks. `refused` ((N_REFUSALS,) int64) counts refusals by rule; a
    slot's last one stands in its `refusal`.
    """
    mark(core)
    return choose_entries(core, entries, refused)


@core_kernel
def choose_entries(core: Core, entries: Integers, refused: Integers) -> int:
    """Do what `decide_entries` does where the account is already marked at these quotes."""
    n = 0
    for slot in range(len(core.slots)):
        if not core.positions[slot]["due"]:
            continue
        answer = decide_entry(core, slot)
        if answer == 0:
            entries[n] = slot
            n += 1
        if answer != NO_WISH:
            core.positions[slot]["refusal"] = answer
            refused[answer] += 1
    return n
