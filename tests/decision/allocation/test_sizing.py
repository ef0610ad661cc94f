"""How much: each method against its definition, floored to the step and never raised."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.decision.allocation.sizing import kelly_risk_frac, sized_lots, wanted_lots
from engine.decision.money import floor_lots
from engine.decision.state import VOLATILITY_TARGET
from engine.model.reasons import Refusal
from tests.decision.conftest import build, strategy
from tests.decision.test_entries import entries


def solo(method, **given):
    values = ", ".join(f"{name} = {value}" for name, value in given.items())
    sizing = f'sizing = {{ method = "{method}"{", " if values else ""}{values} }}'
    return build(strategy("one", extra=sizing))


@given(
    st.sampled_from(["0.01", "0.1", "1", "0.05", "0.001", "0.25", "100"]),
    st.integers(0, 20_000),
    st.integers(0, 999),
)
def test_steps_are_counted_exactly(step, whole, part):
    """As fractions count: 0.29 / 0.01 is 29, and 0.29999 / 0.01 is 29 too."""
    lots = Decimal(step) * whole + Decimal(step) * part / 1000
    steps = Fraction(lots) // Fraction(step)
    assert floor_lots(float(lots), float(step)) == float(Decimal(step) * int(steps))


def test_size_is_the_fraction_lost_at_the_stop():
    """0.5 % of 100 000 over 100 points of 1 $ a lot is 5 lots, floored to the step."""
    core = solo("fixed_fraction")
    assert entries(core, stop=0.001) == ([0], {})
    assert core.positions[0]["pending_lots"] == 5.0
    core = solo("fixed_fraction")
    entries(core, stop=0.0007)
    assert core.positions[0]["pending_lots"] == 7.14


@given(st.integers(1_000, 10_000_000), st.integers(1, 100), st.integers(1, 5_000))
def test_a_stop_out_never_costs_more_than_the_fraction(cents, bps, points):
    """The largest lots whose loss at the stop is within it; one step more would be beyond."""
    core = solo("fixed_fraction", risk_frac=bps / 10_000)
    core.account["equity_ccy"] = cents / 100
    core.symbols["volume_max_lots"] = 1e9
    lots = sized_lots(core, 0, points * 1e-5)
    budget = Fraction(cents, 100) * Fraction(bps, 10_000)
    steps = budget / (Fraction(points, 100_000) * 100_000) // Fraction(1, 100)
    assert lots == float(Decimal(int(steps)) / 100)


def test_yen_are_converted_before_they_are_risked():
    """500 $ at 110 are 55 000 yen: 0.1 yen of 100 000 a lot is 5.5 lots."""
    core = build(strategy("one", "USDJPY"))
    core.account["equity_ccy"] = 100_000.0
    assert wanted_lots(core, 0, 0.1) == pytest.approx(5.5)


def test_the_largest_and_the_smallest_size_are_the_symbols():
    """Above the maximum is the maximum; below the minimum is no trade, never the minimum."""
    core = solo("fixed_lots", lots=1000.0)
    assert sized_lots(core, 0, 0.0) == 100.0
    core = solo("fixed_lots", lots=0.019)
    assert sized_lots(core, 0, 0.0) == 0.01
    core = solo("fixed_lots", lots=0.00999)
    assert sized_lots(core, 0, 0.0) == 0.0
    assert entries(core) == ([], {Refusal.VOLUME_BELOW_MIN: 1})
    core.symbols["volume_min_lots"] = 0.3
    core.slots["lots"] = 0.29
    assert sized_lots(core, 0, 0.0) == 0.0
    core.slots["lots"] = 0.3
    assert sized_lots(core, 0, 0.0) == 0.3


@pytest.mark.parametrize("method", ["fixed_lots", "fixed_fraction", "volatility_target", "kelly"])
def test_allocation_multiplies_and_tier_one_halves_every_method(method):
    """Then the floor: half of 7.14 is 3.57; the allocation counts at most three times."""
    core = solo(method, lots=7.143, risk_frac=0.005, kelly_max_frac=0.01)
    core.covariance[:] = 1e-8
    whole = wanted_lots(core, 0, 0.0007)
    assert whole > 1.0
    for allocation, tier, factor in (
        (1.0, 0, 1),
        (0.5, 0, 0.5),
        (2.0, 1, 1),
        (9.0, 0, 3),
        (0, 0, 0),
    ):
        core.positions["allocation"] = allocation
        core.account["tier"] = tier
        assert sized_lots(core, 0, 0.0007) == math.floor(100 * whole * factor + 1e-6) / 100


def test_a_volatility_target_moves_its_fraction_in_a_usual_day():
    """Daily deviation of the position is `volatility_frac` of equity; no stop is needed."""
    core = solo("volatility_target", volatility_frac=0.002)
    core.covariance[:] = 2.5e-7
    lots = wanted_lots(core, 0, math.nan)
    assert lots * 117_000 * math.sqrt(24 * 2.5e-7) == pytest.approx(200.0)


def test_without_a_record_a_volatility_target_is_refused():
    """Nobody knows what a usual day is until `samples_min` samples are there."""
    core = solo("volatility_target")
    assert np.isnan(core.covariance).all()
    assert entries(core) == ([], {Refusal.NO_RECORD: 1})
    core.covariance[:] = 0.0
    assert core.slots[0]["sizing"] == VOLATILITY_TARGET
    assert math.isnan(sized_lots(core, 0, math.nan))  # what never moved is no record


def record(core, *members):
    """Give each member (n trades, mean R, deviation R), and equal shares of the coming trade."""
    for m, (n, mean, deviation) in enumerate(members):
        output = core.outputs[m]
        output["shadow_trades"], output["shadow_r"] = n, n * mean
        output["shadow_square_r"] = n * (deviation**2 + mean**2)
        output["entry_share"] = 1.0 / len(members)


def test_kelly_is_mean_over_variance_shrunk_times_its_fraction():
    """f = ¼ × 0.2 × 100/150 ÷ 1.5² where the record is long enough."""
    core = solo("kelly", kelly_max_frac=0.1)
    record(core, (100, 0.2, 1.5))
    assert kelly_risk_frac(core, 0) == pytest.approx(0.25 * 0.2 * (100 / 150) / 1.5**2)


def test_kelly_is_capped_and_bets_nothing_on_no_edge():
    """A great record bets `kelly_max_frac` at most; a losing or constant one nothing."""
    core = solo("kelly", kelly_max_frac=0.01)
    record(core, (1000, 0.9, 0.5))
    assert kelly_risk_frac(core, 0) == 0.01
    for mean, deviation in ((0.0, 1.0), (-0.1, 1.0), (0.5, 0.0)):
        record(core, (1024, mean, deviation))
        assert kelly_risk_frac(core, 0) == 0.0
    core.account["equity_ccy"] = 100_000.0
    assert sized_lots(core, 0, 0.001) == 0.0


@pytest.mark.parametrize(
    "results",
    [[0.1 + 0.2] * 70, [0.7] * 60, [-0.1] * 60 + [0.1] * 60, [0.1, 0.2, -0.3] * 20, [1 / 3] * 99],
)
def test_kelly_bets_nothing_on_the_last_bits_of_a_record(results):
    """Results that are all alike have no variance, those that cancel no mean: in binary almost."""
    core = solo("kelly", kelly_max_frac=0.01, kelly_min_trades=10)
    output = core.outputs[0]
    output["entry_share"] = 1.0
    for r in results:
        output["shadow_trades"] += 1
        output["shadow_r"] += r
        output["shadow_square_r"] += r * r
    assert kelly_risk_frac(core, 0) == 0.0


@pytest.mark.parametrize(("n", "risk"), [(0, 0.005), (49, 0.005), (50, 0.0025)])
def test_kelly_waits_for_its_minimum_record(n, risk):
    """Below `kelly_min_trades` it risks `risk_frac`; a record of parameters' fitting is none."""
    core = solo("kelly", kelly_max_frac=0.1, kelly_frac=0.02)
    record(core, (n, 0.25, 1.0))
    assert kelly_risk_frac(core, 0) == pytest.approx(risk)


