"""Shares from records: whole, inside bounds, no faster than allowed, and blind to order."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engine.decision.allocation.allocate import SCORE_AT_ZERO, allocate, manual_shares
from engine.decision.allocation.hierarchical import hierarchical_weights, load_skfolio
from engine.decision.allocation.scores import read_records, shrink_scores
from engine.decision.allocation.share_limits import limit_turnover, normalised, spread
from engine.model.portfolio import AllocationSpec

METHODS = ("score", "inverse_volatility", "hrp")
EPS = 1e-9


@pytest.fixture(scope="module", autouse=True)
def _skfolio():
    """Its import takes seconds, which is no test's time."""
    load_skfolio()


@st.composite
def histories(draw, *, max_units=6):
    """Daily results of a few units that began on different days; some never moved."""
    n_days, n_units = draw(st.integers(0, 64)), draw(st.integers(1, max_units))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    daily_r = rng.normal(
        rng.normal(0, 0.2, n_units), rng.choice([0.1, 1, 3], n_units), (n_days, n_units)
    )
    for unit in range(n_units):
        daily_r[: draw(st.integers(0, n_days)), unit] = np.nan
        if draw(st.integers(0, 5)) == 0:
            daily_r[:, unit] *= 0.0
    return daily_r


@st.composite
def cases(draw, methods=METHODS):
    """Settings, a history and current shares."""
    rules = AllocationSpec(
        method=draw(st.sampled_from(methods)),
        half_life_days=draw(st.sampled_from([1.0, 5.0, 30.0, 1000.0])),
        shrink_days=draw(st.sampled_from([0.0, 30.0])),
        min_days=draw(st.integers(2, 30)),
        floor_ratio=draw(st.sampled_from([0.0, 0.25, 1.0])),
        cap_ratio=draw(st.sampled_from([1.0, 1.5, 3.0, 100.0])),
        turnover_max_frac=draw(st.sampled_from([0.01, 0.2, 1.0])),
    )
    daily_r = draw(histories())
    raw = draw(arrays(np.float64, daily_r.shape[1], elements=st.floats(0.0, 1.0)))
    return rules, daily_r, normalised(raw)


