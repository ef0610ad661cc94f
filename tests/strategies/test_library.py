"""The kinds: pure, without lookahead, without drift, and each one does what it says."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine.model.signals import FLAT, HOLD, LONG, SHORT
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE, Timeframe
from strategies import indicators
from strategies.base import Columns
from strategies.contract import check_signals
from strategies.registry import KINDS
from strategies.variants import variants
from tests.strategies.series import (
    POINT,
    bars_at,
    closed_by,
    columns_of,
    further,
    made,
    random_bars,
    utc,
)

ALL = [(kind, params) for kind in KINDS for params in variants(kind, 20)]
RECURSIVE = {"rsi_reversion", "macd", "adx_trend", "keltner_channel"}
CALENDAR = {"session_breakout", "vwap_reversion"}  # their windows begin at a UTC midnight
TREND = {"ma_cross", "macd"}  # always on one side, but for exact ties
START = utc("2018-03-05 00:00")


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


@settings(max_examples=150, deadline=None)
@given(which=st.sampled_from(ALL), seed=st.integers(0, 10**6), cut=st.integers(1, 2999))
def test_later_bars_change_no_bit(which, seed, cut):
    """Prefix invariance: a bar's output depends on nothing after it, to the last bit."""
    strategy = made(*which)
    minutes = random_bars(np.random.default_rng(seed), START, 3000)
    bars, others = columns_of(minutes), further(strategy, minutes, seed)
    cut = cut % bars.n + 1
    whole = strategy.evaluate(bars, *others)
    prefix = Columns(*(column[:cut].copy() for column in bars))
    known = closed_by(others, prefix.close_ns[-1])
    copies = [Columns(*(column.copy() for column in other)) for other in known]
    assert bits(whole, 0, cut) == bits(strategy.evaluate(prefix, *copies))
    assert bits(whole) == bits(strategy.evaluate(bars, *others))


