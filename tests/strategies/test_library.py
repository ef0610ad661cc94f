"""The kinds: pure, without lookahead, without drift, and each one does what it says."""

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.signals import FLAT, HOLD, LONG, SHORT
from engine.model.times import NS_PER_MINUTE, Timeframe
from strategies import indicators
from strategies.base import Columns
from strategies.contract import check_signals
from strategies.registry import KINDS, create
from strategies.variants import variants
from tests.strategies.series import POINT, bars_at, columns_of, random_bars, utc

ALL = [(kind, params) for kind in KINDS for params in variants(kind, 20)]
RECURSIVE = {"rsi_reversion", "macd"}
TREND = {"ma_cross", "macd"}  # always on one side, but for exact ties
START = utc("2018-03-05 00:00")


def made(kind, params=None):
    """Return a strategy of a kind."""
    return create(kind, params or {}, "EURUSD", Timeframe.M1, POINT)


def bits(signals, start=0, stop=None):
    """Return the bytes of all four arrays."""
    part = signals.part(start, stop)
    return [np.ascontiguousarray(values).tobytes() for values in part]


def priced(closes):
    """Return quiet bars with these closes."""
    closes = np.asarray(closes, float)
    bars = bars_at(START + np.arange(len(closes)) * NS_PER_MINUTE)
    bars["close"] = closes
    bars["open"] = np.concatenate([closes[:1], closes[:-1]])
    bars["high"] = np.maximum(bars["open"], bars["close"])
    bars["low"] = np.minimum(bars["open"], bars["close"])
    return bars


@settings(max_examples=80, deadline=None)
@given(which=st.sampled_from(ALL), seed=st.integers(0, 10**6), cut=st.integers(1, 2999))
def test_later_bars_change_no_bit(which, seed, cut):
    """Prefix invariance: a bar's output depends on nothing after it, to the last bit."""
    strategy = made(*which)
    bars = columns_of(random_bars(np.random.default_rng(seed), START, 3000))
    cut = cut % bars.n + 1
    whole = strategy.evaluate(bars)
    prefix = Columns(*(column[:cut].copy() for column in bars))
    assert bits(whole, 0, cut) == bits(strategy.evaluate(prefix))
    assert bits(whole) == bits(strategy.evaluate(bars))


@settings(max_examples=60, deadline=None)
@given(which=st.sampled_from(ALL), seed=st.integers(0, 10**6), start=st.integers(1, 1500))
def test_earlier_bars_change_nothing_beyond_the_warmup(which, seed, start):
    """Windows: bits equal for the non-recursive kinds; a settled seed decides nothing else."""
    kind, params = which
    strategy = made(kind, params)
    bars = columns_of(random_bars(np.random.default_rng(seed), START, 3500))
    warmup = strategy.warmup
    whole = strategy.evaluate(bars)
    later = strategy.evaluate(bars.part(start, bars.n))
    if kind in RECURSIVE or params.get("average") == "ema":
        mine, theirs = whole.direction[start + warmup :], later.direction[warmup:]
        assert np.mean(mine != theirs) < 0.01
        same = mine == theirs
        off = np.abs(whole.confidence[start + warmup :] - later.confidence[warmup:])
        assert np.all(off[same] < 0.05)
    else:
        assert bits(whole, start + warmup) == bits(later, warmup)


@pytest.mark.parametrize(("kind", "params"), ALL[::4])
def test_the_warmup_is_flat_and_no_longer_than_needed_for_a_value(kind, params):
    """Before the warm-up nothing is said; short and empty windows are no error."""
    strategy = made(kind, params)
    bars = columns_of(random_bars(np.random.default_rng(1), START, 4000))
    for n in (0, 1, 2, strategy.warmup, strategy.warmup + 1, bars.n):
        signals = strategy.evaluate(bars.part(0, n))
        assert check_signals(signals, n) == ""
        assert not signals.direction[: strategy.warmup].any()
        assert not signals.confidence[: strategy.warmup].any()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_says_all_it_can_say(kind):
    """Each kind goes long and short with varied confidence; distances are the parameters'."""
    strategy = made(kind, {"stop_points": 150.0, "target_points": 0.0})
    bars = columns_of(random_bars(np.random.default_rng(2), START, 6000))
    signals = strategy.evaluate(bars)
    said = set(np.unique(signals.direction[strategy.warmup :]).tolist())
    assert {LONG, SHORT} <= said
    assert said & {FLAT, HOLD} or kind in TREND
    active = np.abs(signals.direction) == 1
    assert signals.confidence[active].min() >= 0.5
    assert len(np.unique(signals.confidence[active])) > 10
    assert signals.stop_distance == 150 * POINT
    assert np.isnan(signals.target_distance)