@given(cases(), st.integers(0, 2**32 - 1))
def test_days_on_which_all_markets_were_closed_change_nothing(case, seed):
    """A half-life and `min_days` count a unit's own days: rows without a result are not there."""
    rules, daily_r, _ = case
    rng = np.random.default_rng(seed)
    kept = np.sort(rng.permutation(2 * len(daily_r))[: len(daily_r)])
    thinned = np.full((2 * len(daily_r), daily_r.shape[1]), np.nan)
    thinned[kept] = daily_r
    for one, other in zip(
        read_records(daily_r, rules.half_life_days),
        read_records(thinned, rules.half_life_days),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def ask(rules, daily_r, shares):
    return allocate(rules, daily_r, shares, names=[f"u{i}" for i in range(len(shares))])


def bounds(rules, n):
    return rules.floor_ratio / n, min(rules.cap_ratio / n, 1.0)


def changed(rules, **values):
    return AllocationSpec(**({f: getattr(rules, f) for f in rules.__struct_fields__} | values))


@settings(deadline=None)
@given(cases())
def test_shares_are_whole_known_and_no_faster_than_allowed(case):
    """They sum to 1, none is NaN or negative, and Σ|change| / 2 keeps the day's limit."""
    rules, daily_r, shares = case
    got = ask(rules, daily_r, shares)
    for figures in got:
        assert np.isfinite(figures).all()
    assert np.sum(got.shares) == pytest.approx(1.0, abs=EPS)
    assert np.sum(got.target) == pytest.approx(1.0, abs=EPS)
    assert got.shares.min() >= 0.0
    assert np.sum(np.abs(got.shares - shares)) / 2 <= rules.turnover_max_frac + EPS


@settings(deadline=None)
@given(cases())
def test_shares_end_inside_floor_and_cap(case):
    """With turnover to spend they are inside at once; without, no further out than before."""
    rules, daily_r, shares = case
    low, high = bounds(rules, len(shares))
    free = ask(changed(rules, turnover_max_frac=1.0), daily_r, shares).shares
    assert free.min() >= low - EPS
    assert free.max() <= high + EPS
    slow = ask(rules, daily_r, shares).shares
    assert (slow >= np.minimum(shares, low) - EPS).all()
    assert (slow <= np.maximum(shares, high) + EPS).all()


@settings(deadline=None)
@given(cases(), st.randoms(use_true_random=False))
def test_units_have_no_order(case, random):
    """The same units in another order get the same shares."""
    rules, daily_r, shares = case
    order = list(range(len(shares)))
    random.shuffle(order)
    one, other = ask(rules, daily_r, shares), ask(rules, daily_r[:, order], shares[order])
    for a, b in zip(one, other, strict=True):
        assert b == pytest.approx(a[order], abs=1e-9)


@settings(deadline=None)
@given(cases())
def test_equal_records_and_shares_stay_equal(case):
    """Two units that did the same have the same, to the bit."""
    rules, daily_r, shares = case
    twice = np.column_stack([daily_r, daily_r[:, 0]])
    got = ask(rules, twice, normalised(np.append(shares, shares[0])))
    assert got.shares[0] == got.shares[-1]


@settings(deadline=None)
@given(cases())
def test_the_same_bits_in_give_the_same_bits_out(case):
    """Memory order, a second call, and days before anybody existed change nothing."""
    rules, daily_r, shares = case
    once = ask(rules, daily_r, shares)
    before = np.full((3, daily_r.shape[1]), np.nan)
    assume(daily_r.shape[1] > 1)
    for same in (daily_r.copy(), np.asfortranarray(daily_r), np.vstack([before, daily_r])):
        for a, b in zip(once, ask(rules, same, shares), strict=True):
            assert np.array_equal(a, b)


@settings(deadline=None)
@given(cases())
def test_a_target_that_is_reached_stays(case):
    """Day after day of the same record: shares arrive and then do not move by one bit."""
    rules, daily_r, shares = case
    moving = changed(rules, turnover_max_frac=0.3)
    for _ in range(8):
        shares = ask(moving, daily_r, shares).shares
    assert np.array_equal(ask(moving, daily_r, shares).shares, shares)


@settings(deadline=None)
@given(cases())
def test_who_has_no_record_keeps_its_share(case):
    """Too few days, or none with a movement: the share stays, if floor and cap let it."""
    rules, daily_r, shares = case
    got = ask(changed(rules, floor_ratio=0.0, cap_ratio=100.0), daily_r, shares)
    short = np.count_nonzero(~np.isnan(daily_r), axis=0) < rules.min_days
    assert not got.judged[short].any()
    assert np.array_equal(got.shares[~got.judged], shares[~got.judged])


@settings(deadline=None)
@given(cases(methods=["score"]))
def test_a_better_score_never_has_less(case):
    """Among judged units shares rise with the score; all at 0 or below are equal."""
    rules, daily_r, shares = case
    got = ask(changed(rules, turnover_max_frac=1.0), daily_r, shares)
    order = np.argsort(got.score[got.judged], kind="stable")
    assert (np.diff(got.shares[got.judged][order]) >= -EPS).all()
    poor = got.judged & (got.score <= 0.0)
    if poor.any():
        assert np.ptp(got.shares[poor]) == 0.0


def test_one_score_a_hair_above_zero_takes_nothing():
    """Shares do not jump where a score crosses 0."""
    day = np.tile([1.0, -1.0], 32)
    rules = AllocationSpec(
        method="score", shrink_days=0.0, half_life_days=1e4, turnover_max_frac=1.0
    )
    got = ask(rules, np.column_stack([day + 1e-3, day - 1e-3, day - 1e-3]), np.full(3, 1 / 3))
    assert got.score[0] > 0.0 > got.score[1]
    weights = np.array([got.score[0] + SCORE_AT_ZERO, SCORE_AT_ZERO, SCORE_AT_ZERO])
    assert got.shares == pytest.approx(weights / weights.sum())
    assert got.shares == pytest.approx(1 / 3, abs=0.01)


def test_inverse_volatility_of_known_records():
    """Twice the deviation, half the share."""
    day = np.tile([1.0, -1.0], 32)
    got = ask(
        AllocationSpec(method="inverse_volatility", turnover_max_frac=1.0, floor_ratio=0.0),
        np.column_stack([day, 2 * day, 4 * day]),
        np.full(3, 1 / 3),
    )
    assert got.shares == pytest.approx(np.array([4, 2, 1]) / 7)


def test_the_way_to_the_target_is_cut_in_proportion():
    """A day's part of the way points at the target, and the last day arrives exactly."""
    old, new = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.5, 0.4])
    assert limit_turnover(old, new, 0.1) == pytest.approx(old + 0.25 * (new - old))
    assert limit_turnover(old, new, 0.4) is new


