"""Rounding to the digit, against Python's exact decimals."""

import math
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.decision.money import (
    commission_ccy,
    floor_lots,
    profit_ccy,
    round_ccy,
    round_lots,
    round_price,
    rounded_ccy,
    rounded_prices,
    swap_night_ccy,
    swap_nights,
)

MONDAY = 17_686  # 2018-06-04 in days since 1970-01-01
CENT = Decimal("0.01")
N_DRAWN = 200_000


def is_negative_zero(value):
    return value == 0.0 and math.copysign(1.0, value) < 0.0


@pytest.mark.parametrize("largest_cents", [10**3, 10**7, 10**12])
def test_amounts_round_as_their_decimals_do(largest_cents):
    """Hundreds of thousands of drawn tenths of a cent, up to 1e10 of money: each half goes away
    from zero, everything else to the nearer cent, and zero has no sign.
    """
    rng = np.random.default_rng(13)
    tenths = rng.integers(-10 * largest_cents, 10 * largest_cents, N_DRAWN, endpoint=True)
    tenths[::2] = tenths[::2] // 10 * 10 + 5  # every other one is a half
    whole, rest = np.divmod(np.abs(tenths), 10)
    right = np.sign(tenths) * (whole + (rest >= 5)) / 100 + 0.0
    rounded = rounded_ccy(tenths / 1000, 2)
    assert np.array_equal(rounded, right)
    assert not np.signbit(rounded[rounded == 0.0]).any()
    assert np.array_equal(rounded_ccy(rounded, 2), rounded)


@given(
    st.integers(1, 10**8), st.integers(1, 10**6), st.integers(-(10**5), 10**5), st.integers(2, 5)
)
@example(515, 1_303_798, -13, 3)  # 5.15 lots, 1303.798 to 1303.785: −6.70, not −6.69
def test_profit_is_the_one_that_decimals_make(hundredths, points, way, digits):
    """A deal's profit is the exact product, halves away from zero, whatever its size and price."""
    lots, opened = Decimal(hundredths).scaleb(-2), Decimal(points).scaleb(-digits)
    closed = opened + Decimal(way).scaleb(-digits)
    exact = (closed - opened) * 100 * lots
    unrounded = profit_ccy(1, float(lots), float(opened), float(closed), digits, 100.0, 1.0)
    rounded = round_ccy(unrounded, 2)
    assert rounded == float(exact.quantize(CENT, ROUND_HALF_UP))
    assert not is_negative_zero(unrounded)
    assert not is_negative_zero(rounded)
    assert (
        profit_ccy(-1, float(lots), float(opened), float(closed), digits, 100.0, 1.0) == -unrounded
    )


def test_drawn_deals_are_right_to_the_cent_in_any_currency():
    """200,000 drawn deals, half of them exact halves of a cent, some converted by a rate with five
    decimals or its inverse: every one is the decimal's cent. (Beyond some millions a rate's last
    bit is worth so much that what is all but a half may be one.)
    """
    rng = np.random.default_rng(14)
    digits = rng.integers(2, 6, N_DRAWN)
    opened = rng.integers(50_000, 200_000_000, N_DRAWN)
    way = rng.integers(-2_000, 2_000, N_DRAWN) * 2 + 1
    lots = rng.integers(1, 20_000, N_DRAWN) * 5
    contract = rng.choice([1, 10, 100, 1_000, 5_000, 100_000], N_DRAWN)
    rate = np.where(rng.random(N_DRAWN) < 0.5, 100_000, rng.integers(10_000, 20_000_000, N_DRAWN))
    inverse = rng.random(N_DRAWN) < 0.25
    wrong = []
    with localcontext(prec=60):
        drawn = (digits, opened, way, lots, contract, rate, inverse)
        for d, o, w, v, c, r, i in zip(*(column.tolist() for column in drawn), strict=True):
            price, gained = Decimal(o).scaleb(-d), Decimal(w).scaleb(-d)
            quoted = Decimal(r).scaleb(-5)
            exact = gained * c * Decimal(v).scaleb(-2)
            exact = exact / quoted if i else exact * quoted
            conversion = 1.0 / float(quoted) if i else float(quoted)
            got = round_ccy(
                profit_ccy(
                    1, v / 100, float(price), float(price + gained), d, float(c), conversion
                ),
                2,
            )
            if abs(exact) > 10**7:
                continue
            if got != float(exact.quantize(CENT, ROUND_HALF_UP)) or is_negative_zero(got):
                wrong.append((d, o, w, v, c, r, i, got, exact))
    assert wrong == []


@given(st.integers(1, 10**9), st.integers(-99, 99), st.integers(0, 5))
@example(110_867, 0, 5)
def test_a_way_between_prices_off_the_grid_is_not_made_whole(points, hundredths, digits):
    """The mean entry of a netting position lies between two points, and stays there."""
    opened = (points + hundredths / 100) / 10.0**digits
    closed = (points + 7) / 10.0**digits
    exact = (7 - Decimal(hundredths) / 100) / 10**digits
    assert profit_ccy(1, 1.0, opened, closed, digits, 1.0, 1.0) == pytest.approx(
        float(exact), abs=4e-16 * closed + 1e-18
    )


