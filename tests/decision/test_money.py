import math
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.decision.money import (
    commission_ccy,
    floor_lots,
    profit_ccy,
    round_ccy,
    round_price,
    swap_night_ccy,
    swap_nights,
)

MONDAY = 17_686  # 2018-06-04 in days since 1970-01-01


@given(st.integers(-(10**9), 10**9), st.integers(0, 9))
def test_halves_round_away_from_zero_as_written_in_decimal(cents, tenth):
    """The cent is the decimal's, not the binary's: 1.005 is a half, whatever binary makes of it."""
    exact = Decimal(cents).scaleb(-2) + Decimal(tenth).scaleb(-3) * (1 if cents >= 0 else -1)
    rounded = exact.quantize(Decimal("0.01"), ROUND_HALF_UP)
    assert round_ccy(float(exact), 2) == float(rounded)


@given(st.integers(0, 100_000), st.sampled_from([("0.01", 2), ("0.1", 1), ("1", 0), ("0.05", 2)]))
def test_a_whole_number_of_steps_is_kept_whole(n, step):
    """0.29 / 0.01 is 29 steps: the floor never loses a step to binary."""
    text, digits = step
    exact = Decimal(text) * n
    assert floor_lots(float(exact), float(text)) == round(float(exact), digits)


@given(st.floats(1e-6, 1e5, allow_nan=False))
def test_lots_are_floored_never_raised(lots):
    """Rounding never adds volume beyond a billionth of itself, and loses less than a step."""
    floored = floor_lots(lots, 0.01)
    assert floored <= lots + 1e-8 * max(1.0, lots)
    assert lots - floored < 0.01 + 1e-9


@pytest.mark.parametrize("lots", [0.0, -1.0, math.nan])
def test_no_volume_is_zero(lots):
    """What is no positive volume is none: NaN does not trade."""
    assert floor_lots(lots, 0.01) == 0.0


def test_prices_round_to_their_digits_and_unknown_stays_unknown():
    """A level that does not exist (NaN) is not turned into a price."""
    assert round_price(1.17 + 0.0001, 5) == 1.1701
    assert round_price(110.0004999, 3) == 110.0
    assert math.isnan(round_price(math.nan, 5))


def test_profit_commission_and_swap_have_the_ledgers_signs():
    """A falling price earns for the short side; commission is paid; negative points are paid."""
    assert profit_ccy(-1, 0.5, 1.17, 1.16, 100_000.0, 1.0) == pytest.approx(500.0)
    assert commission_ccy(0.29, 3.5, 2) == -1.02
    assert swap_night_ccy(1, 2.0, -6.1, 2.0, 1e-5, 100_000.0, 1.0) == pytest.approx(-12.2)
    assert swap_night_ccy(-1, 2.0, -6.1, 2.0, 1e-5, 100_000.0, 1.0) == pytest.approx(4.0)


@given(st.integers(0, 3000), st.integers(0, 60), st.integers(0, 4))
def test_a_week_has_seven_nights_however_it_is_cut(start, length, triple):
    """The triple night stands for the weekend: nights add up over any cut, seven a week."""
    whole = swap_nights(start, start + length, triple)
    assert whole == sum(swap_nights(d, d + 1, triple) for d in range(start, start + length))
    assert swap_nights(start, start + 7, triple) == 7


def test_wednesday_counts_three_nights_and_the_weekend_none():
    """Positions held over Wednesday's end pay for Saturday and Sunday too."""
    assert [swap_nights(MONDAY + d, MONDAY + d + 1, 2) for d in range(7)] == [1, 1, 3, 1, 1, 0, 0]
