"""Who earned what: parts of whole cents that add up, always."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.decision.attribution import book_result, split_ccy
from tests.decision.conftest import build, strategy


def split(cents, shares):
    """Return the parts of an amount in cents, as whole cents."""
    parts = np.zeros(len(shares))
    split_ccy(cents / 100, np.array(shares, float), 2, parts)
    whole = np.round(parts * 100).astype(np.int64)
    assert (whole / 100 == parts).all()  # every part is a whole number of cents
    return whole.tolist()


weights = st.lists(st.integers(0, 1000), min_size=1, max_size=12).filter(any)
cents = st.integers(-(10**11), 10**11)


@given(cents, weights)
def test_parts_add_up_exactly_and_are_within_a_cent_of_the_share(amount, given_weights):
    """Σ parts is the amount; each is its share rounded up or down, of its sign, 0 for no share."""
    shares = np.array(given_weights) / sum(given_weights)
    parts = split(amount, shares)
    assert sum(parts) == amount
    for part, share in zip(parts, shares.tolist(), strict=True):
        assert abs(Fraction(part) - amount * Fraction(share)) < 1 + Fraction(1, 1000)
        assert part * amount >= 0
        if share == 0.0:
            assert part == 0


@given(st.integers(-5000, 5000), st.lists(st.integers(0, 64), min_size=2, max_size=8))
def test_the_cents_that_are_left_go_to_the_largest_remainders_ties_by_order(amount, eighths):
    """As written down with fractions; shares are exact in binary, so that ties are ties."""
    rest = 512 - sum(eighths)
    shares = [Fraction(n, 512) for n in [*eighths, rest]]
    exact = [abs(amount) * share for share in shares]
    parts = [int(e) for e in exact]
    ranked = sorted(range(len(shares)), key=lambda m: (-(exact[m] - parts[m]), m))
    for m in [m for m in ranked if shares[m]][: abs(amount) - sum(parts)]:
        parts[m] += 1
    sign = -1 if amount < 0 else 1
    assert split(amount, [float(s) for s in shares]) == [sign * part for part in parts]


def test_the_first_in_file_order_gets_the_cent_of_a_tie():
    """A cent of two halves, and two of three thirds of five."""
    assert split(1, [0.5, 0.5]) == [1, 0]
    assert split(-1, [0.5, 0.5]) == [-1, 0]
    assert split(5, [1 / 3] * 3) == [2, 2, 1]
    assert split(29, [1.0]) == [29]
    assert split(100, [0.29, 0.71]) == [29, 71]


def test_equal_shares_tie_however_they_were_added_up():
    """0.1 + 0.2 and 0.3 differ in their last bit: the cent that is left goes by file order."""
    for shares in ([0.1 + 0.2, 0.3, 0.4], [0.3, 0.1 + 0.2, 0.4]):
        assert split(5, shares) == [2, 1, 2]
        assert split(-5, shares) == [-2, -1, -2]


def test_a_part_of_nothing_has_no_sign():
    """A member that gets no cent of a loss has 0.0, not −0.0."""
    parts = np.full(3, np.nan)
    split_ccy(-0.01, np.array([0.5, 0.5, 0.0]), 2, parts)
    assert parts.tolist() == [-0.01, 0.0, 0.0]
    assert not np.signbit(parts[1:]).any()


amounts = st.tuples(*[st.integers(-100_000, 100_000)] * 3)


@given(
    st.lists(amounts, max_size=8),
    st.lists(st.integers(0, 5), min_size=3, max_size=3).filter(any),
)
def test_members_sums_are_their_slots_sums_to_the_cent(results, given_weights):
    """Profit, commission and swap apart; realised is net of both, for slot and members alike."""
    text = strategy("a") + strategy("b") + strategy("c")
    core = build(text + '[[book]]\nname = "k"\nmembers = { a = 1.0, b = 1.0, c = 1.0 }\n')
    core.outputs["entry_share"] = np.array(given_weights) / sum(given_weights)
    for profit, commission, swap in results:
        book_result(core, 0, profit / 100, commission / 100, swap / 100)
    for field, total in (
        ("realised_ccy", sum(map(sum, results))),
        ("paid_commission_ccy", sum(c for _, c, _ in results)),
        ("paid_swap_ccy", sum(s for *_, s in results)),
    ):
        assert core.positions[0][field] == total / 100
        members = np.round(core.outputs[field] * 100)
        assert (members / 100 == core.outputs[field]).all()
        assert members.sum() == total
        assert (members[np.array(given_weights) == 0] == 0).all()