@settings(max_examples=120, deadline=None)
@given(which=st.sampled_from(ALL), seed=st.integers(0, 10**6), start=st.integers(1, 1500))
def test_earlier_bars_change_nothing_beyond_the_warmup(which, seed, start):
    """Windows: bits equal for the non-recursive kinds; a settled seed decides nothing else."""
    kind, params = which
    strategy = made(kind, params)
    minutes = random_bars(np.random.default_rng(seed), START, 3500)
    bars, others = columns_of(minutes), further(strategy, minutes, seed)
    warmup = strategy.warmup
    if kind in CALENDAR:
        midnight = (bars.time_ns[start] // NS_PER_DAY + 1) * NS_PER_DAY
        start = int(np.searchsorted(bars.time_ns, midnight)) - warmup
    assume(start + warmup < bars.n)
    whole = strategy.evaluate(bars, *others)
    needed = []
    for other, need in zip(others, strategy.inputs[1:], strict=True):
        # Another symbol's bars are to reach back as far as its own, a higher timeframe's are not.
        back = start if need.timeframe == strategy.timeframe else min(start + warmup, bars.n - 1)
        n_known = closed_by([other], bars.close_ns[back])[0].n
        needed.append(other.part(max(n_known - need.warmup, 0), other.n))
    later = strategy.evaluate(bars.part(start, bars.n), *needed)
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
    minutes = random_bars(np.random.default_rng(1), START, 4000)
    bars, others = columns_of(minutes), further(strategy, minutes)
    for n in (0, 1, 2, strategy.warmup, strategy.warmup + 1, bars.n):
        for known in (others, [other.part(0, 0) for other in others]):
            signals = strategy.evaluate(bars.part(0, n), *known)
            assert check_signals(signals, n) == ""
            assert not signals.direction[: strategy.warmup].any()
            assert not signals.confidence[: strategy.warmup].any()


@pytest.mark.parametrize(("kind", "params"), ALL[::3])
def test_every_kind_says_all_it_can_say(kind, params):
    """Each kind goes long and short with varied confidence; distances are the parameters'."""
    strategy = made(kind, params | {"stop_points": 150.0, "target_points": 0.0})
    minutes = random_bars(np.random.default_rng(2), START, 6000)
    signals = strategy.evaluate(columns_of(minutes), *further(strategy, minutes))
    said = set(np.unique(signals.direction[strategy.warmup :]).tolist())
    assert {LONG, SHORT} <= said
    assert said & {FLAT, HOLD} or kind in TREND
    active = np.abs(signals.direction) == 1
    assert signals.confidence[active].min() >= 0.5
    assert len(np.unique(signals.confidence[active])) > 5
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


def test_a_momentum_is_followed_until_it_is_undone():
    """LONG while the change is above its threshold, HOLD until it is 0, then FLAT; mirrored."""
    closes = np.concatenate([np.full(20, 1.0), np.full(10, 1.001), np.full(20, 1.0)])
    strategy = made("momentum", {"period": 10, "threshold_bps": 5.0})
    said = strategy.evaluate(columns_of(priced(closes))).direction.tolist()
    assert said[19:41] == [FLAT] + [LONG] * 10 + [SHORT] * 10 + [FLAT]
    closes[25:30] = 1.0004
    said = strategy.evaluate(columns_of(priced(closes))).direction.tolist()
    assert said[19:36] == [FLAT] + [LONG] * 5 + [HOLD] * 5 + [SHORT] * 5 + [HOLD]


def test_a_keltner_channel_is_its_averages():
    """The place in the channel is that of EMA and ATR; the modes are each other's mirror."""
    bars = columns_of(random_bars(np.random.default_rng(3), START, 3000))
    high, low, close = bars.high, bars.low, bars.close
    for period, atr_period in ((20, 14), (5, 40)):
        params = {"period": period, "atr_period": atr_period, "width_atr": 1.5}
        strategy = made("keltner_channel", params)
        width = 1.5 * indicators.atr(high, low, close, atr_period)
        gap = close - indicators.ema(close, period)
        said = strategy.evaluate(bars).direction
        settled = np.arange(bars.n) >= strategy.warmup
        clear = settled & (np.abs(np.abs(gap) - width) > 1e-12)
        assert np.array_equal(said[clear] == LONG, gap[clear] > width[clear])
        assert np.array_equal(said[clear] == SHORT, gap[clear] < -width[clear])
        against = made("keltner_channel", params | {"mode": "reversion"}).evaluate(bars).direction
        sides = np.abs(said) == 1
        assert np.array_equal(against[sides], -said[sides])
        assert np.array_equal(against[~sides], said[~sides])


def test_a_stochastic_buys_when_it_turns_up_from_its_end():
    """In the fall nothing is bought; LONG at the turn, FLAT once %D has passed the middle."""
    closes = 1.1 + 1e-3 * np.concatenate([np.full(50, 0.0), -np.arange(30), np.arange(30) - 29.0])
    signals = made("stochastic").evaluate(columns_of(priced(closes)))
    said = signals.direction.tolist()
    assert LONG not in said[:80]
    first = said.index(LONG)
    assert 80 <= first <= 84
    assert FLAT in said[first:95]


def test_no_trend_without_strength():
    """ADX: a steady climb is LONG, a steady fall SHORT, and a threshold above ADX is FLAT."""
    climb = priced(1.1 + 1e-4 * np.arange(600))
    fall = priced(1.2 - 1e-4 * np.arange(600))
    strategy = made("adx_trend", {"threshold": 30.0})
    assert set(strategy.evaluate(columns_of(climb)).direction[400:].tolist()) == {LONG}
    assert set(strategy.evaluate(columns_of(fall)).direction[400:].tolist()) == {SHORT}
    zigzag = priced(1.1 + 1e-4 * np.sin(np.arange(600) * np.pi / 2))
    assert not strategy.evaluate(columns_of(zigzag)).direction.any()


def test_vwap_is_the_days_mean_by_volume():
    """The day's mean weighs by volume, anew every day, and by 1 where there is none."""
    rng = np.random.default_rng(9)
    bars = random_bars(rng, START, 4000)
    skewed = np.where(rng.random(len(bars)) < 0.1, np.nan, 1e4 * rng.random(len(bars)) ** 9)
    for volume in (skewed, np.nan, 0.0):
        bars = bars.copy()
        bars["volume"] = volume
        columns = columns_of(bars)
        strategy = made("vwap_reversion", {"deviations": 1.0, "settle_minutes": 30})
        said = strategy.evaluate(columns).direction
        typical = (columns.high + columns.low + columns.close) / 3
        weight = np.where(columns.volume > 0, columns.volume, 1.0)
        for i in range(1, bars.size, 17):
            midnight = columns.time_ns[i] // NS_PER_DAY * NS_PER_DAY
            day = slice(int(np.searchsorted(columns.time_ns, midnight)), i + 1)
            vwap = np.average(typical[day], weights=weight[day])
            std = np.sqrt(np.average((typical[day] - vwap) ** 2, weights=weight[day]))
            gap = columns.close[i] - vwap
            if columns.time_ns[i] < midnight + 30 * NS_PER_MINUTE:
                assert said[i] == FLAT
            elif abs(abs(gap) - std) > 1e-9:
                assert (said[i] == LONG) == (gap < -std)
                assert (said[i] == SHORT) == (gap > std)


# From 11 to 24 March 2018 New York had daylight saving and London had not.
@pytest.mark.parametrize(
    ("session", "date", "opens"),
    [
        ("london", "2018-03-09", "08:00"),
        ("london", "2018-03-12", "08:00"),
        ("london", "2018-03-23", "08:00"),
        ("london", "2018-03-26", "07:00"),
        ("new_york", "2018-03-09", "13:00"),
        ("new_york", "2018-03-12", "12:00"),
        ("new_york", "2018-03-23", "12:00"),
        ("new_york", "2018-03-26", "12:00"),
        ("london", "2018-10-29", "08:00"),
        ("new_york", "2018-11-02", "12:00"),
        ("new_york", "2018-11-05", "13:00"),
    ],
)
def test_a_session_opens_by_its_own_clock(session, date, opens):
    """The range begins and ends at the minute of the wall clock, each city's saving its own.

    A high in the range's first or last minute counts, one a minute before or after does not.
    """
    start = utc(f"{date} 00:00")
    first = (utc(f"{date} {opens}") - start) // NS_PER_MINUTE
    params = {"session": session, "range_minutes": 15, "close_minutes": 60}

    def said(spike):
        bars = priced(1.1 + 1e-5 * (np.arange(3 * 1440) % 2))
        bars["time_ns"] += start - 1440 * NS_PER_MINUTE - START
        bars["high"][1440 + spike] = 1.2
        bars["close"][1440 + first + 30 :] = 1.15
        return made("session_breakout", params).evaluate(columns_of(bars)).direction[1440:2880]

    for inside in (first, first + 14):
        assert not said(inside).any()
    for outside in (first - 1, first + 15):
        assert np.flatnonzero(said(outside)).tolist() == list(range(first + 30, first + 59))
        assert set(said(outside)[first + 30 : first + 59].tolist()) == {LONG}


def test_a_session_without_its_first_minutes_has_no_range():
    """No bar in the opening range: no trade that day, and the next day is as ever."""
    bars = bars_at(START + np.arange(3 * 1440) * NS_PER_MINUTE, 4)
    params = {"session": "london", "range_minutes": 30}
    minute = bars["time_ns"] % NS_PER_DAY // NS_PER_MINUTE
    first_day = bars["time_ns"] < START + NS_PER_DAY
    holed = bars[~(first_day & (minute >= 480) & (minute < 510))]
    said = made("session_breakout", params).evaluate(columns_of(holed)).direction
    assert not said[holed["time_ns"] < START + NS_PER_DAY].any()
    whole = made("session_breakout", params).evaluate(columns_of(bars)).direction
    assert whole[first_day].any()
    later = holed["time_ns"] >= START + NS_PER_DAY
    assert np.array_equal(said[later], whole[~first_day])


def test_a_higher_bar_is_seen_at_its_close_and_not_before():
    """A higher bar that turns the trend turns the signal at the first bar closed with it.

    What its own next bar will be changes nothing.
    """
    strategy = made("mtf_trend", {"higher": "M15", "fast": 2, "slow": 5, "entry": 5})
    climb = priced(1.1 + 1e-5 * np.arange(600))
    bars = columns_of(climb)
    times = START + np.arange(-20, 40) * 15 * NS_PER_MINUTE
    higher = bars_at(times)
    higher["close"] = 1.2 - 1e-4 * np.arange(60)
    higher["close"][40:] += 0.1  # the bar that opens at 05:00 turns the trend
    said = strategy.evaluate(bars, columns_of(higher, Timeframe.M15)).direction
    turn = (20 + 1) * 15  # its close, in minutes from START
    assert not said[: turn - 1].any()
    assert set(said[turn - 1 : turn + 14].tolist()) == {LONG}  # from the M1 bar closed with it
    known = columns_of(higher[:41], Timeframe.M15)
    until = bars.part(0, turn + 14)
    assert np.array_equal(strategy.evaluate(until, known).direction, said[: turn + 14])
    late = known._replace(close_ns=known.close_ns + np.arange(41) // 40 * NS_PER_MINUTE)
    assert strategy.evaluate(until, late).direction[turn - 1] == FLAT
    assert strategy.evaluate(until, late).direction[turn] == LONG


def test_a_pair_is_judged_by_the_others_last_closed_bar():
    """A missing bar of the other is its last one; before its first, and a period on, FLAT."""
    rng = np.random.default_rng(6)
    minutes = START + np.arange(2000) * NS_PER_MINUTE
    bars, other = columns_of(bars_at(minutes, 1)), bars_at(minutes, 2)
    strategy = made("pair_spread", {"period": 60, "entry_z": 1.0, "exit_z": 0.2})
    kept = rng.random(2000) > 0.3
    kept[:100] = False
    kept[100] = True
    filled = other[100:].copy()
    last = np.maximum.accumulate(np.where(kept[100:], np.arange(1900), 0))
    filled["close"] = filled["close"][last]
    holed = strategy.evaluate(bars, columns_of(other[kept]))
    whole = strategy.evaluate(bars, columns_of(filled))
    assert bits(holed) == bits(whole)
    assert not holed.direction[: 100 + 59].any()
    assert {LONG, SHORT, HOLD, FLAT} == set(holed.direction[160:].tolist())
    spread = np.log(bars.close[100:] / filled["close"])
    windows = np.lib.stride_tricks.sliding_window_view(spread, 60)
    z = (spread[59:] - windows.mean(axis=1)) / windows.std(axis=1)
    clear = np.abs(np.abs(z) - 1.0) > 1e-6
    assert np.array_equal(whole.direction[159:][clear] == SHORT, z[clear] > 1.0)
    assert np.array_equal(whole.direction[159:][clear] == LONG, z[clear] < -1.0)


def test_the_pair_the_other_way_round_says_the_opposite():
    """Given the symbols in the other order, the second leg is the first one's mirror."""
    minutes = START + np.arange(3000) * NS_PER_MINUTE
    one, other = columns_of(bars_at(minutes, 1)), columns_of(bars_at(minutes, 2))
    strategy = made("pair_spread")
    said, mirrored = strategy.evaluate(one, other), strategy.evaluate(other, one)
    sides = np.abs(said.direction) == 1
    assert np.array_equal(said.direction[sides], -mirrored.direction[sides])