def test_drawn_prices_round_to_even():
    """200,000 drawn levels, prices and tenths of a point, half of them just between two points:
    halves go to the even one, as 1.10867 + 163.5 points is 1.1103.
    """
    rng = np.random.default_rng(15)
    assert round_price(1.10867 + 163.5 * 1e-5, 5) == 1.1103
    for digits in range(9):
        points = rng.integers(1, 2_000_000_000, N_DRAWN // 9)
        tenths = rng.integers(-50_000, 50_000, len(points))
        tenths[::2] = tenths[::2] // 10 * 10 + 5
        near = points / 10.0**digits + tenths / 10 * (10.0**-digits)
        exact = points * 10 + tenths
        low, rest = np.divmod(exact, 10)
        whole = low + ((rest > 5) | ((rest == 5) & (low % 2 != 0)))
        rounded = rounded_prices(near, digits)
        assert np.array_equal(rounded, whole / 10.0**digits + 0.0)
        assert not np.signbit(rounded[rounded == 0.0]).any()
        sample = Decimal(int(exact[0])).scaleb(-digits - 1)
        right = sample.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN)
        assert rounded[0] == float(right)


@given(
    st.sampled_from(["0.01", "0.1", "1", "0.05", "0.25", "0.001", "0.00001", "100", "0.03"]),
    st.integers(0, 10**9),
    st.integers(0, 999),
)
@example("0.01", 10**9, 0)
@example("0.01", 10**9 - 1, 999)
def test_a_billion_steps_are_counted_exactly(step, whole, part):
    """Lots of 1e9 steps lose none and gain none: the floor is the decimal's, on its grid."""
    lots = Decimal(step) * whole + Decimal(step) * part / 1000
    steps = (lots / Decimal(step)).to_integral_value(ROUND_FLOOR)
    assert floor_lots(float(lots), float(step)) == float(Decimal(step) * steps)


@given(st.integers(0, 10**10), st.integers(0, 10**10))
def test_lots_add_up_to_eight_decimals(a, b):
    """What is left of a position has the last decimal that a broker keeps, and 0 has no sign."""
    one, other = a / 1e8, b / 1e8
    assert round_lots(one - other) == (a - b) / 1e8
    assert not is_negative_zero(round_lots(one - other))
    assert not is_negative_zero(round_lots(-1e-17))


@given(st.floats(-1e20, 1e20, allow_nan=False), st.integers(0, 8))
def test_rounding_moves_by_half_a_digit_at_most_and_never_twice(amount, digits):
    """Any number, of any size: within half a digit (and its last bits), and then it stays."""
    for rounded, again in (
        (round_ccy(amount, digits), round_ccy(round_ccy(amount, digits), digits)),
        (round_price(amount, digits), round_price(round_price(amount, digits), digits)),
    ):
        assert again == rounded
        assert not is_negative_zero(rounded)
        moved = abs(Fraction(rounded) - Fraction(amount))
        assert moved <= Fraction(1, 2 * 10**digits) + abs(Fraction(amount)) * Fraction(2) ** -48


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_stays_none(value):
    """NaN and infinities pass through every rounding."""
    for rounded in (round_ccy(value, 2), round_price(value, 5), round_lots(value)):
        assert math.isnan(rounded) if math.isnan(value) else rounded == value


@pytest.mark.parametrize("amount", [0.0, -0.0, -0.004, -1e-300])
def test_zero_has_no_sign(amount):
    """A loss below half a cent and no commission are 0.0: −0.0 has other bits, another digest."""
    for zero in (round_ccy(amount, 2), commission_ccy(abs(amount), 1.0, 2), round_price(amount, 2)):
        assert zero == 0.0
        assert not is_negative_zero(zero)
    assert not is_negative_zero(commission_ccy(1.0, 0.0, 2))
    assert not is_negative_zero(profit_ccy(-1, 1.0, 1.1, 1.1, 5, 100_000.0, 1.0))


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
    assert profit_ccy(-1, 0.5, 1.17, 1.16, 5, 100_000.0, 1.0) == pytest.approx(500.0)
    assert commission_ccy(0.29, 3.5, 2) == -1.02
    assert swap_night_ccy(1, 2.0, -6.1, 2.0, 5, 100_000.0, 1.0) == pytest.approx(-12.2)
    assert swap_night_ccy(-1, 2.0, -6.1, 2.0, 5, 100_000.0, 1.0) == pytest.approx(4.0)


@example(nights=873, tenths=11, hundredths=27, digits=0)
@given(st.integers(1, 2000), st.integers(-99, 99), st.integers(1, 400), st.integers(0, 5))
def test_swaps_of_many_nights_add_up_to_the_decimals_cent(nights, tenths, hundredths, digits):
    """What accumulates unrounded for years still is a half where decimals make one."""
    points, lots = Decimal(tenths) / 10, Decimal(hundredths) * 5 / 100
    total = 0.0
    for _ in range(nights):
        total += swap_night_ccy(1, float(lots), float(points), 0.0, digits, 10.0**digits, 1.0)
    exact = nights * points * lots
    if abs(exact) < 10_000:
        assert round_ccy(total, 2) == float(exact.quantize(CENT, ROUND_HALF_UP)) + 0.0


@given(st.integers(0, 3000), st.integers(0, 60), st.integers(0, 4))
def test_a_week_has_seven_nights_however_it_is_cut(start, length, triple):
    """The triple night stands for the weekend: nights add up over any cut, seven a week."""
    whole = swap_nights(start, start + length, triple)
    assert whole == sum(swap_nights(d, d + 1, triple) for d in range(start, start + length))
    assert swap_nights(start, start + 7, triple) == 7


def test_wednesday_counts_three_nights_and_the_weekend_none():
    """Positions held over Wednesday's end pay for Saturday and Sunday too."""
    assert [swap_nights(MONDAY + d, MONDAY + d + 1, 2) for d in range(7)] == [1, 1, 3, 1, 1, 0, 0]