def test_kelly_reads_the_agreeing_members_by_their_shares():
    """Counts, means and squares are weighted by the shares of the coming trade."""
    text = strategy("a") + strategy("b") + strategy("c")
    text += (
        '[[book]]\nname = "k"\nmembers = { a = 1.0, b = 1.0, c = 1.0 }\n'
        'sizing = { method = "kelly", kelly_max_frac = 0.1 }\n'
    )
    core = build(text)
    record(core, (80, 0.1, 1.0), (120, 0.3, 2.0), (10_000, 9.0, 0.1))
    core.outputs["entry_share"] = [0.5, 0.5, 0.0]
    variance = 0.5 * (1.0 + 0.01) + 0.5 * (4.0 + 0.09) - 0.2**2
    assert kelly_risk_frac(core, 0) == pytest.approx(0.25 * 0.2 * (100 / 150) / variance)


def test_a_minimum_record_that_is_just_reached_counts():
    """A third each of 3, 4 and 2 trades are 3, and 2.9999…96 in binary."""
    text = strategy("a") + strategy("b") + strategy("c")
    text += (
        '[[book]]\nname = "k"\nmembers = { a = 1.0, b = 1.0, c = 1.0 }\n'
        'sizing = { method = "kelly", kelly_min_trades = 3 }\n'
    )
    core = build(text)
    record(core, (3, -0.5, 1.0), (4, -0.5, 1.0), (2, -0.5, 1.0))
    assert kelly_risk_frac(core, 0) == 0.0


def test_kelly_without_a_record_never_exceeds_its_cap():
    """`risk_frac` above `kelly_max_frac` is the cap."""
    core = solo("kelly", risk_frac=0.02, kelly_max_frac=0.01)
    assert kelly_risk_frac(core, 0) == 0.01
