"""Stops that follow the price; the whole batch against another implementation is the oracle's."""

import math

import numpy as np
import pytest

from engine.decision.account import set_quote
from engine.decision.batch import take_bar
from engine.decision.entries import apply_open
from engine.decision.moving_stops import choose_stops, follow_bar, move_stop, moved_stop
from engine.model.errors import ConfigError
from tests.decision.conftest import hold, strategy

NAN = float("nan")


def make(make_core, stops: str, side: int = 1, stop: float = 1.168):
    core = make_core(strategy("a", extra=f"stops = {{ {stops} }}"))
    hold(core, 0, side, 1.0, 1.17)
    core.positions[0]["best_price"] = 1.17
    core.positions[0]["stop"] = stop
    core.positions[0]["target"] = NAN
    core.account[0]["batch_ns"] = 60
    return core


def quote(core, bid, fresh=1):
    set_quote(core, 0, bid, round(bid + 1e-4, 5), fresh)


def test_it_trails_behind_the_best_price_and_never_back(make_core):
    """Up with the highs, unmoved when they fall."""
    core = make(make_core, "trail_points = 100, step_points = 1")
    quote(core, 1.1750)
    stops = []
    for high in (1.1710, 1.1730, 1.1720, 1.1700):
        follow_bar(core, 0, high, 1.16, 1e-4)
        stop = moved_stop(core, 0)
        if not math.isnan(stop):
            move_stop(core, 0, stop)
        stops.append(float(core.positions[0]["stop"]))
    assert stops == [1.1700, 1.1720, 1.1720, 1.1720]
    assert core.work[0]["long_stop"] == 1.1720


@pytest.mark.parametrize("side", [1, -1])
def test_the_fill_is_no_price_that_it_could_close_at(make_core, side):
    """Bought at the ask it closes at the bid: a distance below the spread trails nothing before
    the bids have come to the entry, and no stop stands where no closing price was.
    """
    core = make_core(strategy("a", extra="stops = { trail_points = 5 }"))
    position = core.positions[0]
    position["pending_direction"] = side
    position["pending_stop_distance"] = 0.0020
    position["pending_target_distance"] = NAN
    entry = 1.1701 if side > 0 else 1.17
    apply_open(core, 0, entry, 1.0, 0, 0.0)
    core.account[0]["batch_ns"] = 60
    assert math.isnan(moved_stop(core, 0))  # no bar has closed
    quote(core, 1.1705 if side > 0 else 1.1695)
    # 10 points of spread: the entry's own closing price, then one point short of the entry.
    for away_points in (10, 1):
        high = entry - away_points * 1e-5
        low_ask = entry + away_points * 1e-5
        follow_bar(core, 0, round(high, 5), round(low_ask - 1e-4, 5), 1e-4)
        assert math.isnan(moved_stop(core, 0))
    follow_bar(core, 0, round(entry + 2e-5, 5), round(entry - 2e-5 - 1e-4, 5), 1e-4)
    assert moved_stop(core, 0) == pytest.approx(entry - side * 3e-5, abs=1e-9)


def test_a_short_one_trails_behind_the_lowest_ask(make_core):
    """It closes on the ask: the bar's low bid and its spread."""
    core = make(make_core, "trail_points = 100", side=-1, stop=1.1720)
    quote(core, 1.1640)
    follow_bar(core, 0, 1.17, 1.1650, 3e-4)
    assert moved_stop(core, 0) == pytest.approx(1.1653 + 0.0010, abs=1e-9)


@pytest.mark.parametrize(
    ("best", "expected"),
    [(1.17049, NAN), (1.1705, 1.17005), (1.1709, 1.17005), (1.1712, 1.1702), (1.1720, 1.1710)],
)
def test_break_even_first_and_trailing_later_take_the_better_one(make_core, best, expected):
    """Break-even at 50 points, trailing from 100 on: whichever is nearer to the price."""
    core = make(
        make_core,
        "trail_points = 100, trail_from_points = 100, break_even_points = 50, "
        "break_even_plus_points = 5",
    )
    quote(core, 1.18)
    core.positions[0]["best_price"] = best
    got = moved_stop(core, 0)
    assert (math.isnan(got) and math.isnan(expected)) or got == pytest.approx(expected, abs=1e-9)


