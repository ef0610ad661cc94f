import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engine.metrics import risk as r
from tests.metrics import measures

_returns = st.integers(1, 60).flatmap(lambda n: arrays(np.float64, n, elements=st.floats(-0.5, 1)))
_levels = st.sampled_from([0.5, 0.9, 0.95, 0.975, 0.99])


@st.composite
def panels(draw):
    """Returns of a few assets, (n_periods, n_assets), and signed weights."""
    n_periods, n_assets = draw(st.integers(2, 20)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return rng.normal(0.0, 0.01, (n_periods, n_assets)), rng.normal(0.0, 1.0, n_assets)


def test_var_and_shortfall_of_a_hundred_known_losses():
    """Losses of 1 … 100 per mille: VaR 95 % is the 95th, the shortfall the mean of 96 … 100."""
    returns = -np.random.default_rng(1).permutation(np.arange(1, 101)) / 1000
    assert r.historical_var_frac(returns, 0.95) == pytest.approx(0.095)
    assert r.historical_shortfall_frac(returns, 0.95) == pytest.approx(0.098)
    # 2.5 worst ones of 100: two whole ones and half of the third.
    assert r.historical_shortfall_frac(returns, 0.975) == pytest.approx(
        (0.100 + 0.099 + 0.5 * 0.098) / 2.5
    )


@given(_returns, _levels)
def test_var_is_the_smallest_loss_that_covers_the_level(returns, level):
    """At least `level` of the losses are at or below it, fewer are below the next smaller one."""
    losses = -r.horizon_returns(returns, 1)
    var = r.historical_var_frac(returns, level)
    assert var in losses
    assert np.mean(losses <= var) >= level - 1e-12
    assert np.mean(losses < var) < level + 1e-12


@given(_returns, _levels, st.floats(0.0, 0.1))
def test_shortfall_is_no_less_than_var_and_moves_with_the_returns(returns, level, shift):
    """The tail's mean is beyond its edge; a sure gain lowers both by itself."""
    var, shortfall = (
        f(returns, level) for f in (r.historical_var_frac, r.historical_shortfall_frac)
    )
    assert shortfall >= var - 1e-12
    assert r.historical_var_frac(returns + shift, level) == pytest.approx(var - shift, abs=1e-9)
    moved = r.historical_shortfall_frac(returns + shift, level)
    assert moved == pytest.approx(shortfall - shift, abs=1e-9)


@given(_returns, _returns, _levels)
def test_shortfall_of_two_is_no_more_than_the_sum(one, other, level):
    """Diversifying never costs: the shortfall is subadditive."""
    n = min(len(one), len(other))
    a, b = one[:n], other[:n]
    both = r.historical_shortfall_frac(a + b, level)
    apart = r.historical_shortfall_frac(a, level) + r.historical_shortfall_frac(b, level)
    assert both <= apart + 1e-9


def test_horizons_compound():
    """Two days of +10 % are +21 %; a record shorter than the horizon says nothing."""
    assert r.horizon_returns(np.array([0.1, 0.1, -0.5]), 2) == pytest.approx([0.21, -0.45])
    assert r.historical_var_frac(np.array([0.1, 0.1, -0.5]), 0.5, 2) == pytest.approx(-0.21)
    assert math.isnan(r.historical_var_frac(np.array([0.1]), 0.5, 2))
    assert math.isnan(r.historical_shortfall_frac(np.empty(0), 0.5))


def test_parametric_figures_are_the_normal_distribution_s():
    """1.645 and 2.063 deviations at 95 %; four days are twice one day's; a mean comes off."""
    assert measures.parametric_var_frac(0.01, 0.95) == pytest.approx(0.0164485, abs=1e-7)
    assert r.parametric_shortfall_frac(0.01, 0.95) == pytest.approx(0.0206271, abs=1e-7)
    assert measures.parametric_var_frac(0.01, 0.95, 4) == pytest.approx(2 * 0.0164485, abs=1e-6)
    with_mean = measures.parametric_var_frac(0.01, 0.95, 4, mean_frac=0.001)
    assert with_mean == pytest.approx(2 * 0.0164485 - 0.004, abs=1e-6)
    assert math.isnan(measures.parametric_var_frac(math.nan, 0.95))


def test_historical_figures_of_a_normal_sample_come_near_the_parametric_ones():
    """Both measure the same thing."""
    quantiles = (np.arange(1, 20_001) - 0.5) / 20_000
    sample = np.array([NormalDist(0.0, 0.02).inv_cdf(q) for q in quantiles])
    for historical, parametric in (
        (r.historical_var_frac, measures.parametric_var_frac),
        (r.historical_shortfall_frac, r.parametric_shortfall_frac),
    ):
        assert historical(sample, 0.99) == pytest.approx(parametric(0.02, 0.99), rel=0.01)


@given(panels(), st.floats(0.8, 1.0))
def test_decayed_covariance_is_the_recursion(panel, decay):
    """Equal to C ← λ C + (1 − λ) r rᵀ step by step, seeded with the first period."""
    returns, _ = panel
    step = np.outer(returns[0], returns[0])
    total = 1.0
    for row in returns[1:]:
        step = decay * step + np.outer(row, row)
        total = decay * total + 1.0
    weights = measures.decay_weights(len(returns), decay)
    assert np.sum(weights) == pytest.approx(1.0)
    assert r.covariance(returns, weights) == pytest.approx(step / total, abs=1e-15)


@given(panels(), st.floats(0.1, 10.0), st.randoms(use_true_random=False))
def test_covariance_scales_permutes_and_is_semidefinite(panel, scale, random):
    """Twice the returns are four times the covariance; assets have no order."""
    returns, _ = panel
    matrix = r.covariance(returns)
    order = list(range(returns.shape[1]))
    random.shuffle(order)
    assert r.covariance(returns * scale) == pytest.approx(matrix * scale**2)
    assert r.covariance(returns[:, order]) == pytest.approx(matrix[np.ix_(order, order)])
    assert np.linalg.eigvalsh(matrix).min() >= -1e-15
    assert r.correlation(matrix * scale) == pytest.approx(r.correlation(matrix))


def test_a_period_with_an_unknown_return_is_left_out_whole():
    """The rest weighs as if it had never been; no period left is unknown."""
    returns = np.array([[0.01, 0.02], [math.nan, 0.5], [-0.03, 0.01]])
    weights = np.array([0.2, 0.5, 0.3])
    without = r.covariance(returns[[0, 2]], weights[[0, 2]])
    assert np.array_equal(r.covariance(returns, weights), without)
    assert np.isnan(r.covariance(returns[1:2])).all()
    assert r.covariance(np.empty((0, 3))).shape == (3, 3)


def test_correlation_of_known_series():
    """The same bet is 1, the opposite −1, an asset that never moves unknown."""
    x = np.array([0.01, -0.02, 0.03])
    got = r.correlation(r.covariance(np.column_stack([x, 2 * x, -x, 0 * x])))
    assert got[:3, :3] == pytest.approx(np.array([[1, 1, -1], [1, 1, -1], [-1, -1, 1]]))
    assert np.isnan(got[3, :3]).all()
    assert got[3, 3] == 1.0


@given(panels(), st.floats(0.0, 1.0))
def test_shrinking_keeps_the_diagonal_and_draws_the_rest_to_zero(panel, frac):
    """Between the correlations and the identity, symmetric, 1 on the diagonal."""
    correlations = r.correlation(r.covariance(panel[0]))
    shrunk = measures.shrunk_correlation(correlations, frac)
    identity = np.eye(len(correlations))
    assert np.diagonal(shrunk) == pytest.approx(1.0)
    assert shrunk == pytest.approx(correlations + frac * (identity - correlations))
    assert np.linalg.eigvalsh(shrunk).min() >= frac - 1e-9


def test_volatility_and_diversification_of_known_portfolios():
    """Independent equal bets: σ/√n and √n. One bet twice: σ and 1. A perfect hedge: 0, unknown."""
    weights, independent = np.full(4, 0.25), np.eye(4) * 0.04
    assert r.portfolio_volatility_frac(weights, independent) == pytest.approx(0.1)
    assert r.diversification_ratio(weights, independent) == pytest.approx(2.0)
    same = np.full((2, 2), 0.04)
    assert r.diversification_ratio(np.array([0.3, 0.7]), same) == pytest.approx(1.0)
    hedge = np.array([1.0, -1.0])
    assert r.portfolio_volatility_frac(hedge, same) == 0.0
    assert math.isnan(r.diversification_ratio(hedge, same))
    assert math.isnan(r.portfolio_volatility_frac(hedge, same * math.nan))


@given(panels(), st.floats(0.1, 10.0), st.floats(0.0, 1.0))
def test_volatility_is_that_of_the_portfolio_s_own_returns(panel, scale, part):
    """√(wᵀCw) is the deviation of Σ w r; it scales; splitting an asset in two changes nothing."""
    returns, weights = panel
    matrix = r.covariance(returns)
    own = math.sqrt(float(np.mean(np.square(np.sum(returns * weights, axis=1)))))
    volatility = r.portfolio_volatility_frac(weights, matrix)
    assert volatility == pytest.approx(own, abs=1e-9)
    assert r.portfolio_volatility_frac(weights * scale, matrix) == pytest.approx(
        volatility * scale, abs=1e-8
    )
    twice = r.covariance(np.column_stack([returns, returns[:, 0]]))
    split = np.append(weights, weights[0] * part)
    split[0] *= 1.0 - part
    assert r.portfolio_volatility_frac(split, twice) == pytest.approx(volatility, abs=1e-9)
    if volatility > 1e-6:
        ratio = r.diversification_ratio(weights, matrix)
        assert ratio >= 1.0 - 1e-9
        assert r.diversification_ratio(split, twice) == pytest.approx(ratio)
        assert r.diversification_ratio(weights * scale, matrix) == pytest.approx(ratio)


def test_leverage_margin_and_shares():
    """Long and short add up in gross and cancel in net; without equity or margin, unknown."""
    exposures = np.array([60_000.0, -40_000.0, 0.0])
    assert measures.gross_leverage(exposures, 50_000.0) == 2.0
    assert measures.net_leverage(exposures, 50_000.0) == pytest.approx(0.4)
    assert measures.largest_share_frac(exposures) == 0.6
    assert r.margin_level_frac(50_000.0, 1_000.0) == 50.0
    assert measures.gross_leverage(np.empty(0), 1.0) == 0.0
    for unknown in (
        measures.gross_leverage(exposures, 0.0),
        measures.net_leverage(exposures, -1.0),
        r.margin_level_frac(50_000.0, 0.0),
        measures.largest_share_frac(np.zeros(3)),
        measures.largest_share_frac(np.empty(0)),
        measures.gross_leverage(np.array([1.0, math.nan]), 1.0),
        r.historical_var_frac(np.array([0.1, math.nan]), 0.5),
        r.historical_shortfall_frac(np.array([0.1, math.nan]), 0.5),
    ):
        assert math.isnan(unknown)
