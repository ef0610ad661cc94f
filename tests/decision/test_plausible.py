"""Which prices are believed: none that is no price, none far off unless a later one agrees."""

import math

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.decision.account import open_bar
from engine.decision.batch import take_bar
from engine.decision.plausible import (
    FLOOR_FRAC,
    MOST_FRAC,
    are_bars,
    band_frac,
    is_plausible,
    new_beliefs,
    only_bars,
    take_close,
    take_price,
)
from engine.kernels.compiled import core_kernel
from engine.model.bars import BAR_DTYPE
from engine.model.symbols import DEFAULT_SYMBOLS
from engine.model.times import NS_PER_MINUTE, NS_PER_S
from engine.portfolio.compile import compile_portfolio
from engine.portfolio.file import parse_portfolio
from tests.decision.conftest import strategy

USUAL = 8e-5
GOOD = 1.17


def rows_at(bid=GOOD):
    rows = new_beliefs(1)
    assert tick(rows, bid, 0)
    return rows


def tick(rows, bid, at_s, ask=None, usual=USUAL):
    ask = bid + usual if ask is None else ask
    at_ns = int(at_s * NS_PER_S) + 1
    return take_price(rows, 0, bid, ask, at_ns, at_ns, usual)


NO_PRICES = [
    (0.0, 0.0),
    (math.nan, math.nan),
    (-1.17, -1.1699),
    (1.17, math.nan),
    (math.nan, 1.17),
    (math.inf, math.inf),
    (0.0, 1.17),
    (1.1702, 1.1701),  # crossed
]
FAR = [0.64 * GOOD, 1.36 * GOOD, 10 * GOOD, GOOD / 10, 0.8 * GOOD, 1.06 * GOOD]


@pytest.mark.parametrize(("bid", "ask"), NO_PRICES)
def test_what_is_no_price_is_never_believed(bid, ask):
    """However often it is said, and even where nothing is known yet."""
    for rows in (rows_at(), new_beliefs(1)):
        before = rows["bid"].copy()
        for at_s in range(1, 50):
            assert not tick(rows, bid, at_s, ask)
        np.testing.assert_array_equal(rows["bid"], before)
        assert rows["n_doubts"] == 49
        assert tick(rows, GOOD, 60)


@pytest.mark.parametrize("far", FAR)
def test_one_price_that_is_far_off_changes_nothing(far):
    """Not the last good price; the next good one is believed at once."""
    rows = rows_at()
    assert not tick(rows, far, 1)
    assert (rows["bid"], rows["n_doubts"]) == (GOOD, 1)
    assert tick(rows, 1.1702, 2)
    assert not tick(rows, far, 3)  # not after what was good in between
    assert rows["bid"] == 1.1702


@pytest.mark.parametrize("far", FAR)
def test_a_second_price_that_agrees_is_believed(far):
    """A jump is true once two prices in a row say so: the second tick, not the third."""
    rows = rows_at()
    assert not tick(rows, far, 1)
    assert tick(rows, far * 1.003, 2)
    assert rows["bid"] == far * 1.003
    assert tick(rows, far * 0.999, 3)


def test_the_same_tick_seen_twice_is_not_a_second_one():
    """A quote that stands is told with every batch."""
    rows = rows_at()
    for _ in range(5):
        assert not tick(rows, 0.8 * GOOD, 1)
    assert rows["n_doubts"] == 1
    assert tick(rows, 0.8 * GOOD, 2)


def test_two_prices_that_do_not_agree_are_both_doubted():
    """Each replaces the other as what may be confirmed."""
    rows = rows_at()
    for at_s, far in enumerate([0.5, 2.0, 0.5, 2.0, 0.9], 1):
        assert not tick(rows, far * GOOD, at_s)
    assert tick(rows, 0.9 * GOOD, 9)


def test_an_ask_far_off_is_doubted_like_a_bid():
    """Short positions are marked at it."""
    rows = rows_at()
    assert not tick(rows, GOOD, 1, ask=1.4 * GOOD)
    assert rows["ask"] == GOOD + USUAL
    assert tick(rows, GOOD, 2, ask=1.4 * GOOD)


def close(rows, bid, minute, opened=None):
    """Have a bar: its open as a tick, then its close."""
    at_ns = minute * NS_PER_MINUTE
    first = bid if opened is None else opened
    believed = take_price(rows, 0, first, first + USUAL, at_ns, at_ns, USUAL)
    return believed, take_close(rows, 0, bid, bid + USUAL, at_ns, USUAL)


def test_a_bar_does_not_confirm_its_own_ticks():
    """A whole bar ten times too high is one wrong price; the next one confirms at its open."""
    rows = rows_at()
    assert close(rows, 10 * GOOD, 1) == (False, False)
    assert (rows["bid"], rows["n_doubts"]) == (GOOD, 1)
    once = rows.copy()
    assert close(rows, GOOD, 2) == (True, True)
    assert close(once, 10 * GOOD, 2) == (True, True)


def test_a_crash_inside_a_bar_is_believed_at_the_next_open():
    """Its close is the first price, the open after it the second."""
    rows = rows_at()
    assert close(rows, 0.8 * GOOD, 1, opened=GOOD) == (True, False)
    assert close(rows, 0.79 * GOOD, 2, opened=0.8 * GOOD) == (True, True)


