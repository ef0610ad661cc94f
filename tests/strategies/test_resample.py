"""Higher timeframes: what they hold, when they close, and one answer however they are made."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.server_clock import ServerClock
from engine.model.times import NS_PER_HOUR, NS_PER_MINUTE, Timeframe
from strategies.resample import Resampler, resample
from tests.strategies.series import bars_at, random_bars, utc

HIGHER = [t for t in Timeframe if t != Timeframe.M1]
NEW_YORK = ServerClock("new_york+7")


def test_a_bar_holds_first_open_extremes_last_close_and_total_volume():
    """OHLC and volume of a higher bar are those of its minutes."""
    bars = bars_at(utc("2018-03-05 10:00") + np.arange(10) * NS_PER_MINUTE, seed=3)
    bars["volume"][1] = np.nan
    closed, closed_at = resample(bars, Timeframe.M5, NEW_YORK)
    first = bars[:5]
    assert closed["time_ns"].tolist() == [bars["time_ns"][0], bars["time_ns"][5]]
    assert closed["open"][0] == first["open"][0]
    assert closed["high"][0] == first["high"].max()
    assert closed["low"][0] == first["low"].min()
    assert closed["close"][0] == first["close"][4]
    assert closed["volume"][0] == np.nansum(first["volume"])
    assert closed["spread"][0] == first["spread"][4]
    assert closed_at.tolist() == [utc("2018-03-05 10:05"), utc("2018-03-05 10:10")]


def test_an_open_bar_is_invisible():
    """A higher bar whose end no batch has reached is not there, not even in part."""
    bars = bars_at(utc("2018-03-05 10:00") + np.arange(9) * NS_PER_MINUTE)
    closed, _ = resample(bars, Timeframe.M5, NEW_YORK)
    assert len(closed) == 1


def test_a_missing_last_minute_delays_to_the_first_batch_at_or_after_the_end():
    """Another symbol's batch at the grid's end closes the bar; without one, the next own bar."""
    minutes = np.array([0, 1, 2, 3, 7])  # 10:04 … 10:06 have no bar
    bars = bars_at(utc("2018-03-05 10:00") + minutes * NS_PER_MINUTE)
    _, alone = resample(bars, Timeframe.M5, NEW_YORK)
    assert alone.tolist() == [utc("2018-03-05 10:08")]
    batches = utc("2018-03-05 10:00") + np.arange(1, 9) * NS_PER_MINUTE
    _, in_company = resample(bars, Timeframe.M5, NEW_YORK, batches)
    assert in_company.tolist() == [utc("2018-03-05 10:05")]


@pytest.mark.parametrize(
    ("moment", "opens"),
    [("2018-01-10 12:00", "2018-01-09 22:00"), ("2018-07-10 12:00", "2018-07-09 21:00")],
)
def test_a_day_opens_at_server_midnight_in_summer_and_winter(moment, opens):
    """D1 follows the broker's clock: 17:00 New York, whatever UTC says."""
    bars = bars_at(utc(moment) + np.arange(0, 3 * 24 * 60, 7) * NS_PER_MINUTE)
    closed, closed_at = resample(bars, Timeframe.D1, NEW_YORK)
    assert closed["time_ns"][0] == utc(opens)
    assert closed_at[0] >= utc(opens) + 24 * NS_PER_HOUR


@pytest.mark.parametrize("rule", ["new_york+7", "Europe/Athens", "UTC+2", "UTC-5:30"])
@pytest.mark.parametrize("day", ["2018-03-10", "2018-03-24", "2018-11-03", "2018-10-27"])
@pytest.mark.parametrize("timeframe", HIGHER)
def test_cells_tile_time_through_daylight_saving(rule, day, timeframe):
    """Bars strictly increase, every minute is in the one bar open at its time, none overlap."""
    clock = ServerClock(rule)
    bars = bars_at(utc(day + " 00:00") + np.arange(3 * 1440) * NS_PER_MINUTE)
    closed, closed_at = resample(bars, timeframe, clock)
    assert np.all(np.diff(closed["time_ns"]) > 0)
    # Without gaps a bar closes exactly where the next one opens.
    assert np.array_equal(closed_at[:-1], closed["time_ns"][1:])
    owner = np.searchsorted(closed["time_ns"], bars["time_ns"], side="right") - 1
    for k in range(1, len(closed) - 1):
        assert closed["close"][k] == bars["close"][owner == k][-1]
    off_ns = np.abs(np.diff(closed["time_ns"]) - timeframe.ns)
    assert np.all(off_ns <= (0 if timeframe <= Timeframe.H1 else NS_PER_HOUR))


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    timeframe=st.sampled_from(HIGHER),
    rule=st.sampled_from(["new_york+7", "Europe/Athens", "UTC"]),
    start=st.sampled_from(["2018-03-09 20:13", "2018-06-01 00:00", "2018-11-02 03:58"]),
    cut=st.integers(0, 2000),
)
def test_bar_by_bar_gives_the_same_bits_at_the_same_batches(seed, timeframe, rule, start, cut):
    """Incremental and whole resampling agree, gaps and other symbols' batches included."""
    clock = ServerClock(rule)
    rng = np.random.default_rng(seed)
    bars = random_bars(rng, utc(start), 2500)
    closes = bars["time_ns"] + NS_PER_MINUTE
    others = closes[0] + rng.integers(0, 6000, 800) * NS_PER_MINUTE
    batches = np.unique(np.concatenate([closes, others]))
    batches = batches[batches <= closes[-1]]

    resampler = Resampler(timeframe, clock)
    history = closes <= batches[cut % len(batches)]
    parts = [resampler.update(int(batches[cut % len(batches)]), bars[history])]
    at = [int(batches[cut % len(batches)])] * len(parts[0])
    i = int(history.sum())
    for batch in batches[cut % len(batches) + 1 :].tolist():
        n = 1 if i < len(closes) and closes[i] == batch else 0
        part = resampler.update(batch, bars[i : i + n])
        i += n
        parts.append(part)
        at += [batch] * len(part)

    whole, closed_at = resample(bars, timeframe, clock, batches)
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    live = closed_at > batches[cut % len(batches)]
    assert np.array(at, np.int64)[live].tolist() == closed_at[live].tolist()


def test_grid_is_the_servers():
    """With a clock half an hour off, hours begin at half past."""
    bars = bars_at(utc("2018-03-05 10:00") + np.arange(180) * NS_PER_MINUTE)
    closed, _ = resample(bars, Timeframe.H1, ServerClock("UTC-5:30"))
    assert closed["time_ns"][1] == utc("2018-03-05 10:30")


def test_a_minute_that_comes_too_late_closes_nothing_again():
    """A terminal that shows a bar late: the hour is closed without it, and the next is whole."""
    bars = bars_at(utc("2018-03-05 10:00") + np.arange(120) * NS_PER_MINUTE)
    resampler = Resampler(Timeframe.H1, ServerClock("UTC"))
    at = utc("2018-03-05 11:00")
    first = resampler.update(at, bars[:59])
    late = resampler.update(at + NS_PER_MINUTE, bars[59:61])
    second = resampler.update(at + NS_PER_HOUR, bars[61:])
    assert first["close"].tolist() == [bars["close"][58]]
    assert len(late) == 0
    assert second["time_ns"].tolist() == [at]
    assert second["open"].tolist() == [bars["open"][60]]
