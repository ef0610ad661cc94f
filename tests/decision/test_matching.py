import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.decision.matching import NO_HIT, STOP_HIT, TARGET_HIT, match_bar

NONE = math.nan


def match(side, stop, target, bar, spread=0.0):
    opened, high, low = bar
    return match_bar(side, stop, target, opened, high, low, spread, 5)


@pytest.mark.parametrize(
    ("side", "stop", "target", "bar", "expected"),
    [
        (1, 1.1690, 1.1710, (1.1700, 1.1705, 1.1695), (NO_HIT, 0.0)),
        (1, 1.1690, 1.1710, (1.1700, 1.1705, 1.1690), (STOP_HIT, 1.1690)),
        (1, 1.1690, 1.1710, (1.1700, 1.1710, 1.1695), (TARGET_HIT, 1.1710)),
        # Both touched: the stop.
        (1, 1.1690, 1.1710, (1.1700, 1.1710, 1.1690), (STOP_HIT, 1.1690)),
        (-1, 1.1710, 1.1690, (1.1700, 1.1710, 1.1690), (STOP_HIT, 1.1710)),
        # A gap through a level fills at the open, for better or worse.
        (1, 1.1690, 1.1710, (1.1650, 1.1720, 1.1640), (STOP_HIT, 1.1650)),
        (1, 1.1690, 1.1710, (1.1750, 1.1760, 1.1600), (TARGET_HIT, 1.1750)),
        (-1, 1.1710, 1.1690, (1.1750, 1.1760, 1.1600), (STOP_HIT, 1.1750)),
        (-1, 1.1710, 1.1690, (1.1650, 1.1800, 1.1640), (TARGET_HIT, 1.1650)),
        # Levels that do not exist are never hit.
        (1, NONE, NONE, (1.1700, 9.0, 0.1), (NO_HIT, 0.0)),
        (-1, NONE, NONE, (1.1700, 9.0, 0.1), (NO_HIT, 0.0)),
    ],
)
def test_levels_inside_a_bar(side, stop, target, bar, expected):
    """The stop wins over the target, a gap fills at the open, touching is enough."""
    assert match(side, stop, target, bar) == expected


def test_short_positions_exit_on_the_ask():
    """The spread brings a short position's stop nearer and its target further."""
    bar = (1.1700, 1.1708, 1.1692)
    assert match(-1, 1.1710, 1.1600, bar, 0.0002) == (STOP_HIT, 1.1710)
    assert match(-1, 1.1710, 1.1600, bar, 0.0001) == (NO_HIT, 0.0)
    assert match(-1, 1.1800, 1.1693, bar, 0.0001) == (TARGET_HIT, 1.1693)
    assert match(-1, 1.1800, 1.1693, bar, 0.0002) == (NO_HIT, 0.0)
    assert match(-1, 1.1710, 1.1600, (1.1709, 1.1709, 1.1709), 0.0002) == (STOP_HIT, 1.1711)


@given(
    st.sampled_from([1, -1]),
    st.lists(st.integers(116_000, 118_000), min_size=3, max_size=3),
    st.integers(1, 900),
    st.integers(1, 900),
)
def test_no_exit_is_better_than_the_market_gave(side, points, stop_points, target_points):
    """A stop never fills above its level for a long position, a target never below it."""
    low, opened, high = sorted(points)
    stop, target = 117_000 - side * stop_points, 117_000 + side * target_points
    hit, price = match(side, stop / 1e5, target / 1e5, (opened / 1e5, high / 1e5, low / 1e5))
    if hit == STOP_HIT:
        assert (price - stop / 1e5) * side <= 0
    if hit == TARGET_HIT:
        assert (price - target / 1e5) * side >= 0
    if hit != NO_HIT:
        assert low / 1e5 <= price <= high / 1e5
