"""`copy_rates_*` and `copy_ticks_*`: server time, oldest first, the forming bar last."""

import numpy as np
import pytest

from engine.model.server_clock import ServerClock
from engine.model.symbols import DEFAULT_SYMBOLS
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE, NS_PER_S
from engine.terminal.simulated.module import constants as c
from engine.terminal.simulated.module.structs import RATES_DTYPE, TICKS_DTYPE
from engine.terminal.simulated.prices.generated import GeneratedSource
from engine.terminal.simulated.prices.rates import MAX_BARS, MINUTES
from tests.terminal.simulated.worlds import (
    EUR,
    START_NS,
    ManualClock,
    make_bars,
    make_terminal,
    minute,
)

CLOCK = ServerClock("new_york+7")
ROWS = [(1.1 + k / 1e4, 1.2 + k / 1e4, 1.0, 1.15) for k in range(30)]


def server_s(utc_ns):
    """Return server seconds."""
    return CLOCK.to_server_ns(utc_ns) // NS_PER_S


def test_the_forming_bar_shows_only_its_open():
    """Index 0 is the bar opening now, of which high, low and close are not yet known."""
    terminal = make_terminal({EUR: make_bars(ROWS)})
    terminal.advance(minute(3))
    rates = terminal.copy_rates_from_pos(EUR, c.TIMEFRAME_M1, 0, 3)
    assert rates.dtype == RATES_DTYPE
    assert rates["time"].tolist() == [server_s(minute(n)) for n in (1, 2, 3)]
    assert rates[-1].tolist()[1:7] == (ROWS[3][0], ROWS[3][0], ROWS[3][0], ROWS[3][0], 1, 10)
    assert rates[-2].tolist()[1:7] == (*ROWS[2], 30, 10)
    earlier = terminal.copy_rates_from_pos(EUR, c.TIMEFRAME_M1, 1, 2)
    assert earlier.tolist() == rates[:2].tolist()
    assert len(terminal.copy_rates_from_pos(EUR, c.TIMEFRAME_M1, 0, 99)) == 4
    assert len(terminal.copy_rates_from_pos(EUR, c.TIMEFRAME_M1, 50, 5)) == 0


def test_ranges_include_both_ends_and_never_the_future():
    """A range holds the bars opening in it, and none that have not opened yet."""
    terminal = make_terminal({EUR: make_bars(ROWS)})
    terminal.advance(minute(10))
    ask = lambda a, b: terminal.copy_rates_range(  # noqa: E731
        EUR, c.TIMEFRAME_M1, server_s(minute(a)), server_s(minute(b))
    )["time"].tolist()
    assert ask(2, 5) == [server_s(minute(n)) for n in (2, 3, 4, 5)]
    assert ask(8, 25) == [server_s(minute(n)) for n in (8, 9, 10)]
    assert ask(11, 25) == []
    until = terminal.copy_rates_from(EUR, c.TIMEFRAME_M1, server_s(minute(25)), 2)
    assert until["time"].tolist() == [server_s(minute(9)), server_s(minute(10))]


def test_a_symbol_whose_bar_is_no_number_can_still_be_asked_for():
    """What has no price has no spread; every other fact of the symbol is told."""
    nan = float("nan")
    terminal = make_terminal({EUR: make_bars([ROWS[0], (nan, nan, nan, nan), ROWS[2]])})
    for n, spread in ((0, 10), (1, 0), (2, 10)):
        terminal.advance(minute(n))
        assert terminal.symbol_info(EUR).spread == spread


