import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.decision.exits import apply_close, wants_exit
from engine.decision.signals import combine, is_due, leaves
from engine.decision.switches import bench, disable, enable, kill, unbench
from engine.model.reasons import ExitReason
from tests.decision.conftest import FLAT, HOLD, LONG, SHORT, build, say, strategy, tell

SOLO = strategy("one")
BOOK = strategy("a") + strategy("b") + strategy("c")


def book(combine_as: str, extra: str = "", members: str = "a = 1.0, b = 1.0, c = 2.0") -> str:
    return BOOK + (
        f'[[book]]\nname = "book"\ncombine = "{combine_as}"\nmembers = {{ {members} }}\n{extra}\n'
    )


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


@pytest.mark.parametrize("reason", [r for r in ExitReason if r != ExitReason.NONE])
def test_only_its_own_signal_leaves_a_slot_unspent(make_core, reason):
    """Stop, target, kill, flatten, drawdown, stop-out, end, a hand: spent; a signal: not."""
    core = make_core(SOLO)
    core.positions[0]["direction"] = SHORT
    apply_close(core, 0, int(reason), 0.0, 0.0, 0.0)
    assert bool(core.positions[0]["spent"]) is (reason != ExitReason.SIGNAL)


def test_hold_keeps_what_was_latched_and_starts_flat(make_core):
    """HOLD is what it was, distances and confidence too; before anything was said it is FLAT."""
    core = make_core(SOLO)
    assert say(core, HOLD)["wish"] == 0
    assert say(core, SHORT, stop=0.002)["wish"] == -1
    assert say(core, HOLD, stop=0.009)["wish"] == -1
    assert core.outputs[0]["stop_distance"] == 0.002


def test_weighted_books_enter_and_exit_with_hysteresis(make_core):
    """Entry at |net| ≥ enter, exit below exit, nothing in between; shares are renormalised."""
    core = make_core(book("weighted", "enter = 0.5\nexit = 0.2"))
    position = say(core, LONG, LONG, FLAT)
    assert (position["net"], position["wish"]) == (0.5, 1)
    position["direction"] = LONG
    assert say(core, LONG, FLAT, FLAT)["wish"] == 0
    assert not leaves(core, 0)  # 0.25
    say(core, LONG, FLAT, FLAT, confidence=0.8)
    assert not leaves(core, 0)  # 0.2 is not below it
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


RAWS = st.lists(st.sampled_from([LONG, FLAT, SHORT]), min_size=3, max_size=3)


@pytest.mark.parametrize("quorum", ["1", "2", "3", '"majority"', '"unanimous"'])
@given(raws=RAWS, off=st.sets(st.integers(0, 2), max_size=2))
def test_a_vote_wishes_what_counting_by_hand_says(quorum, raws, off):
    """More on one side than on the other, and at least the quorum of those who have a vote."""
    core = build(book("vote", f"quorum = {quorum}"))
    for member in off:
        disable(core, member)
    position = say(core, *raws)
    voting = [raw for m, raw in enumerate(raws) if m not in off]
    n_long, n_short = voting.count(LONG), voting.count(SHORT)
    least = {'"majority"': len(voting) // 2 + 1, '"unanimous"': len(voting)}.get(quorum)
    least = int(quorum) if least is None else least
    wish = 0
    if n_long > n_short and n_long >= least:
        wish = LONG
    elif n_short > n_long and n_short >= least:
        wish = SHORT
    assert (position["net"], position["wish"]) == (n_long - n_short, wish)


@given(
    raws=RAWS,
    confidences=st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=3, max_size=3),
    off=st.sets(st.integers(0, 2), max_size=2),
)
def test_a_weighted_net_is_the_mean_over_those_who_vote(raws, confidences, off):
    """Σ share × confidence × direction over Σ share; those without a vote leave no hole."""
    core = build(book("weighted", "enter = 0.5\nexit = 0.25"))
    for member in off:
        disable(core, member)
    for m, (raw, confidence) in enumerate(zip(raws, confidences, strict=True)):
        tell(core, *[None] * m, raw, confidence=confidence)
    combine(core, 0)
    shares = [1.0, 1.0, 2.0]
    on = [m for m in range(3) if m not in off]
    net = sum(shares[m] * confidences[m] * raws[m] for m in on) / sum(shares[m] for m in on)
    assert core.positions[0]["net"] == pytest.approx(net, abs=1e-12)
    assert core.positions[0]["wish"] == (0 if abs(net) < 0.5 else int(np.sign(net)))


def test_disabled_members_leave_their_share_to_the_others(make_core):
    """Shares renormalise over enabled members."""
    core = make_core(book("weighted", "enter = 0.5\nexit = 0.2"))
    say(core, LONG, LONG, SHORT)
    disable(core, 2)
    combine(core, 0)
    assert core.positions[0]["net"] == 1.0


