import pytest

from engine.decision.exits import apply_close
from engine.decision.signals import combine, leaves, must_combine, repeat_signal, take_signal
from engine.decision.state import DUE, DUE_REPEATED
from engine.decision.switches import disable, enable, kill
from engine.model.reasons import ExitReason
from tests.decision.conftest import strategy

LONG, FLAT, SHORT, HOLD = 1, 0, -1, 2
NONE = float("nan")
SOLO = strategy("one")
BOOK = strategy("a") + strategy("b") + strategy("c")


def book(combine_as: str, extra: str = "", members: str = "a = 1.0, b = 1.0, c = 2.0") -> str:
    return BOOK + (
        f'[[book]]\nname = "book"\ncombine = "{combine_as}"\nmembers = {{ {members} }}\n{extra}\n'
    )


def say(core, *raws, confidence=1.0):
    """Give each member its raw output and combine its slot."""
    for member, raw in enumerate(raws):
        take_signal(core, member, raw, confidence, 0.001, NONE, 0)
    combine(core, 0)
    return core.positions[0]


def stopped_out(core, side):
    core.positions[0]["direction"] = side
    apply_close(core, 0, int(ExitReason.STOP), 0.0, 0.0, 0.0)
    assert core.positions[0]["spent"]


@pytest.mark.parametrize(
    ("after", "rearmed"),
    [
        ((LONG, LONG), False),
        ((HOLD, LONG), True),
        ((FLAT, LONG), True),
        ((SHORT,), True),
        ((HOLD, HOLD), False),
        ((FLAT,), False),
        ((HOLD,), False),
    ],
)
def test_a_book_of_one_rearms_by_its_members_raw_output(make_core, after, rearmed):
    """After a stop LONG, LONG does not re-arm; LONG, HOLD, LONG does."""
    core = make_core(SOLO)
    say(core, LONG)
    stopped_out(core, LONG)
    for raw in after:
        say(core, raw)
    assert bool(core.positions[0]["spent"]) is not rearmed


def test_a_larger_book_rearms_when_its_net_leaves_the_entry_zone_or_turns(make_core):
    """Members that change do not re-arm a book whose net signal stays; leaving or turning does."""
    core = make_core(book("weighted", "enter = 0.5\nexit = 0.1"))
    say(core, LONG, LONG, LONG)
    stopped_out(core, LONG)
    assert say(core, FLAT, LONG, LONG)["spent"]  # net 0.75
    assert not say(core, FLAT, FLAT, FLAT)["spent"]
    say(core, LONG, LONG, LONG)
    stopped_out(core, LONG)
    assert not say(core, SHORT, SHORT, SHORT)["spent"]


def test_hold_keeps_what_was_latched_and_starts_flat(make_core):
    """HOLD is what it was; before anything was said it is FLAT."""
    core = make_core(SOLO)
    assert say(core, HOLD)["wish"] == 0
    assert say(core, SHORT)["wish"] == -1
    assert say(core, HOLD)["wish"] == -1


def test_weighted_books_enter_and_exit_with_hysteresis(make_core):
    """Entry at |net| ≥ enter, exit below exit, nothing in between; shares are renormalised."""
    core = make_core(book("weighted", "enter = 0.5\nexit = 0.2"))
    position = say(core, LONG, LONG, FLAT)
    assert (position["net"], position["wish"]) == (0.5, 1)
    position["direction"] = LONG
    assert say(core, LONG, FLAT, FLAT)["wish"] == 0
    assert not leaves(core, 0)  # 0.25
    say(core, LONG, FLAT, FLAT, confidence=0.5)
    assert leaves(core, 0)  # 0.125
    say(core, SHORT, SHORT, SHORT)
    assert leaves(core, 0)


def test_votes_are_signs_ties_are_flat_and_the_quorum_counts_the_agreeing(make_core):
    """Shares and confidence do not weigh in a vote; too few agreeing members are no wish."""
    core = make_core(book("vote", "quorum = 2"))
    assert say(core, LONG, SHORT, FLAT)["wish"] == 0
    assert say(core, LONG, FLAT, FLAT)["wish"] == 0
    position = say(core, LONG, LONG, FLAT, confidence=0.01)
    assert (position["net"], position["wish"]) == (2.0, 1)
    assert say(core, LONG, LONG, SHORT)["wish"] == 1
    position["direction"] = LONG
    say(core, LONG, FLAT, FLAT)
    assert not leaves(core, 0)  # below the quorum, but still carried
    say(core, LONG, SHORT, FLAT)
    assert leaves(core, 0)


def test_disabled_members_leave_their_share_to_the_others(make_core):
    """Shares renormalise over enabled members; nobody enabled is no wish, but the exit lives on."""
    core = make_core(book("weighted", "enter = 0.5\nexit = 0.2"))
    say(core, LONG, LONG, SHORT)
    disable(core, 2)
    combine(core, 0)
    assert core.positions[0]["net"] == 1.0
    disable(core, 0)
    disable(core, 1)
    combine(core, 0)
    assert (core.positions[0]["net"], core.positions[0]["wish"]) == (0.0, 0)


def test_an_enabled_member_votes_again_at_its_next_change(make_core):
    """Enabling does not act on an old signal: LONG, LONG waits, LONG, HOLD, LONG does not."""
    core = make_core(SOLO)
    say(core, LONG)
    disable(core, 0)
    enable(core, 0)
    assert say(core, LONG)["wish"] == 0
    say(core, HOLD)
    assert say(core, LONG)["wish"] == 1


def test_kill_makes_a_book_of_one_close_and_a_larger_book_decide_anew(make_core):
    """Killing sets the goal to close what the member alone holds; the book's slot becomes due."""
    core = make_core(SOLO)
    say(core, LONG)
    core.positions[0]["direction"] = LONG
    kill(core, 0)
    assert core.positions[0]["close_reason"] == int(ExitReason.KILL)
    core = make_core(book("weighted", "enter = 0.5\nexit = 0.2"))
    say(core, FLAT, FLAT, LONG)
    core.positions[0]["direction"] = LONG
    core.positions[0]["due"] = 0
    kill(core, 2)
    assert core.positions[0]["close_reason"] == 0
    assert must_combine(core, 0)
    combine(core, 0)
    assert leaves(core, 0)


def test_repeating_a_signal_is_taking_it_again(make_core):
    """`repeat_signal` leaves the state that `take_signal` with the same values leaves."""
    one, other = make_core(SOLO), make_core(SOLO)
    for core in (one, other):
        take_signal(core, 0, LONG, 0.7, 0.001, NONE, 0)
        core.positions[0]["due"] = 0
    take_signal(one, 0, LONG, 0.7, 0.001, NONE, 0)
    repeat_signal(other, 0)
    assert one.outputs.tobytes() == other.outputs.tobytes()
    assert (one.positions[0]["due"], other.positions[0]["due"]) == (DUE, DUE_REPEATED)


def test_a_repeated_output_is_combined_only_where_a_slot_may_rearm(make_core):
    """Nothing that a combination reads has changed, unless the slot was spent meanwhile."""
    core = make_core(book("vote"))
    core.positions[0]["due"] = DUE_REPEATED
    assert not must_combine(core, 0)
    core.positions[0]["spent"] = 1
    assert must_combine(core, 0)