@pytest.mark.parametrize("timeframe", [t for t in MINUTES if t != c.TIMEFRAME_M1])
def test_higher_timeframes_are_m1_on_the_servers_grid(timeframe):
    """Each higher bar is its M1 bars, and opens where the server's calendar says."""
    now_ns = START_NS + 100 * NS_PER_DAY
    terminal = generated_terminal(now_ns)
    higher = terminal.copy_rates_from_pos(EUR, timeframe, 0, 3)
    assert len(higher) == 3
    ends = [*higher["time"][1:].tolist(), server_s(now_ns) + 1]
    for bar, end in zip(higher, ends, strict=True):
        ones = terminal.copy_rates_range(EUR, c.TIMEFRAME_M1, int(bar["time"]), end - 1)
        assert bar["open"] == ones["open"][0]
        assert bar["close"] == ones["close"][-1]
        assert bar["high"] == ones["high"].max()
        assert bar["low"] == ones["low"].min()
        assert bar["tick_volume"] == ones["tick_volume"].sum()
    opens = higher["time"].astype("datetime64[s]")
    if timeframe == c.TIMEFRAME_MN1:
        assert (opens == opens.astype("datetime64[M]")).all()
    elif timeframe == c.TIMEFRAME_W1:
        assert all(int(t) // 86_400 % 7 == 3 for t in higher["time"])  # Sundays
    else:
        assert (higher["time"] % (MINUTES[timeframe] * 60) == 0).all()
    one = terminal.copy_rates_from(EUR, timeframe, int(higher["time"][1]), 1)
    assert one.tolist() == [higher[1].tolist()]
    between = terminal.copy_rates_range(
        EUR, timeframe, int(higher["time"][0]), int(higher["time"][2])
    )
    assert between.tolist() == higher.tolist()


def generated_terminal(now_ns, **config):
    """Return a terminal over generated EURUSD."""
    source = GeneratedSource(5, [DEFAULT_SYMBOLS[EUR]])
    return make_terminal({}, source=source, symbols=[EUR], start_ns=now_ns, **config)


def test_history_is_limited_by_maxbars():
    """No more than `terminal_info().maxbars` bars are had."""
    terminal = generated_terminal(START_NS)
    rates = terminal.copy_rates_from_pos(EUR, c.TIMEFRAME_M1, 0, 10 * MAX_BARS)
    assert len(rates) == MAX_BARS == terminal.terminal_info().maxbars
    assert (np.diff(rates["time"]) > 0).all()


def test_real_time_bars_form_tick_by_tick():
    """The forming bar is made of the ticks so far and ends as the bar of its minute."""
    clock = ManualClock()
    terminal = generated_terminal(START_NS, speed=1.0, monotonic_ns=clock)
    whole = terminal.market.source.bar_at(EUR, START_NS)
    for second in range(60):
        clock.ns = second * NS_PER_S
        bar = terminal.copy_rates_from_pos(EUR, c.TIMEFRAME_M1, 0, 1)[0]
        tick = terminal.symbol_info_tick(EUR)
        ticks = terminal.copy_ticks_range(EUR, server_s(START_NS), server_s(START_NS) + 60, -1)
        assert ticks.dtype == TICKS_DTYPE
        assert bar["close"] == tick.bid == ticks["bid"][-1]
        assert bar["high"] == ticks["bid"].max()
        assert bar["low"] == ticks["bid"].min()
        assert bar["tick_volume"] == len(ticks)
        assert ticks["ask"][-1] == tick.ask
    clock.ns = 60 * NS_PER_S
    done = terminal.copy_rates_from_pos(EUR, c.TIMEFRAME_M1, 1, 1)[0]
    assert done.tolist()[1:6] == (whole.open, whole.high, whole.low, whole.close, whole.volume)


def test_ticks_count_flags_and_stepped_minutes():
    """A stepped minute has an open and a close tick; `count` and the trade flag are obeyed."""
    terminal = make_terminal({EUR: make_bars(ROWS)})
    terminal.advance(minute(2))
    from_s = server_s(START_NS)
    ticks = terminal.copy_ticks_from(EUR, from_s, 10, c.COPY_TICKS_ALL)
    assert ticks["bid"].tolist() == [ROWS[0][0], ROWS[0][3], ROWS[1][0], ROWS[1][3], ROWS[2][0]]
    assert (np.diff(ticks["time_msc"]) > 0).all()
    assert len(terminal.copy_ticks_from(EUR, from_s, 3, c.COPY_TICKS_INFO)) == 3
    assert len(terminal.copy_ticks_from(EUR, from_s, 3, c.COPY_TICKS_TRADE)) == 0
    late = START_NS + 30 * NS_PER_MINUTE
    assert len(terminal.copy_ticks_from(EUR, server_s(late), 3, c.COPY_TICKS_ALL)) == 0
