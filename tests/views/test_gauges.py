"""What is at stake in what is held, against sums written out."""

import math

import numpy as np
import pytest

from engine.decision.state import N_RETURNS
from engine.portfolio.compile import compile_portfolio
from engine.portfolio.file import parse_portfolio
from engine.views.gauges import tail

TEXT = """
[risk]
sample_minutes = {minutes}
[[strategy]]
name = "a"
kind = "any"
symbol = "EURUSD"
[[strategy]]
name = "b"
kind = "any"
symbol = "GBPUSD"
"""


def held(minutes: int, net_ccy, n_samples: int = N_RETURNS, next_return: int = 0):
    core = compile_portfolio(parse_portfolio(TEXT.format(minutes=minutes), "test")).core()
    core.account[0]["equity_ccy"] = 1000.0
    core.work["net_ccy"][:2] = net_ccy
    core.returns[:] = np.random.default_rng(5).normal(0.0, 0.01, core.returns.shape)
    core.quotes["n_samples"] = n_samples
    core.account[0]["next_return"] = next_return
    core.covariance[:] = [[1e-4, 0.5e-4], [0.5e-4, 1e-4]]
    return core


@pytest.mark.parametrize("next_return", [0, 100])
def test_the_past_of_what_is_held_is_taken_oldest_first(next_return: int) -> None:
    """With two samples a day, a day is each two that follow another in the ring's order."""
    core = held(720, (2000.0, -500.0), next_return=next_return)
    ordered = np.concatenate([core.returns[next_return:], core.returns[:next_return]])
    portfolio = ordered[:, 0] * 2.0 - ordered[:, 1] * 0.5
    losses = np.sort(1.0 - (1.0 + portfolio[:-1]) * (1.0 + portfolio[1:]))[::-1]

    got = tail(core)

    assert got.historical_var_frac == pytest.approx(losses[2])
    expected = (losses[0] + losses[1] + 0.49 * losses[2]) / 2.49
    assert got.historical_shortfall_frac == pytest.approx(expected)


def test_only_samples_that_are_known_count() -> None:
    """What the ring still holds of before is not the past of these symbols."""
    core = held(1440, (1000.0, 0.0), n_samples=10)
    core.returns[:-10] = -0.9
    assert tail(core).historical_var_frac == pytest.approx(-core.returns[-10:, 0].min())
    core.quotes["n_samples"] = 0
    assert math.isnan(tail(core).historical_var_frac)


def test_diversification_counts_bets() -> None:
    """One symbol is one bet; two equal ones at a correlation of a half are more than one."""
    assert tail(held(1440, (1000.0, 0.0))).diversification_ratio == pytest.approx(1.0)
    two = tail(held(1440, (1000.0, 1000.0))).diversification_ratio
    assert two == pytest.approx(2.0 / math.sqrt(3.0))


def test_nothing_held_is_nothing_at_stake() -> None:
    """And without equity nothing can be said."""
    core = held(1440, (0.0, 0.0))
    assert tail(core)[:3] == (0.0, 0.0, 0.0)
    core.account[0]["equity_ccy"] = 0.0
    assert math.isnan(tail(core).shortfall_frac)
