"""Anchored windows: bar by bar and period by period are the same bits, from whatever start."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.bars import BAR_DTYPE
from engine.model.errors import StrategyError
from engine.model.server_clock import ServerClock
from engine.model.times import NS_PER_MINUTE, Timeframe, anchor_ns
from strategies.base import as_columns, flat_signals
from strategies.contract import check_signals
from strategies.growing import GrowingSeries
from strategies.registry import KINDS, create
from strategies.resample import close_times, resample
from strategies.variants import variants
from strategies.windows import WARMING, Window, evaluate_period, periods
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


def by_period(strategy, bars, others=()):
    """Return the signals of all bars, as the backtest evaluates them."""
    series = columns_of(bars, strategy.timeframe)
    parts = []
    for start, stop in periods(series.time_ns, strategy.timeframe):
        signals = evaluate_period(strategy, series, start, stop, *others)
        signals = signals or flat_signals(stop - start)
        parts.append([np.broadcast_to(values, stop - start) for values in signals])
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


def bar_by_bar(strategy, bars, first, others=()):
    """Return the signals of the bars from `first`, as a process started there sees them."""
    window = Window(strategy)
    series = columns_of(bars, strategy.timeframe)
    n_taken = [0] * len(others)

    def take(start, stop):
        known = closed_by(others, series.close_ns[stop - 1]) if stop else []
        for which, other in enumerate(known):
            window.append(other.part(n_taken[which], other.n), which + 1)
            n_taken[which] = other.n
        window.append(series.part(start, stop))

    take(0, first)
    out = []
    for i in range(first, len(bars)):
        take(i, i + 1)
        out.append(window.evaluate())
    return out


def assert_same(live, batch, first):
    """Compare a list of signals with arrays, bit for bit; NaN equals NaN."""
    for k, name in enumerate(("direction", "confidence", "stop_distance", "target_distance")):
        mine = np.array([getattr(signal, name) for signal in live], batch[k].dtype)
        assert mine.tobytes() == np.ascontiguousarray(batch[k][first:]).tobytes(), name


@settings(max_examples=100, deadline=None)
@given(
    which=st.sampled_from(ALL),
    seed=st.integers(0, 10**6),
    start=st.sampled_from(["2018-03-01 20:00", "2018-06-29 12:00", "2018-12-28 18:30"]),
    first=st.integers(0, 3500),
    timeframe=st.sampled_from(list(Timeframe)),
)
def test_live_is_batch_bit_for_bit(which, seed, start, first, timeframe):
    """All kinds, across days, weekends, holes, month and year ends, at any start of the process."""
    kind, params = which
    strategy = made(kind, params, timeframe)
    minutes = random_bars(np.random.default_rng(seed), utc(start), 4000)
    times = utc(start) + (minutes["time_ns"] - utc(start)) * int(timeframe)
    bars = minutes.copy()
    bars["time_ns"] = times
    others = further(strategy, bars, seed)
    first = len(bars) - 1 - first % 400
    live = bar_by_bar(strategy, bars, first, others)
    batch = by_period(strategy, bars, others)
    assert_same(live, batch, first)


@pytest.mark.parametrize("kind", KINDS)
def test_a_later_start_with_enough_history_changes_nothing(kind):
    """History from the warm-up before the anchor is enough: more of it gives the same bits."""
    strategy = made(kind)
    bars = random_bars(np.random.default_rng(7), utc("2018-03-05 00:00"), 5000)
    anchor = anchor_ns(Timeframe.M1, bars["time_ns"][-300])
    index = int(np.searchsorted(bars["time_ns"], anchor))
    needed = bars[index - strategy.warmup :]
    others, needed_others = further(strategy, bars), []
    for other, need in zip(others, strategy.inputs[1:], strict=True):
        (before,) = closed_by([other], anchor_ns(need.timeframe, anchor))
        needed_others.append(other.part(before.n - need.warmup, other.n))
    long, short = (
        bar_by_bar(strategy, bars, len(bars) - 50, others),
        bar_by_bar(strategy, needed, len(needed) - 50, needed_others),
    )
    assert [repr(s) for s in long] == [repr(s) for s in short]
    assert not any(signal.warming for signal in short)


def test_too_little_history_is_warming_for_the_whole_period():
    """One bar short before the anchor: FLAT and warming until the next anchor, in both forms."""
    strategy = create("ma_cross", {"fast": 5, "slow": 31}, "EURUSD", Timeframe.M1, POINT)
    assert strategy.warmup == 30
    times = utc("2018-03-06 00:00") + np.arange(-29, 2 * 1440) * NS_PER_MINUTE
    bars = bars_at(times)
    batch = by_period(strategy, bars)
    live = bar_by_bar(strategy, bars, 0)
    assert_same(live, batch, 0)
    next_day = int(np.searchsorted(times, utc("2018-03-07 00:00")))
    assert [signal.warming for signal in live] == [True] * next_day + [False] * (
        len(live) - next_day
    )
    assert not batch[0][:next_day].any()
    assert not batch[1][:next_day].any()
    assert repr(live[0]) == repr(WARMING)


@pytest.mark.parametrize("timeframe", list(Timeframe))
def test_periods_are_split_at_anchors_alone(timeframe):
    """The periods tile the bars, and each one's bars share their anchor, no others'."""
    times = (
        utc("2017-12-20 07:03")
        + np.cumsum(np.random.default_rng(3).integers(1, 600, 3000)) * NS_PER_MINUTE
    )
    bars = bars_at(times)
    parts = list(periods(times, timeframe))
    assert [a for a, _ in parts] == [0] + [b for _, b in parts[:-1]]
    assert parts[-1][1] == len(bars)
    anchors = [{anchor_ns(timeframe, int(t)) for t in times[a:b]} for a, b in parts]
    assert all(len(anchor) == 1 for anchor in anchors)
    assert len(set.union(*anchors)) == len(parts)


def test_memory_is_bounded_over_a_month():
    """A window holds its warm-up and one anchor period, however long it runs."""
    strategy = create("macd", {}, "EURUSD", Timeframe.M1, POINT)
    bars = bars_at(utc("2018-03-01 00:00") + np.arange(30 * 1440) * NS_PER_MINUTE)
    window = Window(strategy)
    most = 0
    for day in range(30):
        for part in np.split(bars[day * 1440 : (day + 1) * 1440], 6):
            window.append(columns_of(part))
            most = max(most, len(window))
    assert most <= strategy.warmup + 1440
    assert window._series[0]._times.shape[1] <= 4 * (strategy.warmup + 1440)


def test_windows_on_one_series_say_what_they_say_alone():
    """Of different lengths, begun before and after bars came; and a series keeps what is needed."""
    strategies = [made("macd"), made("ma_cross"), made("donchian_breakout")]
    bars = columns_of(random_bars(np.random.default_rng(3), utc("2018-03-01 00:00"), 12 * 1440))
    series = GrowingSeries()
    together = [Window(strategy, [series]) for strategy in strategies]
    alone = [Window(strategy) for strategy in strategies]
    for i in range(0, bars.n, 97):
        part = bars.part(i, i + 97)
        series.append(part)
        said = []
        for shared, own in zip(together, alone, strict=True):
            shared.take(part.n)
            own.append(part)
            said.append((repr(shared.evaluate()), repr(own.evaluate())))
        assert all(mine == theirs for mine, theirs in said)
    most = max(strategy.warmup for strategy in strategies) + 1440 + 97
    assert series.end == bars.n
    assert series.columns().n <= 4 * most
    assert [len(window) for window in together] == [len(window) for window in alone]


def test_a_series_forgets_what_no_window_needs():
    """A window that is gone holds nothing; views that were given out stay as they were."""
    window = Window(create("macd", {}, "EURUSD", Timeframe.M1, POINT), [series := GrowingSeries()])
    bars = columns_of(bars_at(utc("2018-03-01 00:00") + np.arange(600) * NS_PER_MINUTE))
    series.append(bars.part(0, 500))
    given = series.columns()
    series.trim()
    assert (series.first, series.held) == (0, True)
    del window
    series.trim()
    assert (series.first, series.held) == (500, False)
    series.append(bars.part(500, 600))
    assert given.close.tobytes() == bars.close[:500].tobytes()
    assert series.columns().time_ns.tobytes() == bars.time_ns[500:].tobytes()


def test_bars_out_of_order_are_refused():
    """A window never goes back in time."""
    window = Window(create("macd", {}, "EURUSD", Timeframe.M1, POINT))
    bars = columns_of(bars_at(np.arange(10) * NS_PER_MINUTE))
    window.append(bars)
    with pytest.raises(ValueError, match="order"):
        window.append(bars.part(9, 10))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"direction": np.full(5, 3, np.int8)}, "direction must be LONG 1"),
        ({"direction": np.zeros(5)}, "direction must be an array of int8, not float64"),
        ({"confidence": np.array([0, 0, 1.01, 0, 0])}, "1.01 at bar 2 of 5"),
        ({"confidence": np.full(5, np.nan)}, "confidence must be from 0 to 1"),
        ({"confidence": np.zeros(4)}, r"shape \(5,\), not \(4,\)"),
        ({"confidence": [0.0] * 5}, "not list"),
        ({"stop_distance": np.zeros(5)}, "stop_distance must be above 0"),
        ({"target_distance": np.full(5, np.inf)}, "target_distance must be above 0"),
        ({"stop_distance": 0.0}, "stop_distance must be above 0, or NaN for none: it is 0"),
        ({"target_distance": 1}, "target_distance must be an array of float64, not int"),
    ],
)
def test_the_output_contract_names_what_is_wrong(change, words):
    """Every breach is found, at its first bar, and named with the strategy."""
    faulty = flat_signals(5)._replace(**change)

    class Faulty(KINDS["macd"]):
        warmup = 0

        def evaluate(self, bars):
            return faulty

    assert not check_signals(flat_signals(5), 5)
    strategy = Faulty(KINDS["macd"].params_type(), symbol="", timeframe=Timeframe.M1, point=POINT)
    with pytest.raises(StrategyError, match=f"strategy 'macd': .*{words}"):
        evaluate_period(strategy, columns_of(bars_at(np.arange(5) * NS_PER_MINUTE)), 0, 5)


def real_bars(data_dir, symbol):
    """Return three weeks of a symbol's real minutes."""
    frame = pd.read_parquet(data_dir / f"{symbol}_M1_2018_histdata.parquet")
    times = frame["time"].to_numpy("datetime64[ns]").astype(np.int64)
    kept = (times >= utc("2018-02-20 00:00")) & (times < utc("2018-03-13 00:00"))
    bars = np.empty(int(kept.sum()), BAR_DTYPE)
    bars["time_ns"] = times[kept]
    bars["volume"] = bars["spread"] = np.nan
    for name in ("open", "high", "low", "close"):
        bars[name] = frame[name].to_numpy()[kept]
    return bars


@pytest.mark.parametrize("timeframe", [Timeframe.M1, Timeframe.M15])
@pytest.mark.parametrize("kind", KINDS)
def test_live_is_batch_on_real_bars(data_dir, kind, timeframe):
    """The same on real prices, over a weekend and the change to daylight saving."""
    minutes = {"EURUSD": real_bars(data_dir, "EURUSD"), "GBPUSD": real_bars(data_dir, "AUDUSD")}
    clock = ServerClock("new_york+7")
    bars, _ = resample(minutes["EURUSD"], timeframe, clock)
    said = set()
    for params in variants(kind, 3):
        # A month of M30 is the longest there is history for.
        strategy = made(kind, params | ({"higher": "M30"} if "higher" in params else {}), timeframe)
        others = []
        for need in strategy.inputs[1:]:
            other, _ = resample(minutes[need.symbol], need.timeframe, clock)
            others.append(as_columns(other, close_times(other, need.timeframe, clock)))
        batch = by_period(strategy, bars, others)
        first = len(bars) - 700
        live = bar_by_bar(strategy, bars, first, others)
        assert_same(live, batch, first)
        assert not live[-1].warming
        said |= {signal.direction for signal in live}
    assert {1, -1} <= said
