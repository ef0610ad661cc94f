"""What an operator or a supervisor switches: at once, and undone by enabling or resuming."""

from contextlib import ExitStack

import numpy as np
import pytest

from engine.decision.batch import begin_batch, decide_entries, decide_exits
from engine.decision.exits import reduce_position
from engine.decision.state import N_REFUSALS
from engine.decision.switches import (
    await_outcome,
    disable,
    enable,
    enable_symbol,
    flatten,
    halt_entries,
    kill,
    kill_held,
    kill_symbol,
    quarantine,
    reduce_only,
    resume,
    set_unsettled,
    settle_all,
    without_wishes,
)
from engine.model.reasons import ExitReason, Refusal, TradingState
from tests.decision.conftest import FLAT, LONG, hold, say, strategy, tell

FIXED = 'sizing = { method = "fixed_lots", lots = 0.1 }'
THREE = strategy("a", extra=FIXED) + strategy("b", extra=FIXED) + strategy("c", "GBPUSD", FIXED)


def decide(core):
    """Have all members say LONG; return the slots that exit and enter, and the refusals."""
    tell(core, *[LONG] * len(core.members))
    begin_batch(core, 0)
    chosen, refused = np.zeros(len(core.slots), np.int64), np.zeros(N_REFUSALS, np.int64)
    exits = chosen[: decide_exits(core, chosen)].tolist()
    entries = chosen[: decide_entries(core, chosen, refused)].tolist()
    return exits, entries, [Refusal(i) for i in np.flatnonzero(refused)]


def test_a_killed_symbol_closes_what_is_held_and_refuses_until_it_is_enabled(make_core):
    """All its slots, no others; a goal that stands keeps its reason."""
    core = make_core(THREE)
    hold(core, 0, LONG, 0.1, 1.17)
    assert kill_symbol(core, 0) == [0, 1]
    assert decide(core) == ([0], [2], [Refusal.SYMBOL_KILLED])
    assert core.positions["close_reason"].tolist() == [ExitReason.KILL, 0, 0]
    enable_symbol(core, 0)
    assert 1 in decide(core)[1]


def test_an_order_that_was_under_way_when_the_kill_came_is_closed_once_filled(make_core):
    """Whether the member or the symbol was killed; others keep what they hold."""
    core = make_core(THREE)
    kill(core, 0)
    kill_symbol(core, 1)
    for slot in range(3):
        hold(core, slot, LONG, 0.1, 1.17)
    core.positions[2]["close_reason"] = int(ExitReason.SIGNAL)
    kill_held(core)
    reasons = core.positions["close_reason"].tolist()
    assert reasons == [ExitReason.KILL, 0, ExitReason.SIGNAL]


def test_halt_and_reduce_refuse_entries_until_they_are_lifted(make_core):
    """A doubt of the engine's never weakens an operator's halt; exits go on."""
    core = make_core(THREE)
    reduce_only(core)
    assert decide(core) == ([], [], [Refusal.REDUCING])
    halt_entries(core)
    reduce_only(core)
    assert core.account[0]["trading"] == TradingState.HALTED
    assert decide(core) == ([], [], [Refusal.HALTED])
    resume(core)
    assert decide(core) == ([], [0, 1, 2], [])


def test_flatten_halts_and_gives_every_open_position_the_goal(make_core):
    """What is flat has no goal; what is being closed keeps its reason."""
    core = make_core(THREE)
    hold(core, 0, LONG, 0.1, 1.17)
    hold(core, 2, LONG, 0.1, 1.17)
    core.positions[2]["close_reason"] = int(ExitReason.DRAWDOWN)
    flatten(core)
    reasons = core.positions["close_reason"].tolist()
    assert reasons == [ExitReason.FLATTEN, 0, ExitReason.DRAWDOWN]
    assert decide(core) == ([0, 2], [], [Refusal.HALTED])