def test_the_closing_tick_told_again_does_not_confirm_the_close():
    """Without a bar in the next minute a terminal goes on showing the last tick of the last one."""
    rows = rows_at()
    close(rows, 0.8 * GOOD, 1)
    last_ns = 2 * NS_PER_MINUTE - 1_000_000
    assert not take_price(rows, 0, 0.8 * GOOD, 0.8 * GOOD + USUAL, last_ns, last_ns, USUAL)
    assert rows["n_doubts"] == 1


def test_the_band_has_a_floor_and_a_ceiling_and_knows_how_much_a_symbol_moves():
    """A quiet market has 5 %, a wild one three usual days, none more than 30 %."""
    rows = rows_at()
    assert band_frac(rows, 0, USUAL) == FLOOR_FRAC
    rows["variance"] = 0.04**2 / 1440  # 4 % a day
    assert band_frac(rows, 0, USUAL) == pytest.approx(0.12)
    rows["variance"] = 0.5**2 / 1440
    assert band_frac(rows, 0, USUAL) == MOST_FRAC
    rows["variance"] = 0.0
    assert band_frac(rows, 0, 0.01 * GOOD) == pytest.approx(0.2)  # of twenty spreads


def test_a_jump_that_was_believed_does_not_make_the_next_one_usual():
    """In the measure of what is usual a move counts as at most the floor."""
    rows = rows_at()
    close(rows, GOOD, 1)
    for minute in (2, 3):
        close(rows, 1.4 * GOOD, minute)
    assert rows["variance"] <= FLOOR_FRAC**2 / 1440 + 1e-12


def test_a_range_fits_only_with_all_of_it():
    """One wick out of the band, on either side of the spread, or NaN: the bar meets no stop."""
    rows = rows_at()
    assert is_plausible(rows, 0, 0.96 * GOOD, 1.04 * GOOD, USUAL)
    for low, high_ask in ((0.6, 1.0), (1.0, 1.5), (0.0, 1.0), (math.nan, 1.0), (1.0, math.nan)):
        assert not is_plausible(rows, 0, low * GOOD, high_ask * GOOD, USUAL)


@given(st.lists(st.tuples(st.integers(1, 3), st.floats(-0.049, 0.049)), min_size=1, max_size=60))
def test_a_path_inside_the_floor_is_believed_whole(steps):
    """Nothing that moves less than the floor from price to price is ever doubted."""
    rows, bid, at_s = rows_at(), GOOD, 0
    for wait_s, move in steps:
        bid, at_s = bid * (1.0 + move), at_s + wait_s
        assert tick(rows, bid, at_s, ask=bid)
    assert rows["n_doubts"] == 0


def bars_of(*prices):
    bars = np.zeros(len(prices), BAR_DTYPE)
    for bar, row in zip(bars, prices, strict=True):
        bar["open"], bar["high"], bar["low"], bar["close"] = row
    bars["time_ns"] = np.arange(len(bars)) * NS_PER_MINUTE
    return bars


def test_bars_that_are_not_made_of_prices_are_left_out():
    """Zeros, NaN, signs, infinities, a close outside of its bar; the others keep their time."""
    fine = (1.1, 1.2, 1.0, 1.1)
    wrong = [
        (0.0, 0.0, 0.0, 0.0),
        (math.nan,) * 4,
        (1.1, 1.2, math.nan, 1.1),
        (-1.1, -1.0, -1.2, -1.1),
        (1.1, math.inf, 1.0, 1.1),
        (1.1, 1.2, 1.0, 1.3),
        (0.9, 1.2, 1.0, 1.1),
    ]
    bars = bars_of(fine, *wrong, fine)
    assert not are_bars(bars)
    assert only_bars(bars)["time_ns"].tolist() == [0, 8 * NS_PER_MINUTE]
    good = bars_of(fine, fine)
    assert only_bars(good) is good


@core_kernel
def live_through(core, bars):
    """Take every bar as a backtest does: its open, its range, its close."""
    for i in range(len(bars)):
        bar = bars[i]
        open_bar(core, 0, bar["time_ns"], bar["open"], bar["spread"])
        take_bar(
            core,
            0,
            bar["time_ns"],
            bar["open"],
            bar["high"],
            bar["low"],
            bar["close"],
            bar["spread"],
        )


# Two flash crashes that did happen: bitcoin fell by half in one minute, silver by a tenth.
CRASHES = {"BTCUSD_M1_2014_bitfinex": 1, "XAGUSD_M1_2017_histdata": 2}


def test_ordinary_markets_are_believed(data_dir):
    """Of fifteen years of minutes of real symbols three are doubted, in two true flash crashes."""
    doubts = {}
    for path in sorted(data_dir.glob("*_M1_20*.parquet")):
        table = pq.read_table(path)
        symbol = path.name[:6]
        text = f'[account]\ncurrency = "{DEFAULT_SYMBOLS[symbol].profit_currency}"\n'
        core = compile_portfolio(parse_portfolio(text + strategy("a", symbol), "x")).core()
        bars = np.zeros(table.num_rows, BAR_DTYPE)
        for name in ("open", "high", "low", "close"):
            bars[name] = table[name]
        bars["time_ns"] = np.asarray(table["time"]).astype("M8[ns]").astype(np.int64)
        bars["spread"] = DEFAULT_SYMBOLS[symbol].spread
        live_through(core, bars)
        assert core.quotes[0]["bid"] == bars["close"][-1]
        doubts[path.stem] = int(core.quotes[0]["n_doubts"])
    assert {name: n for name, n in doubts.items() if n} == {
        name: n for name, n in CRASHES.items() if name in doubts
    }
