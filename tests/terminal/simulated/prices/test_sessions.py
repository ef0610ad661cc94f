"""Trading hours and holidays: no bars, no ticks and no orders outside them."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.errors import ConfigError
from engine.model.server_clock import ServerClock
from engine.model.symbols import DEFAULT_SYMBOLS
from engine.model.times import NS_PER_MINUTE
from engine.terminal.simulated.module import constants as c
from engine.terminal.simulated.prices.generated import GeneratedSource
from engine.terminal.simulated.prices.sessions import SessionSource
from tests.terminal.simulated.worlds import EUR, START_NS, deal, make_terminal

SOURCE = GeneratedSource(3, [DEFAULT_SYMBOLS[EUR]])
CLOCK = ServerClock("new_york+7")
HOURS = [f"{day} 09:00-17:30" for day in ("mon", "tue", "wed", "fri")]
# The Tuesday after the start.
HOLIDAYS = ["2018-03-06"]


def server_time(time_ns: int) -> datetime:
    """Return the server's wall clock."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
        microseconds=CLOCK.to_server_ns(time_ns) // 1000
    )


def trades(time_ns: int) -> bool:
    """Tell whether HOURS and HOLIDAYS allow trading, by another way than the source's."""
    at = server_time(time_ns)
    in_hours = "09:00" <= at.strftime("%H:%M") < "17:30"
    return in_hours and at.weekday() in (0, 1, 2, 4) and at.date().isoformat() not in HOLIDAYS


@settings(max_examples=30, deadline=None)
@given(minute=st.integers(0, 30 * 1440), more=st.integers(1, 4 * 1440))
def test_a_source_shows_what_lies_within_hours(minute, more):
    """All four ways to ask agree with the hours, and lose nothing within them."""
    source = SessionSource(SOURCE, CLOCK, HOURS, HOLIDAYS)
    from_ns = START_NS + minute * NS_PER_MINUTE
    to_ns = from_ns + more * NS_PER_MINUTE
    whole = SOURCE.bars(EUR, from_ns, to_ns)
    expected = whole[[trades(int(t)) for t in whole["time_ns"]]]
    assert np.array_equal(source.bars(EUR, from_ns, to_ns), expected)
    opens = expected["time_ns"].tolist()
    bar = source.bar_at(EUR, from_ns)
    assert (bar is not None) == (from_ns in opens)
    following, last = source.next_open_ns(EUR, from_ns), source.last_bar(EUR, to_ns)
    assert following is not None
    assert last is not None
    if opens:
        assert (following, last.time_ns) == (opens[0], opens[-1])
    else:
        assert following >= to_ns
        assert last.time_ns < from_ns
        assert trades(following)
        assert trades(last.time_ns)


def test_orders_are_refused_outside_hours_and_on_holidays():
    """Closed: 10018 for market orders, working orders and closes; the next session takes them."""
    terminal = make_terminal({}, source=SOURCE, symbols=[EUR], hours=HOURS, holidays=HOLIDAYS)
    held = terminal.order_send(deal(0)).order
    waiting = {**deal(2, price=0.9), "action": c.TRADE_ACTION_PENDING}
    seen = {}
    for hours in range(75):
        terminal.advance(START_NS + hours * 60 * NS_PER_MINUTE)
        codes = {
            terminal.order_check(r).retcode for r in (deal(0), deal(1, position=held), waiting)
        }
        at = server_time(terminal.now_ns())
        seen[at.strftime("%a %H")] = codes
        assert codes == ({0} if trades(terminal.now_ns()) else {c.TRADE_RETCODE_MARKET_CLOSED})
    assert seen["Mon 17"] == seen["Wed 09"] == {0}
    assert seen["Mon 18"] == seen["Tue 12"] == seen["Thu 12"] == {c.TRADE_RETCODE_MARKET_CLOSED}


def test_bars_and_ticks_stop_with_the_session():
    """A closed evening and a holiday have neither; the last quote stands still."""
    terminal = make_terminal({}, source=SOURCE, symbols=[EUR], hours=HOURS, holidays=HOLIDAYS)
    terminal.advance(START_NS + 30 * 60 * NS_PER_MINUTE)
    assert server_time(terminal.now_ns()).strftime("%a %H") == "Tue 17"
    tick = terminal.symbol_info_tick(EUR)
    assert datetime.fromtimestamp(tick.time, UTC).strftime("%a %H:%M") == "Mon 17:29"
    rates = terminal.copy_rates_from_pos(EUR, c.TIMEFRAME_M1, 0, 3)
    assert rates["time"][-1] == tick.time - 59
    assert len(terminal.copy_ticks_from(EUR, tick.time + 60, 9, c.COPY_TICKS_ALL)) == 0


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"hours": ["monday 9-17"]}, "'monday 9-17'"),
        ({"hours": ["mon 17:00-09:00"]}, "'mon 17:00-09:00'"),
        ({"hours": ["mon 09:00-12:00", "mon 11:00-13:00"]}, "overlap"),
        ({"holidays": ["25.12.2018"]}, "'25.12.2018' is no date"),
    ],
)
def test_hours_that_make_no_sense_are_refused(more, words):
    """One line says what is wrong and how it is written."""
    with pytest.raises(ConfigError, match=words):
        make_terminal(**more)
