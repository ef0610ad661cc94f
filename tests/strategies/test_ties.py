"""Equal is equal: the last bits of a price decide no trade, in whatever unit prices are written."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.signals import HOLD, LONG
from engine.model.times import NS_PER_MINUTE
from strategies.registry import KINDS
from strategies.variants import variants
from tests.strategies import exact
from tests.strategies.series import bars_at, columns_of, further, made, random_bars, utc

START = utc("2018-03-05 00:00")
PRICES = ("open", "high", "low", "close")
ALL = [(kind, params) for kind in KINDS for params in variants(kind, 12)]
# First price in points, and digits: EURUSD, USDJPY, gold, BTCUSD, a coin of a hundredth of a cent.
SCALES = [(110_000, 5), (108_136, 3), (130_378, 2), (6_512_345, 2), (1_234, 7)]


def scaled(columns, factor):
    """Return columns with every price and spread times `factor`."""
    return columns._replace(
        **{name: getattr(columns, name) * factor for name in (*PRICES, "spread")}
    )


def written(columns, digits):
    """Return columns of walks in points (five digits) written with other digits."""

    def price(values):
        return np.rint(values * 1e5) / 10.0**digits

    return columns._replace(**{name: price(getattr(columns, name)) for name in (*PRICES, "spread")})


@settings(max_examples=150, deadline=None)
@given(which=st.sampled_from(ALL), seed=st.integers(0, 10**6), power=st.integers(-30, 30))
def test_twice_the_price_gives_the_same_bits(which, seed, power):
    """Every price times 2^k is exact in binary: directions and confidences keep every bit."""
    strategy = made(*which)
    minutes = random_bars(np.random.default_rng(seed), START, 2500)
    bars, others = columns_of(minutes), further(strategy, minutes, seed)
    said = strategy.evaluate(bars, *others)
    again = strategy.evaluate(
        scaled(bars, 2.0**power), *(scaled(other, 2.0**power) for other in others)
    )
    assert again.direction.tobytes() == said.direction.tobytes()
    assert again.confidence.tobytes() == said.confidence.tobytes()


@settings(max_examples=200, deadline=None)
@given(which=st.sampled_from(ALL), seed=st.integers(0, 10**6), digits=st.integers(0, 9))
def test_ten_times_the_price_gives_the_same_signals(which, seed, digits):
    """The same points written in cents or in dollars: rounding to binary turns no signal."""
    strategy = made(*which)
    minutes = random_bars(np.random.default_rng(seed), START, 2500)
    bars, others = columns_of(minutes), further(strategy, minutes, seed)
    said = strategy.evaluate(bars, *others)
    again = strategy.evaluate(written(bars, digits), *(written(other, digits) for other in others))
    assert again.direction.tolist() == said.direction.tolist()
    np.testing.assert_allclose(again.confidence, said.confidence, rtol=0, atol=1e-6)


def tight(seed, first, n=150):
    """Return bars of a narrow walk in points, by name: averages and levels tie all the time."""
    rng = np.random.default_rng(seed)
    steps = rng.choice(
        [0, 0, 1, -1, 2, -2, int(first * 5e-4)], n, p=[0.3, 0.2, 0.2, 0.2, 0.04, 0.04, 0.02]
    )
    close = np.maximum(first + np.cumsum(steps), first // 2)
    opened = np.concatenate([[first], close[:-1]])
    high = np.maximum(opened, close) + rng.integers(0, 2, n)
    low = np.minimum(opened, close) - rng.integers(0, 2, n)
    return {
        name: [int(v) for v in values]
        for name, values in zip(PRICES, (opened, high, low, close), strict=True)
    }


def priced(points, digits, start=START, minutes=1):
    """Return columns of bars given in points."""
    n = len(points["close"])
    bars = bars_at(start + np.arange(n) * minutes * NS_PER_MINUTE)
    for name in PRICES:
        bars[name] = np.array(points[name]) / 10.0**digits
    bars["volume"] = np.nan
    return columns_of(bars)


@pytest.mark.parametrize("kind", exact.KINDS)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.sampled_from(SCALES))
def test_ties_are_what_fractions_say(kind, seed, scale):
    """On walks that tie all the time, each bar says what exact arithmetic says: an average that
    equals another, a close just at its band, an index just at its level, moves equally far.
    """
    rule, choices = exact.KINDS[kind]
    first, digits = scale
    points = tight(seed, first)
    for params in choices:
        strategy = made(kind, params)
        said = strategy.evaluate(priced(points, digits)).direction.tolist()
        right = rule(points, params, strategy.warmup)
        wrong = [(i, said[i], r) for i, r in enumerate(right) if r is not None and said[i] != r]
        assert wrong == []


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.sampled_from(SCALES))
def test_two_timeframes_tie_as_fractions_say(seed, scale):
    """Equal averages of higher bars, and a close at its own average, are on no side."""
    first, digits = scale
    points, above = tight(seed, first, 300), tight(seed + 1, first, 80)
    params = {"higher": "M5", "fast": 2, "slow": 4, "entry": 4}
    strategy = made("mtf_trend", params)
    bars = priced(points, digits)
    higher = priced(above, digits, START - 100 * NS_PER_MINUTE, 5)
    higher = higher._replace(close_ns=higher.time_ns + 5 * NS_PER_MINUTE)
    above["of"] = (np.searchsorted(higher.close_ns, bars.close_ns, side="right") - 1).tolist()
    said = strategy.evaluate(bars, higher).direction.tolist()
    right = exact.mtf_trend(points, params, strategy.warmup, above)
    assert [(i, said[i], r) for i, r in enumerate(right) if r is not None and said[i] != r] == []


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    fast=st.integers(2, 60),
    ratio=st.integers(2, 9),
    scale=st.sampled_from(SCALES),
)
def test_averages_that_are_made_equal_are_no_cross(seed, fast, ratio, scale):
    """Windows of different lengths with the same mean by construction: HOLD, wherever it is."""
    first, digits = scale
    rng = np.random.default_rng(seed)
    newest = rng.integers(-40, 41, fast)
    older = rng.integers(-40, 41, (ratio - 1) * fast)
    older[0] += (ratio - 1) * newest.sum() - older.sum()  # now both have one mean
    before = rng.integers(-40, 41, 50)
    close = 20 * first + np.concatenate([before, older, newest])
    points = dict.fromkeys(PRICES, close.tolist())
    signals = made("ma_cross", {"fast": fast, "slow": ratio * fast}).evaluate(
        priced(points, digits)
    )
    assert signals.direction[-1] == HOLD
    assert signals.confidence[-1] == 0.5


def test_what_no_longer_moves_is_held_not_tossed():
    """Exponential averages come together for ever: nearer than the last bits they are equal."""
    close = np.concatenate([110_000 + np.arange(400) ** 2 // 40, np.full(3000, 114_000)])
    bars = priced(dict.fromkeys(PRICES, close.tolist()), 5)
    for kind, params in (("ma_cross", {"fast": 7, "slow": 21, "average": "ema"}), ("macd", {})):
        said = made(kind, params).evaluate(bars).direction
        assert said[399] == LONG
        assert set(said[-1000:].tolist()) == {HOLD}


def test_a_price_that_stands_still_is_its_own_average():
    """A third of three times a price is not always the price: flat bars are at their VWAP."""
    for first, digits in SCALES:
        for price in range(first, first + 40):
            bars = priced(dict.fromkeys(PRICES, [price] * 300), digits)
            for kind in KINDS.keys() - {"mtf_trend", "pair_spread"}:
                params = {"settle_minutes": 1} if kind == "vwap_reversion" else {}
                said = made(kind, params).evaluate(bars).direction
                assert not (np.abs(said) == 1).any(), (kind, price)


def test_an_inside_bar_moves_neither_way():
    """High and low that widened equally far count for neither DI, whatever binary makes of it."""
    wide = np.arange(200) % 2  # every other bar is a point wider on both sides
    for first, digits in SCALES:
        close = np.full(200, 3 * first)
        points = {
            "open": close.tolist(),
            "close": close.tolist(),
            "high": (close + 3 + wide).tolist(),
            "low": (close - 3 - wide).tolist(),
        }
        said = made("adx_trend", {"period": 5, "threshold": 1.0}).evaluate(priced(points, digits))
        assert not said.direction.any()


def test_real_crosses_are_not_swallowed():
    """The smallest difference that two averages can have is a cross, on every scale."""
    for first, digits in SCALES:
        close = np.full(600, 7 * first)
        close[-1] += 1  # one point in the newest bar
        bars = priced(dict.fromkeys(PRICES, close.tolist()), digits)
        said = made("ma_cross", {"fast": 199, "slow": 200}).evaluate(bars).direction
        assert said[-1] == LONG