@given(
    arrays(np.float64, st.integers(1, 12), elements=st.floats(0.0, 1e6)),
    st.floats(0.0, 1.0),
    st.floats(1.0, 5.0),
)
@example(np.array([0.0, 0.0, 1.0]), 0.0, 1.5)
@example(np.array([5e-324, 1e6, 0.0]), 0.0, 1.2)
def test_spreading_is_one_scale_cut_at_the_bounds(weights, floor, cap):
    """Sum and bounds hold, and those strictly between have shares in proportion to weights."""
    n = len(weights)
    low, high = floor / n, cap / n
    got = spread(weights, 1.0, low, high)
    assert np.sum(got) == pytest.approx(1.0, abs=EPS)
    assert got.min() >= low
    assert got.max() <= high
    order = np.argsort(weights, kind="stable")
    assert (np.diff(got[order]) >= -EPS).all()
    between = (got > low) & (got < high)
    weight, share = np.sum(weights[between]), np.sum(got[between])
    if weight > 0.0:
        assert got[between] == pytest.approx(weights[between] / weight * share, abs=EPS)


@given(histories(), st.sampled_from([1.0, 10.0, 100.0]))
def test_figures_of_a_record_are_the_weighted_ones(daily_r, half_life_days):
    """Each unit's mean and deviation equal numpy's weighted ones over its own days."""
    got = read_records(daily_r, half_life_days)
    for unit in range(daily_r.shape[1]):
        known = ~np.isnan(daily_r[:, unit])
        assert got.n_days[unit] == np.count_nonzero(known)
        if not known.any():
            assert (got.mean_r[unit], got.volatility_r[unit], got.score[unit]) == (0.0, 0.0, 0.0)
            continue
        ages = np.arange(len(daily_r))[::-1][known]
        weights, values = 0.5 ** (ages / half_life_days), daily_r[known, unit]
        if not weights.sum() > 1e-12:
            continue
        effective = weights.sum() ** 2 / (weights**2).sum()
        assert got.effective_days[unit] == pytest.approx(effective)
        mean = np.average(values, weights=weights)
        deviation = np.sqrt(np.average((values - mean) ** 2, weights=weights))
        assert got.mean_r[unit] == pytest.approx(mean, abs=1e-9)
        assert got.volatility_r[unit] == pytest.approx(deviation, abs=1e-8)
        if deviation > 1e-6:
            assert got.score[unit] == pytest.approx(mean / deviation)


@given(arrays(np.float64, st.tuples(st.integers(0, 64), st.integers(1, 4))))
@settings(max_examples=200)
def test_no_number_makes_a_record_unknown(daily_r):
    """Infinite, huge, denormal results: every figure stays finite, and so do shares."""
    for method in ("score", "inverse_volatility"):
        n = daily_r.shape[1]
        got = ask(AllocationSpec(method=method, min_days=2), daily_r, np.full(n, 1 / n))
        for figures in got:
            assert np.isfinite(figures).all()
        assert np.sum(got.shares) == pytest.approx(1.0, abs=EPS)


@given(st.floats(-10.0, 10.0), st.integers(1, 64))
def test_a_constant_record_has_no_deviation(result, n_days):
    """The rounding of a mean is no risk, and a score over it would be anything."""
    got = read_records(np.full((n_days, 1), result), 30.0)
    assert got.mean_r[0] == pytest.approx(result)
    assert (got.volatility_r[0], got.score[0]) == (0.0, 0.0)


def test_short_records_are_drawn_to_the_mean():
    """Two units of the same score: the one with more days keeps more of it."""
    day = np.tile([1.2, -0.8], 32)
    daily_r = np.column_stack([day, day, -day])
    daily_r[:44, 1] = np.nan
    records = read_records(daily_r, 1e5)
    everyone = np.ones(3, dtype=bool)
    long, short, poor = shrink_scores(records, everyone, 30.0)
    assert long > short > np.mean(records.score) > poor
    assert shrink_scores(records, everyone, 0.0) == pytest.approx(records.score)
    assert shrink_scores(records, everyone, 1e9) == pytest.approx(np.mean(records.score), abs=1e-6)
    assert shrink_scores(records, everyone, 64.0)[0] == pytest.approx(
        (records.score[0] + np.mean(records.score)) / 2, abs=1e-3
    )


