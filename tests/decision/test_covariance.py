"""How the symbols move together, against a plain recomputation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decision.account import set_quote
from engine.decision.covariance import (
    correlation,
    daily_volatility_frac,
    sample_returns,
    update_covariance,
)
from engine.decision.state import N_RETURNS
from engine.metrics import risk
from engine.model.times import NS_PER_HOUR, NS_PER_MINUTE
from tests.decision.conftest import build, strategy
from tests.metrics.measures import shrunk_correlation

NAMES = ("EURUSD", "GBPUSD", "AUDUSD")
TEXT = "".join(strategy(name.lower(), name) for name in NAMES)


def walk(core, n_samples, seed, missing=0):
    """Sample so many hours of a walk; AUDUSD has no price in the first `missing`. Return bids."""
    rng = np.random.default_rng(seed)
    bids = np.round(1.2 * np.exp(np.cumsum(rng.normal(0, 1e-3, (n_samples, 3)), axis=0)), 5)
    bids[:missing, 2] = np.nan
    for hour, row in enumerate(bids):
        for s, bid in enumerate(row.tolist()):
            set_quote(core, s, bid, bid, 1)
        # Two batches an hour: only the first one of a cell is a sample.
        sample_returns(core, hour * NS_PER_HOUR + 7 * NS_PER_MINUTE)
        for s in range(3):
            set_quote(core, s, 9.9, 9.9, 1)
        sample_returns(core, hour * NS_PER_HOUR + 53 * NS_PER_MINUTE)
    return bids


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 2 * N_RETURNS + 3), st.integers(0, 2**32 - 1))
def test_the_covariance_is_a_plain_recomputation_of_the_newest_returns(n_samples, seed):
    """Σ r rᵀ / n about zero of at most the last 250, correlations shrunk by a tenth."""
    core = build(TEXT)
    core.limits["samples_min"] = 1
    bids = walk(core, n_samples, seed)
    returns = (bids[1:] / bids[:-1] - 1.0)[-N_RETURNS:]
    plain = risk.covariance(returns)
    np.testing.assert_allclose(np.diagonal(core.covariance), np.diagonal(plain), rtol=1e-12)
    shrunk = shrunk_correlation(risk.correlation(plain), 0.1)
    for a in range(3):
        deviation = math.sqrt(plain[a, a] * 24)
        assert daily_volatility_frac(core, a) == pytest.approx(deviation, rel=1e-12)
        for b in range(3):
            expected = pytest.approx(shrunk[a, b], rel=1e-9, abs=1e-12, nan_ok=True)
            assert correlation(core, a, b) == expected


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 600), st.integers(0, 2**32 - 1))
def test_what_was_kept_up_to_date_is_what_a_load_works_out(n_samples, seed):
    """The kept matrix equals one made anew from the kept returns, to the last bit."""
    core = build(TEXT)
    core.limits["samples_min"] = 1
    walk(core, n_samples, seed)
    kept = core.covariance.copy()
    core.covariance[:] = 7.0
    update_covariance(core)
    assert kept.tobytes() == core.covariance.tobytes()


def test_below_the_least_samples_a_symbol_is_unknown_and_others_are_not(make_core):
    """AUDUSD came late: its variance and whatever it is compared with are unknown until 48."""
    core = make_core(TEXT)
    walk(core, 60, 1, missing=13)
    assert core.quotes["n_samples"].tolist() == [59, 59, 46]
    known = ~np.isnan(core.covariance)
    assert known.tolist() == [[True, True, False], [True, True, False], [False] * 3]
    core = make_core(TEXT)
    walk(core, 62, 1, missing=13)
    assert not np.isnan(core.covariance).any()