def test_it_moves_by_a_step_at_least(make_core):
    """Exactly a step counts, in spite of binary fractions."""
    core = make(make_core, "trail_points = 100, step_points = 10", stop=1.1690)
    quote(core, 1.18)
    core.positions[0]["best_price"] = 1.17009
    assert math.isnan(moved_stop(core, 0))
    core.positions[0]["best_price"] = 1.17010
    assert moved_stop(core, 0) == pytest.approx(1.16910, abs=1e-9)


def test_it_keeps_the_contracts_distance_to_the_price(make_core):
    """A stop that the broker would refuse waits for the price to come back."""
    core = make(make_core, "trail_points = 100")
    core.symbols[0]["stops_level_points"] = 30
    core.positions[0]["best_price"] = 1.1750
    quote(core, 1.17429)
    assert math.isnan(moved_stop(core, 0))
    quote(core, 1.17430)
    assert moved_stop(core, 0) == 1.174


def test_a_target_that_is_too_near_keeps_the_stop(make_core):
    """The broker judges a change whole."""
    core = make(make_core, "trail_points = 100")
    core.symbols[0]["stops_level_points"] = 30
    core.positions[0]["best_price"] = 1.1750
    core.positions[0]["target"] = 1.1753
    quote(core, 1.17501)
    assert math.isnan(moved_stop(core, 0))
    quote(core, 1.17500)
    assert moved_stop(core, 0) == 1.174


def test_a_position_without_a_stop_gets_one(make_core):
    """A stop where there was none is toward profit."""
    core = make(make_core, "break_even_points = 20", stop=NAN)
    quote(core, 1.18)
    core.positions[0]["best_price"] = 1.1702
    assert moved_stop(core, 0) == 1.17


@pytest.mark.parametrize(
    "spoil",
    [
        lambda core: quote(core, 1.18, fresh=0),
        lambda core: core.positions.__setitem__("close_reason", 1),
        lambda core: core.positions.__setitem__("unsettled", 1),
        lambda core: core.positions.__setitem__("direction", 0),
        lambda core: core.positions.__setitem__("entry_ns", 60),
    ],
    ids=["stale quote", "closing", "unsettled", "flat", "entered now"],
)
def test_it_stays_where_nothing_can_be_sent(make_core, spoil):
    """Nor at the batch of the entry, whose levels are the broker's already."""
    core = make(make_core, "trail_points = 100")
    quote(core, 1.18)
    core.positions[0]["best_price"] = 1.1750
    moved, stops = np.zeros(1, np.int64), np.zeros(1)
    assert choose_stops(core, moved, stops) == 1
    spoil(core)
    assert choose_stops(core, moved, stops) == 0


def test_only_books_that_say_so_move_their_stops(make_core):
    """And a bar's range is taken with the bar."""
    core = make_core(strategy("a") + strategy("b", extra="stops = { trail_points = 50 }"))
    for slot in (0, 1):
        hold(core, slot, 1, 1.0, 1.17)
        core.positions[slot]["stop"] = 1.16
        core.positions[slot]["best_price"] = 1.17
    take_bar(core, 0, 0, 1.17, 1.1760, 1.17, 1.1755, 1e-4)
    quote(core, 1.1760)
    core.account[0]["batch_ns"] = 60
    moved, stops = np.zeros(2, np.int64), np.zeros(2)
    assert choose_stops(core, moved, stops) == 1
    assert (moved[0], stops[0]) == (1, pytest.approx(1.1755))


@pytest.mark.parametrize(
    ("stops", "complaint"),
    [
        ("trail_points = -1", "stops.trail_points is -1"),
        ("step_points = 5", "moves nothing"),
        ("break_even_points = 5, break_even_plus_points = 5", "must be below"),
    ],
)
def test_contradictions_are_refused(make_core, stops, complaint):
    """With the place and the reason."""
    with pytest.raises(ConfigError, match=complaint):
        make_core(strategy("a", extra=f"stops = {{ {stops} }}"))