@pytest.mark.parametrize("off", [disable, bench])
def test_with_nobody_to_vote_the_others_speak_for_the_exit_alone(make_core, off):
    """What is held stays until its exit, killed members excepted; nothing is entered."""
    core = make_core(book("weighted", "enter = 0.5\nexit = 0.2"))
    say(core, LONG, LONG, SHORT)
    core.positions[0]["direction"] = LONG
    for member in (0, 1):
        off(core, member)
    kill(core, 2)
    combine(core, 0)
    assert core.positions[0]["wish"] == 0
    assert not leaves(core, 0)
    say(core, FLAT, FLAT)
    assert leaves(core, 0)


def test_an_enabled_member_votes_again_at_its_next_change(make_core):
    """Enabling does not act on an old signal: LONG, LONG waits, LONG, HOLD, LONG does not."""
    core = make_core(SOLO)
    say(core, LONG)
    disable(core, 0)
    enable(core, 0)
    assert say(core, LONG)["wish"] == 0
    say(core, HOLD)
    assert say(core, LONG)["wish"] == 1


def test_a_benched_member_votes_again_at_its_change_after_it_is_unbenched(make_core):
    """Benching takes the vote, not the latch; coming back does not act on an old signal."""
    core = make_core(SOLO)
    say(core, LONG)
    bench(core, 0)
    assert (say(core, HOLD)["wish"], say(core, LONG)["wish"]) == (0, 0)
    unbench(core, 0)
    assert say(core, LONG)["wish"] == 0
    assert say(core, SHORT)["wish"] == -1


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
    core.work["closed"] = 0
    assert not is_due(core, 0)
    kill(core, 2)
    assert core.positions[0]["close_reason"] == 0
    assert wants_exit(core, 0) == ExitReason.SIGNAL


def test_taking_an_output_again_changes_nothing(make_core):
    """Live hands over every bar's output, a backtest its changes: the state is the same."""
    core = make_core(book("weighted"))
    for raw in (LONG, HOLD, FLAT, SHORT):
        say(core, raw, raw, raw, confidence=0.7)
        state = core.outputs.tobytes(), core.positions.tobytes(), core.work.tobytes()
        tell(core, raw, raw, raw, confidence=0.7)
        assert state == (core.outputs.tobytes(), core.positions.tobytes(), core.work.tobytes())


def test_what_a_flat_output_carries_counts_for_nothing(make_core):
    """FLAT has no confidence and no distances: two that differ in them leave the same state."""
    core = make_core(book("weighted"))
    say(core, FLAT, FLAT, FLAT, confidence=0.7)
    state = core.outputs.tobytes(), core.positions.tobytes()
    tell(core, FLAT, FLAT, FLAT, confidence=0.2, stop=0.005)
    assert state == (core.outputs.tobytes(), core.positions.tobytes())


def test_a_slot_is_due_when_a_bar_of_its_members_closes(make_core):
    """A bar of another timeframe, or of another symbol, is nobody's business here."""
    core = make_core(
        strategy("m1") + strategy("m5", extra='timeframe = "M5"') + strategy("gbp", "GBPUSD")
    )
    tell(core, FLAT)
    assert [is_due(core, slot) for slot in range(3)] == [True, False, False]
    core.work["closed"] = 0
    tell(core, None, FLAT)
    assert [is_due(core, slot) for slot in range(3)] == [False, True, False]


@pytest.mark.parametrize("shares", [(0.1, 0.2, 0.3), (0.2, 0.1, 0.3), (0.7, 0.1, 0.8)])
def test_a_tie_of_weights_is_a_tie(shares):
    """0.1 + 0.2 against 0.3 is 0 on both sides: nothing is entered, and what is held is left."""
    members = ", ".join(f"{n} = {s}" for n, s in zip("abc", shares, strict=True))
    core = build(book("weighted", "enter = 0.1\nexit = 0.0", members))
    position = say(core, LONG, LONG, SHORT)
    assert position["net"] == 0.0
    assert not np.signbit(position["net"])
    assert position["wish"] == 0
    for side in (LONG, SHORT):
        position["direction"] = side
        assert leaves(core, 0)


@pytest.mark.parametrize(("a", "b", "c", "enter"), [(0.1, 0.7, 0.2, 0.8), (0.3, 0.6, 0.1, 0.9)])
def test_a_zone_that_is_just_reached_is_entered(a, b, c, enter):
    """0.1 + 0.7 is 0.7999…99 in binary, and 0.8 of the shares all the same."""
    core = build(book("weighted", f"enter = {enter}\nexit = 0.1", f"a = {a}, b = {b}, c = {c}"))
    assert say(core, LONG, LONG, FLAT)["wish"] == LONG
    assert say(core, SHORT, SHORT, FLAT)["wish"] == SHORT
