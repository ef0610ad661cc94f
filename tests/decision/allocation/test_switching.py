"""Members off and on by their shadow record: only for a reason that is said, never to and fro."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.decision.allocation.scores import read_records
from engine.decision.allocation.switching import decide, drawdown_since_r
from engine.model.portfolio import SwitchSpec

RULES = SwitchSpec()
DAY = np.tile([1.0, -1.0], 32)


def ask(daily_r, *, rules=RULES, benched=None, days=None, drawdown=None):
    n = np.shape(daily_r)[1]
    return decide(
        rules,
        daily_r,
        np.zeros(n, bool) if benched is None else benched,
        np.zeros(n, int) if days is None else days,
        np.zeros(n) if drawdown is None else drawdown,
        half_life_days=30.0,
    )


def records(*means, n_days=64):
    """Units of deviation 1 and the given means, (64, n)."""
    out = np.column_stack([DAY + mean for mean in means])
    out[: 64 - n_days] = np.nan
    return out


@st.composite
def cases(draw):
    """Units with records, some benched for some days, with drawdowns, some unknown."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_days, n = draw(st.integers(0, 64)), draw(st.integers(0, 6))
    daily_r = rng.normal(rng.normal(0, 0.4, n), 1.0, (n_days, n))
    for unit in range(n):
        daily_r[: rng.integers(0, n_days + 1), unit] = np.nan
    drawdown = rng.choice([0.0, 5.0, 19.9, 20.0, 30.0, np.nan], n)
    return daily_r, rng.random(n) < 0.5, rng.integers(0, 90, n), drawdown


def test_a_poor_score_benches_with_enough_days_only():
    """−0.3 benches, −0.1 does not, and 19 days say nothing."""
    (switched,) = ask(records(-0.3, -0.1))
    assert (switched.unit, switched.benched_after, switched.reason) == (0, True, "score")
    assert switched.score == pytest.approx(-0.3, abs=0.02)
    assert switched.n_days == 64
    assert ask(records(-0.3, n_days=19)) == []
    assert len(ask(records(-0.3, n_days=20))) == 1


def test_a_drawdown_benches_at_its_limit_and_at_once():
    """20 R are enough, on the first day too; unknown is none."""
    drawdown = np.array([19.99, 20.0, np.nan])
    (switched,) = ask(np.full((1, 3), -1.0), drawdown=drawdown)
    assert (switched.unit, switched.reason, switched.drawdown_r) == (1, "drawdown", 20.0)


def test_who_is_benched_comes_back_when_all_is_well_again():
    """Cool-down over, score up, no deep fall since: each one missing keeps it benched."""
    good = records(0.1)
    benched, days = np.array([True]), np.array([10])
    (switched,) = ask(good, benched=benched, days=days, drawdown=np.array([99.0]))
    assert (switched.benched_after, switched.reason, switched.benched_days) == (
        False,
        "recovered",
        10,
    )
    assert switched.drawdown_r < 2.0

    assert ask(good, benched=benched, days=days - 1) == []
    assert ask(records(-0.1), benched=benched, days=days) == []
    assert ask(records(0.1, n_days=19), benched=benched, days=days) == []
    fell = good.copy()
    fell[:, 0] += 1.0
    fell[-3:, 0] = -4.0
    assert read_records(fell, 30.0).score[0] > RULES.enable_score
    assert ask(fell, benched=benched, days=days) == []


def test_a_record_that_never_moved_says_nothing():
    """Neither benched for a score of 0 below a positive threshold, nor brought back by it."""
    strict = SwitchSpec(disable_score=0.1, enable_score=0.1)
    idle = np.zeros((64, 1))
    assert ask(idle, rules=strict) == []
    lax = SwitchSpec(disable_score=-0.2, enable_score=0.0)
    assert ask(idle, rules=lax, benched=np.array([True]), days=np.array([50])) == []


@given(cases())
def test_each_change_is_one_that_its_numbers_explain(case):
    """Units in order, once; the state really changes; the stated numbers satisfy the rule."""
    daily_r, benched, days, drawdown = case
    got = ask(daily_r, benched=benched, days=days, drawdown=drawdown)
    units = [s.unit for s in got]
    assert units == sorted(set(units))
    for s in got:
        assert s.benched_after != benched[s.unit]
        if s.reason == "drawdown":
            assert s.drawdown_r == drawdown[s.unit] >= RULES.disable_drawdown_r
        elif s.reason == "score":
            assert s.score < RULES.disable_score
            assert s.n_days >= RULES.min_days
        else:
            assert s.score >= RULES.enable_score
            assert s.drawdown_r <= RULES.enable_drawdown_r
            assert s.benched_days >= RULES.cool_down_days


@given(cases())
def test_nobody_goes_to_and_fro(case):
    """Asked again at once with the same record, no one who just changed changes back."""
    daily_r, benched, days, drawdown = case
    first = ask(daily_r, benched=benched, days=days, drawdown=drawdown)
    after, since, fallen = benched.copy(), days.copy(), drawdown.copy()
    for s in first:
        after[s.unit], since[s.unit] = s.benched_after, 0
        fallen[s.unit] = fallen[s.unit] if s.benched_after else 0.0
    assert ask(daily_r, benched=after, days=since, drawdown=fallen) == []


@given(cases())
def test_the_same_bits_in_give_the_same_answer(case):
    """Memory order does not matter, nor do days before anybody existed."""
    daily_r, benched, days, drawdown = case
    once = ask(daily_r, benched=benched, days=days, drawdown=drawdown)
    if daily_r.shape[1] > 1:
        padded = np.vstack([np.full((2, daily_r.shape[1]), np.nan), daily_r])
        for same in (np.asfortranarray(daily_r), padded):
            again = ask(same, benched=benched, days=days, drawdown=drawdown)
            assert repr(again) == repr(once)  # an unknown drawdown is NaN, which equals nothing


@given(cases())
def test_the_drawdown_since_is_the_fall_from_the_highest_sum(case):
    """Equal to walking through the days; nothing without days."""
    daily_r, _, days, _ = case
    got = drawdown_since_r(daily_r, days)
    for unit, since in enumerate(days):
        total = high = 0.0
        own = daily_r[~np.isnan(daily_r[:, unit]), unit]  # a day without a market is none
        for result in own[max(len(own) - since, 0) :]:
            total += result
            high = max(high, total)
        assert got[unit] == pytest.approx(high - total, abs=1e-9)
    assert drawdown_since_r(np.empty((0, 2)), np.array([3, 0])).tolist() == [0.0, 0.0]