@settings(max_examples=60, deadline=None)
@given(
    price=st.integers(1, 10**7),
    history=st.floats(1e-3, 1e8),
    period=st.integers(2, 400),
)
def test_equal_prices_give_equal_averages(price, history, period):
    """No drift: whatever came before, a constant window has exactly its price and no deviation."""
    value = price / 1e5
    noise = history * np.random.default_rng(price).random(500)
    values = np.concatenate([noise, np.full(period + 5, value)])
    assert np.all(indicators.sma(values, period)[-6:] == value)
    mean, std = indicators.mean_std(values, period)
    assert np.all(mean[-6:] == value)
    assert np.all(std[-6:] == 0.0)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), period=st.integers(1, 300), cut=st.integers(0, 500))
def test_averages_are_right_and_equal_windows_give_equal_bits(seed, period, cut):
    """Averages agree with exact sums to 1e-12, and history changes no bit of them."""
    close = bars_at(START + np.arange(1200) * NS_PER_MINUTE, seed)["close"]
    mean, std = indicators.mean_std(close, period)
    windows = np.lib.stride_tricks.sliding_window_view(close, period)
    assert np.allclose(mean[period - 1 :], windows.mean(axis=1), rtol=1e-12, atol=0)
    assert np.allclose(std[period - 1 :], windows.std(axis=1), rtol=0, atol=1e-12)
    assert indicators.sma(close, period).tobytes() == mean.tobytes()
    later = indicators.mean_std(close[cut:].copy(), period)
    assert later[0][period - 1 :].tobytes() == mean[cut + period - 1 :].tobytes()
    assert later[1][period - 1 :].tobytes() == std[cut + period - 1 :].tobytes()


def test_talib_agrees_where_it_does_not_drift():
    """On a fresh short series both give the same averages to 1e-12."""
    close = bars_at(START + np.arange(300) * NS_PER_MINUTE, 4)["close"]
    for period in (2, 20, 99):
        assert np.allclose(
            indicators.sma(close, period), talib.SMA(close, period), atol=1e-12, equal_nan=True
        )


def test_flat_prices_hold_what_was():
    """Equal averages are HOLD, not a coin toss."""
    bars = priced(np.concatenate([1.1 + np.arange(200) * 1e-4, np.full(300, 1.12)]))
    for kind in ("ma_cross",):
        strategy = made(kind, {"fast": 7, "slow": 61})
        signals = strategy.evaluate(columns_of(bars))
        assert signals.direction[199] == LONG
        assert np.all(signals.direction[-100:] == HOLD)


def test_reversion_buys_the_fall_and_leaves_at_the_middle():
    """RSI and Bollinger: LONG in the fall, HOLD on the way back, FLAT at the middle."""
    quiet = 1.1 + 1e-5 * np.sin(np.arange(300))
    closes = np.concatenate([quiet, quiet[-1] - np.arange(1, 15) * 1e-4])
    closes = np.concatenate([closes, closes[-1] + np.arange(1, 40) * 1e-5 * 4])
    for kind, params in (("rsi_reversion", {"period": 7}), ("bollinger_reversion", {})):
        signals = made(kind, params).evaluate(columns_of(priced(closes)))
        fall, rise = signals.direction[300:314], signals.direction[314:].tolist()
        assert LONG in fall
        assert SHORT not in fall
        assert FLAT in rise
        assert HOLD in rise[: rise.index(FLAT)]


def test_breakouts_follow_a_new_extreme_and_end():
    """Donchian and the breakout of levels: LONG at a new high; Donchian ends when it is old."""
    quiet = 1.1 + 1e-4 * np.sin(np.arange(300))
    closes = np.concatenate([quiet, [1.1010, 1.1011, 1.1012], np.full(80, 1.1012)])
    donchian = made("donchian_breakout", {"entry": 20, "exit": 5}).evaluate(
        columns_of(priced(closes))
    )
    assert donchian.direction[299] != LONG
    assert donchian.direction[300] == LONG
    assert donchian.confidence[300] == 1.0
    assert donchian.direction[-1] == FLAT
    levels = made("support_resistance", {"mode": "breakout", "lookback": 60})
    assert levels.evaluate(columns_of(priced(closes))).direction[300] == LONG


def test_a_rejected_level_is_traded_away_from():
    """Support touched and won back is LONG, resistance touched and lost is SHORT."""
    bars = priced(1.1 + 1e-3 * np.sin(np.arange(400) / 9.0))
    low, high = bars["low"][280:399].min(), bars["high"][280:399].max()
    strategy = made("support_resistance", {"lookback": 120})
    touched = bars.copy()
    touched[399] = touched[398]
    touched["time_ns"][399] += NS_PER_MINUTE
    touched["low"][399], touched["open"][399], touched["close"][399] = low, low + 1e-5, low + 5e-5
    touched["high"][399] = low + 6e-5
    assert strategy.evaluate(columns_of(touched)).direction[399] == LONG
    touched["low"][399], touched["open"][399] = high - 6e-5, high - 1e-5
    touched["close"][399], touched["high"][399] = high - 5e-5, high
    assert strategy.evaluate(columns_of(touched)).direction[399] == SHORT
