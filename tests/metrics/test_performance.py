import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.metrics import performance as p

YEAR_NS = int(365.25 * 86_400e9)
START_NS = 1_514_764_800 * 10**9  # 2018-01-01
_returns = st.lists(st.floats(-0.1, 0.1), min_size=2, max_size=40).map(np.array)


def test_returns_compound():
    """Two years of +10 % each are 21 % in all and 10 % a year."""
    assert p.total_return_frac(100.0, 121.0) == pytest.approx(0.21)
    assert p.annual_return_frac(100.0, 121.0, START_NS, START_NS + 2 * YEAR_NS) == pytest.approx(
        0.10
    )
    assert p.annual_return_frac(100.0, 0.0, START_NS, START_NS + YEAR_NS) == -1.0


@pytest.mark.parametrize(
    ("first", "last", "known"),
    [
        ("2018-06-04", "2018-06-05", False),  # 1 % of a day was 8e220 % a year
        ("2018-06-04", "2018-07-03", False),
        ("2018-06-04", "2018-07-04", True),
        ("2018-02-01", "2018-03-01", True),
        ("2018-01-31", "2018-02-28", True),
        ("2018-12-15", "2019-01-14", False),
        ("2018-12-15", "2019-01-15", True),
    ],
)
def test_less_than_a_month_has_no_annual_return(first, last, known):
    """What a few days made says nothing of a year; a calendar month is enough, however short."""
    bounds = (int(np.datetime64(day, "ns").astype(np.int64)) for day in (first, last))
    assert math.isfinite(p.annual_return_frac(100.0, 105.0, *bounds)) == known


def test_days_end_with_their_last_value_and_returns_chain():
    """Π (1 + r) = last / first, whatever happened within the days."""
    ends = p.day_ends(np.array([1, 1, 2, 5, 5]), np.array([101.0, 102, 99, 98, 110]))
    assert ends.tolist() == [102.0, 99.0, 110.0]
    returns = p.daily_returns(100.0, ends)
    assert float(np.prod(1.0 + returns)) == pytest.approx(1.10)
    assert len(p.daily_returns(100.0, np.empty(0))) == 0


def test_sharpe_and_sortino_of_a_known_series():
    """Worked by hand: mean 0.005, deviation 0.0129…, downside √(0.01² / 4)."""
    returns = np.array([0.02, -0.01, 0.01, 0.0])
    assert p.sharpe_ratio(returns, 252.0) == pytest.approx(0.005 / 0.012909944 * math.sqrt(252))
    assert p.sortino_ratio(returns, 252.0) == pytest.approx(0.005 / 0.005 * math.sqrt(252))


@given(_returns, st.floats(0.1, 10.0))
def test_ratios_do_not_depend_on_leverage(returns, leverage):
    """Scaling every return scales mean and risk alike."""
    for ratio in (p.sharpe_ratio, p.sortino_ratio):
        one, other = ratio(returns, 252.0), ratio(returns * leverage, 252.0)
        if np.std(returns) > 1e-6 and not (math.isnan(one) or math.isnan(other)):
            assert one == pytest.approx(other, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("returns", [[], [0.01], [0.01, 0.01], [0.1] * 3])
def test_undefined_ratios_are_unknown(returns):
    """No deviation or no losing day is no infinite ratio, nor is what rounding made of none."""
    assert math.isnan(p.sharpe_ratio(np.array(returns), 252.0))
    assert math.isnan(p.sortino_ratio(np.array(returns), 252.0))
    assert math.isnan(p.calmar_ratio(0.1, 0.0))


def test_a_loss_that_rounding_made_is_none():
    """Its ratio would be 1e158."""
    assert math.isnan(p.sortino_ratio(np.array([0.0625, -1.7e-159]), 252.0))


@given(st.lists(st.floats(1.0, 1e6), min_size=1, max_size=50))
def test_drawdown_is_the_deepest_fall_from_an_earlier_high(values):
    """Equal to the definition over all pairs; 0 for a curve that never falls."""
    curve = [1000.0, *values]
    worst = max(1 - b / a for i, a in enumerate(curve) for b in curve[i:])
    assert p.max_drawdown_frac(1000.0, np.array(values)) == pytest.approx(worst, abs=1e-12)
    assert p.max_drawdown_frac(1.0, np.sort(values)) == 0.0


def test_trades_figures():
    """A trade at exactly 0 is no win and no loss; without losses the factor is unknown."""
    profits = np.array([30.0, -10.0, 0.0, 20.0])
    assert p.win_rate_frac(profits) == 0.5
    assert p.profit_factor(profits) == 5.0
    assert math.isnan(p.profit_factor(np.array([1.0])))
    assert math.isnan(p.win_rate_frac(np.empty(0)))


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 30)), max_size=12))
def test_exposure_counts_every_minute_once(spans):
    """Overlapping positions are not counted twice: equal to marking every minute."""
    entries = np.array([a for a, _ in spans], np.int64)
    exits = np.array([a + n for a, n in spans], np.int64)
    held = {m for a, n in spans for m in range(a, a + n)}
    assert p.exposure_frac(entries, exits, 200) == len(held) / 200