def test_manual_shares_are_the_operator_s():
    """Named ones in proportion, unnamed ones the equal share; no floor, cap or turnover."""
    assert manual_shares({}, ["a", "b"]).tolist() == [0.5, 0.5]
    assert manual_shares({"a": 3, "b": 1}, ["a", "b"]) == pytest.approx([0.75, 0.25])
    assert manual_shares({"a": 3, "b": 1}, ["a", "b", "c"]) == pytest.approx([0.5, 1 / 6, 1 / 3])
    assert manual_shares({"a": 0}, ["a", "b", "c"]).tolist() == [0.0, 0.5, 0.5]
    assert manual_shares({"a": 0, "b": 0}, ["a", "b"]).tolist() == [0.5, 0.5]
    got = allocate(
        AllocationSpec(shares={"a": 99, "b": 1}), np.empty((0, 2)), [0.5, 0.5], names=["a", "b"]
    )
    assert got.shares == pytest.approx([0.99, 0.01])


def test_hierarchical_weights_of_known_clusters():
    """Two copies of one bet and another bet: the copies share what the one would have."""
    rng = np.random.default_rng(3)
    one, other = rng.normal(size=(2, 60))
    weights = hierarchical_weights(np.column_stack([one, one, other]))
    alone = hierarchical_weights(np.column_stack([one, other]))
    assert weights is not None
    assert alone is not None
    inverse = 1 / np.var([one, other], axis=1)
    assert alone == pytest.approx(inverse / inverse.sum())
    assert weights == pytest.approx([alone[0] / 2, alone[0] / 2, alone[1]])
    assert hierarchical_weights(one[:, None]) == pytest.approx([1.0])


def test_hierarchical_weights_that_do_not_exist_move_nothing(monkeypatch):
    """What skfolio cannot solve is no reason to stop the day: everybody keeps its share."""
    parts = load_skfolio()

    def fail(*_):
        raise parts.OptimizationError("zero total risk")

    monkeypatch.setattr(parts.HierarchicalRiskParity, "fit", fail)
    shares = np.array([0.4, 0.35, 0.25])
    got = ask(AllocationSpec(method="hrp"), np.random.default_rng(3).normal(size=(64, 3)), shares)
    assert not got.judged.any()
    assert np.array_equal(got.shares, shares)


def test_hrp_of_bets_that_cancel_each_other_out():
    """Perfect hedges make no NaN."""
    one, other = np.random.default_rng(3).normal(size=(2, 64))
    daily_r = np.column_stack([one, -one, other, -other])
    got = ask(AllocationSpec(method="hrp"), daily_r, np.full(4, 0.25))
    assert np.isfinite(got.shares).all()
    assert np.sum(got.shares) == pytest.approx(1.0)


def test_hrp_of_more_units_than_days():
    """A singular covariance is nothing to warn of: clusters need no inverse."""
    daily_r = np.random.default_rng(5).normal(size=(20, 40))
    got = ask(AllocationSpec(method="hrp"), daily_r, np.full(40, 1 / 40))
    assert got.judged.all()
    assert np.sum(got.shares) == pytest.approx(1.0)


def test_skfolio_is_imported_by_hrp_alone_and_its_absence_is_one_line():
    """The engine starts without it; who asks for hrp is told what to install."""
    code = (
        "import sys, numpy as np\n"
        "sys.modules['skfolio'] = None\n"
        "from engine.decision.allocation.allocate import allocate\n"
        "from engine.model.errors import ConfigError\n"
        "from engine.model.portfolio import AllocationSpec\n"
        "r = np.random.default_rng(1).normal(size=(64, 2))\n"
        "allocate(AllocationSpec(method='score'), r, [.5, .5], names='ab')\n"
        "assert not {'scipy', 'sklearn'} & set(sys.modules)\n"
        "try: allocate(AllocationSpec(method='hrp'), r, [.5, .5], names='ab')\n"
        "except ConfigError as e: print(e)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == (
        'allocation.method: hrp needs skfolio: pip install "portfolio-manager-pro[research]"'
    )