@pytest.mark.parametrize("off", [disable, kill, quarantine])
def test_a_member_that_was_taken_out_is_enabled_again_clean(make_core, off):
    """No mark is left, and it votes from its next change on."""
    core = make_core(THREE)
    say(core, LONG)
    off(core, 0)
    assert not core.outputs[0]["enabled"]
    enable(core, 0)
    output = core.outputs[0]
    marks = [int(output[m]) for m in ("enabled", "waiting", "killed", "quarantined", "benched")]
    assert marks == [1, 1, 0, 0, 0]
    assert decide(core)[1] == [1, 2]
    tell(core, FLAT)
    assert decide(core)[1] == [0, 1, 2]


def test_enabling_what_is_enabled_changes_no_vote(make_core):
    """Only its book may enter again; the member does not wait for a change."""
    core = make_core(THREE)
    core.positions["barred"] = int(Refusal.REPEATED)
    enable(core, 0)
    assert core.positions["barred"].tolist() == [0, Refusal.REPEATED, Refusal.REPEATED]
    assert decide(core)[1] == [0]


@pytest.mark.parametrize("trading", list(TradingState))
def test_kills_do_not_depend_on_what_can_be_computed(make_core, trading):
    """No quote, no equity, any state: the goals are set."""
    core = make_core(THREE)
    for slot in range(3):
        hold(core, slot, LONG, 0.1, 1.17)
    core.account["equity_ccy"] = core.quotes["bid"] = np.nan
    core.account["trading"] = int(trading)
    kill(core, 0)
    assert core.positions["close_reason"].tolist() == [ExitReason.KILL, 0, 0]
    kill_symbol(core, 1)
    flatten(core)
    reasons = core.positions["close_reason"].tolist()
    assert reasons == [ExitReason.KILL, ExitReason.FLATTEN, ExitReason.KILL]


def test_an_order_that_is_looked_for_counts_as_an_entry_of_a_flat_slot_only(make_core):
    """An unknown entry is pending in a flat slot; an unknown close leaves nothing pending."""
    core = make_core(strategy("one") + strategy("two", "GBPUSD"))
    hold(core, 1, LONG, 2.0, 1.17)
    await_outcome(core, 0, entry=True, direction=-1, lots=0.5)
    await_outcome(core, 1, entry=True, direction=-1, lots=0.5)
    assert core.positions["unsettled"].tolist() == [1, 1]
    assert core.positions["pending_direction"].tolist() == [-1, 0]
    assert core.positions[0]["pending_lots"] == 0.5
    set_unsettled(core, 0, unsettled=False)
    assert core.positions["unsettled"].tolist() == [0, 1]
    settle_all(core)
    assert core.positions["unsettled"].tolist() == [0, 0]


def test_wishes_that_are_held_back_are_there_again_afterwards(make_core):
    """Only inside it slots wish nothing, also where it ends in an error."""
    core = make_core(strategy("one") + strategy("two", "GBPUSD"))
    core.positions["wish"] = [1, -1]
    inside = ExitStack()
    inside.enter_context(without_wishes(core, [1]))
    assert core.positions["wish"].tolist() == [1, 0]
    with pytest.raises(ZeroDivisionError), inside:
        raise ZeroDivisionError
    assert core.positions["wish"].tolist() == [1, -1]
    with without_wishes(core, []):
        assert core.positions["wish"].tolist() == [1, -1]


def test_a_part_that_is_closed_takes_its_swap_and_its_money(make_core):
    """Of 2 lots half a lot closes: a quarter of the swap goes, three quarters stay unrounded."""
    core = make_core(strategy("one"))
    hold(core, 0, LONG, 2.0, 1.17)
    core.account["balance_ccy"] = 1_000.0
    core.positions[0]["swap_ccy"] = -1.3
    core.outputs["entry_share"] = 1.0
    reduce_position(core, 0, 1.5, 10.0, -0.25, -0.33)
    assert core.positions[0]["lots"] == 1.5
    assert core.positions[0]["swap_ccy"] == pytest.approx(-0.975, abs=1e-12)
    assert core.account[0]["balance_ccy"] == 1_009.42
    assert core.positions[0]["realised_ccy"] == core.outputs[0]["realised_ccy"] == 9.42
