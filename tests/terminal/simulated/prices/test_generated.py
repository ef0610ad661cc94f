"""Generated prices: pure in (seed, symbol, minute), plausible, and quick to make."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.server_clock import ServerClock
from engine.model.symbols import DEFAULT_SYMBOLS
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE
from engine.terminal.simulated.prices.generated import PROFILES, GeneratedSource
from engine.terminal.simulated.prices.ticks import CLOSE_OFFSET_NS, bar_ticks
from tests.terminal.simulated.worlds import EUR, START_NS

NAMES = ("EURUSD", "GBPUSD", "USDJPY", "XAUUSD", "AUDUSD")
SPECS = [DEFAULT_SYMBOLS[name] for name in NAMES]
MONTH_NS = 30 * NS_PER_DAY


@pytest.fixture(scope="module")
def source():
    """Return a source that has been asked before."""
    made = GeneratedSource(42, SPECS)
    for name in NAMES:
        made.bars(name, START_NS, START_NS + MONTH_NS)
    return made


@settings(max_examples=30, deadline=None)
@given(offset=st.integers(0, 28 * 1440), length=st.integers(1, 3000), name=st.sampled_from(NAMES))
def test_bars_do_not_depend_on_who_asks_when(source, offset, length, name):
    """A fresh source asked for a stretch, or a bar, gives the bits of one asked for a month."""
    fresh = GeneratedSource(42, SPECS)
    from_ns = START_NS + offset * NS_PER_MINUTE
    to_ns = from_ns + length * NS_PER_MINUTE
    stretch = fresh.bars(name, from_ns, to_ns)
    assert stretch.tobytes() == source.bars(name, from_ns, to_ns).tobytes()
    month = source.bars(name, START_NS, START_NS + 40 * NS_PER_DAY)
    times = month["time_ns"]
    inside = month[(times >= from_ns) & (times < to_ns)]
    assert stretch.tobytes() == inside.tobytes()
    bar = GeneratedSource(42, SPECS).bar_at(name, from_ns)
    if bar is None:
        assert len(stretch) == 0 or stretch["time_ns"][0] > from_ns
    else:
        assert tuple(bar) == stretch[0].tolist()


def test_history_does_not_depend_on_where_one_began(source):
    """Years asked for one after the other are those of a source asked for the last one only."""
    slow = GeneratedSource(42, SPECS)
    for years in range(12, -1, -1):
        from_ns = START_NS - years * 365 * NS_PER_DAY
        part = slow.bars(EUR, from_ns, from_ns + NS_PER_DAY)
    assert part.tobytes() == source.bars(EUR, START_NS, START_NS + NS_PER_DAY).tobytes()
    assert len(slow.bars(EUR, 0, 946_684_800 * 10**9)) == 0  # nothing before 2000
    assert slow.last_bar(EUR, 946_684_800 * 10**9) is None


def test_seeds_and_symbols_differ(source):
    """Another seed or symbol gives other prices."""
    closes = {
        source.bars(name, START_NS, START_NS + NS_PER_DAY)["close"].tobytes() for name in NAMES
    }
    other = GeneratedSource(43, SPECS).bars(EUR, START_NS, START_NS + NS_PER_DAY)
    assert len(closes | {other["close"].tobytes()}) == len(NAMES) + 1


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_bars_are_plausible(name):
    """On the digits' grid, ordered, joined, near the usual price; spreads widen but stay sane."""
    spec = DEFAULT_SYMBOLS[name]
    bars = GeneratedSource(1, [spec]).bars(name, START_NS, START_NS + MONTH_NS)
    scale = 10.0**spec.digits
    for column in ("open", "high", "low", "close"):
        assert (bars[column] == np.round(bars[column] * scale) / scale).all()
    assert (bars["high"] >= np.maximum(bars["open"], bars["close"])).all()
    assert (bars["low"] <= np.minimum(bars["open"], bars["close"])).all()
    assert (bars["low"] > 0).all()
    assert (np.abs(bars["open"][1:] - bars["close"][:-1]) < 1.5 / scale).all()
    assert 0.3 < bars["close"].mean() / PROFILES[name].price < 2.5
    points = bars["spread"] * scale
    assert 0.7 < np.median(points) / spec.spread_points < 1.4
    assert 3 < points.max() / spec.spread_points <= 10.1
    daily = bars["close"][1439::1440]
    assert 0.2 < np.std(np.diff(np.log(daily))) / PROFILES[name].daily_frac < 4
    # Regimes and sessions: busy minutes move several times as far as quiet ones.
    ranges = bars["high"] - bars["low"]
    assert np.quantile(ranges, 0.95) > 3 * np.quantile(ranges, 0.2)


def test_markets_close_at_the_weekend(source):
    """Bars fill Sunday 17:00 to Friday 17:00 New York and nothing else."""
    bars = source.bars(EUR, START_NS, START_NS + MONTH_NS)
    clock = ServerClock("new_york+7")
    server_ns = bars["time_ns"] + clock.offsets_ns(np.ascontiguousarray(bars["time_ns"]))
    weekdays = (server_ns // NS_PER_DAY + 3) % 7
    assert set(weekdays.tolist()) == {0, 1, 2, 3, 4}
    gaps = np.diff(bars["time_ns"])
    weekend = gaps[gaps > NS_PER_MINUTE]
    assert (weekend == 2 * NS_PER_DAY + NS_PER_MINUTE).sum() >= 3
    # The second weekend: in the first one New York changes its clocks.
    last_bar = np.flatnonzero(gaps > NS_PER_MINUTE)[1]
    friday_close = int(bars["time_ns"][last_bar]) + NS_PER_MINUTE
    assert source.last_bar(EUR, friday_close + NS_PER_DAY).time_ns == friday_close - NS_PER_MINUTE
    assert source.next_open_ns(EUR, friday_close) == friday_close + 2 * NS_PER_DAY
    assert source.bar_at(EUR, friday_close) is None


def test_a_month_of_five_symbols_takes_less_than_a_second():
    """A cold source makes 5 × 30 days of bars in under a second."""
    best = 9.0
    for seed in (1, 2, 3):
        source = GeneratedSource(seed, SPECS)
        began = time.perf_counter()
        for name in NAMES:
            source.bars(name, START_NS, START_NS + MONTH_NS)
        best = min(best, time.perf_counter() - began)
    assert best < 1.0


@settings(max_examples=60, deadline=None)
@given(offset=st.integers(0, 28 * 1440), name=st.sampled_from(NAMES))
def test_ticks_make_their_bar(source, offset, name):
    """20–60 increasing ticks from open to close that reach exactly the bar's extremes."""
    bar = source.bar_at(name, START_NS + offset * NS_PER_MINUTE)
    if bar is None:
        return
    digits = DEFAULT_SYMBOLS[name].digits
    times, bids = bar_ticks(name, bar, digits)
    again = bar_ticks(name, bar, digits)
    assert (times.tobytes(), bids.tobytes()) == (again[0].tobytes(), again[1].tobytes())
    assert 20 <= len(times) == bar.volume <= 60
    assert (times[0], times[-1]) == (bar.time_ns, bar.time_ns + CLOSE_OFFSET_NS)
    assert (np.diff(times) > 0).all()
    assert (times % 1_000_000 == 0).all()
    assert (bids[0], bids.max(), bids.min(), bids[-1]) == (bar.open, bar.high, bar.low, bar.close)
    assert (bids == np.round(bids * 10**digits) / 10**digits).all()
