"""Recorded ticks are shown as they were, and make the bars that they cover."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.errors import DataError
from engine.model.symbols import DEFAULT_SYMBOLS
from engine.model.times import NS_PER_MINUTE, NS_PER_MS
from engine.terminal.simulated.module import constants as c
from engine.terminal.simulated.prices.prices import ReplaySource
from engine.terminal.simulated.prices.recorded_ticks import TICK_DTYPE, RecordedTicks
from tests.terminal.simulated.worlds import (
    EUR,
    START_NS,
    ManualClock,
    deal,
    flat,
    make_bars,
    make_terminal,
    minute,
)

SPECS = [DEFAULT_SYMBOLS[EUR]]
Row = tuple[int, float, float]


def recorded(rows: list[Row]) -> RecordedTicks:
    """Return ticks from rows of (milliseconds since the start, bid, ask)."""
    ticks = np.zeros(len(rows), TICK_DTYPE)
    for name, column in zip(("time_ns", "bid", "ask"), zip(*rows, strict=True), strict=True):
        ticks[name] = column
    ticks["time_ns"] = START_NS + ticks["time_ns"] * NS_PER_MS
    return RecordedTicks(EUR, ticks)


def points(low: int, high: int) -> st.SearchStrategy[int]:
    """Return whole points."""
    return st.integers(low, high)


rows = st.lists(
    st.tuples(points(0, 240_000), points(108_000, 112_000), points(-3, 30)), min_size=1, max_size=60
).map(lambda drawn: [(ms, bid / 1e5, (bid + spread) / 1e5) for ms, bid, spread in sorted(drawn)])


@settings(max_examples=60, deadline=None)
@given(rows=rows)
def test_bars_are_what_their_ticks_say(rows):
    """Each minute with ticks has one bar: first, highest, lowest, last; minutes without, none."""
    bars = recorded(rows).bars(5)
    assert sorted({ms // 60_000 for ms, _, _ in rows}) == [
        (t - START_NS) // NS_PER_MINUTE for t in bars["time_ns"].tolist()
    ]
    for bar in bars:
        n = (int(bar["time_ns"]) - START_NS) // NS_PER_MINUTE
        own = [(bid, ask) for ms, bid, ask in rows if ms // 60_000 == n]
        bids = [bid for bid, _ in own]
        assert (bar["open"], bar["close"]) == (bids[0], bids[-1])
        assert (bar["high"], bar["low"], bar["volume"]) == (max(bids), min(bids), len(own))
        least = min(max(ask - bid, 0.0) for bid, ask in own)
        assert bar["spread"] == pytest.approx(least, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(rows=rows)
def test_the_terminal_shows_every_tick_at_its_time(rows):
    """In real time the quote is the last tick's, and the history has all of them so far."""
    clock = ManualClock()
    source = ReplaySource({EUR: make_bars(flat(1.1, 9))}, SPECS, {EUR: recorded(rows)})
    terminal = make_terminal({}, source=source, symbols=[EUR], speed=1.0, monotonic_ns=clock)
    server_s = START_NS // 10**9 + 7200
    times = {ms for ms, _, _ in rows}
    for at_ms in sorted(times):
        clock.ns = at_ms * NS_PER_MS
        bid, ask = next((b, a) for ms, b, a in reversed(rows) if ms == at_ms)
        tick = terminal.symbol_info_tick(EUR)
        assert (tick.bid, tick.ask) == (bid, pytest.approx(max(ask, bid), abs=1e-9))
        assert tick.time_msc == server_s * 1000 + at_ms
    clock.ns = 5 * NS_PER_MINUTE
    history = terminal.copy_ticks_range(EUR, server_s, server_s + 299, c.COPY_TICKS_ALL)
    covered = history[history["time_msc"] <= server_s * 1000 + max(times)]
    shown = {ms - server_s * 1000 for ms in covered["time_msc"].tolist()}
    first_minute, last_minute = min(times) // 60_000, max(times) // 60_000
    assert {ms for ms in shown if first_minute <= ms // 60_000 <= last_minute} == times


def test_stops_and_orders_meet_recorded_ticks():
    """A stop and a working order are filled by the tick that reaches them, with its own spread."""
    clock = ManualClock()
    ticks = recorded(
        [
            (0, 1.1, 1.1001),
            (20_000, 1.0991, 1.0999),
            (40_000, 1.0985, 1.0986),
            (90_000, 1.1, 1.1002),
        ]
    )
    source = ReplaySource({}, SPECS, {EUR: ticks})
    terminal = make_terminal({}, source=source, symbols=[EUR], speed=1.0, monotonic_ns=clock)
    held = terminal.order_send(deal(0, sl=1.0990)).order
    limit = {**deal(2, price=1.0987, type_filling=2), "action": c.TRADE_ACTION_PENDING}
    waiting = terminal.order_send(limit).order
    clock.ns = 30 * 10**9
    assert [p.ticket for p in terminal.positions_get()] == [held]
    clock.ns = 50 * 10**9
    assert [p.ticket for p in terminal.positions_get()] == [waiting]
    assert terminal.history_deals_get(position=held)[-1].price == 1.099
    assert terminal.positions_get()[0].price_open == 1.0987


def test_the_forming_bar_waits_for_its_first_tick():
    """A minute whose first tick is still to come has no bar; the one before is the newest."""
    clock = ManualClock()
    source = ReplaySource({}, SPECS, {EUR: recorded([(0, 1.1, 1.1001), (90_000, 1.2, 1.2001)])})
    terminal = make_terminal({}, source=source, symbols=[EUR], speed=1.0, monotonic_ns=clock)
    newest = []
    for second in (30, 70, 95):
        clock.ns = second * 10**9
        rates = terminal.copy_rates_from_pos(EUR, c.TIMEFRAME_M1, 0, 5)
        newest.append((len(rates), float(rates["close"][-1])))
    assert newest == [(1, 1.1), (1, 1.1), (2, 1.2)]


def test_ticks_take_the_place_of_the_bars_they_cover():
    """Before and after the recorded ticks the bar file's bars go on."""
    ticks = recorded([(120_000, 1.2, 1.2001), (250_000, 1.3, 1.3001)])
    source = ReplaySource({EUR: make_bars(flat(1.1, 8))}, SPECS, {EUR: ticks})
    bars = source.bars(EUR, START_NS, minute(8))
    opened = [(t - START_NS) // NS_PER_MINUTE for t in bars["time_ns"].tolist()]
    assert opened == [0, 1, 2, 4, 5, 6, 7]
    assert bars["open"].tolist() == [1.1, 1.1, 1.2, 1.3, 1.1, 1.1, 1.1]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([(9, 1.1, 1.2), (8, 1.1, 1.2)], "step back"),
        ([(0, 0.0, 1.1)], "above 0"),
        ([(0, float("nan"), 1.1)], "above 0"),
        ([(0, 1.1, float("inf"))], "above 0"),
    ],
)
def test_impossible_ticks_are_refused(rows, words):
    """Times that step back and prices that are none are one line."""
    with pytest.raises(DataError, match=words):
        recorded(rows)


def test_real_ticks_are_read_from_their_files(data_dir: Path):
    """The tick files of the market data make a terminal's prices, without a jump between them."""
    from pmpro_tui.cli.terminal.prices import recorded_prices

    start_ns = 1_399_449_600 * 10**9  # 2014-05-07 08:00 UTC
    if not list(data_dir.glob("EURUSD_ticks_*_oanda.parquet")):
        pytest.skip(f"no ticks of EURUSD by oanda in {data_dir}")
    specs, prices = recorded_prices(data_dir, "oanda", start_ns, "USD")
    assert EUR in {spec.name for spec in specs}
    bars = prices.bars(EUR, start_ns, start_ns + 60 * NS_PER_MINUTE)
    assert len(bars) > 50
    assert np.abs(np.diff(np.log(bars["close"]))).max() < 0.005
    for bar in bars[:10]:
        ticks = prices.recorded_ticks(EUR, int(bar["time_ns"]))
        assert ticks is not None
        assert (ticks[1].max(), ticks[1].min()) == (bar["high"], bar["low"])
