"""Broker wall clock and UTC: both ways, over daylight saving, arrays as scalars."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.errors import BrokerError
from engine.model.times import NS_PER_HOUR, NS_PER_MINUTE, NS_PER_MS, NS_PER_S
from engine.terminal.server_time import ServerTime, check_offset

RULES = ["new_york+7", "Europe/Athens", "UTC", "UTC+2", "UTC-5:30"]
FIRST = int(datetime(2015, 1, 1, tzinfo=UTC).timestamp())
LAST = int(datetime(2035, 1, 1, tzinfo=UTC).timestamp())
# New York leaves daylight saving at 06:00 UTC: the server's 08:00 to 09:00 happens twice.
FALL = int(datetime(2025, 11, 2, 6, tzinfo=UTC).timestamp()) * NS_PER_S
SPRING = int(datetime(2025, 3, 9, 7, tzinfo=UTC).timestamp()) * NS_PER_S


@given(st.sampled_from(RULES), st.integers(FIRST, LAST))
def test_there_and_back_is_the_same_instant(rule: str, utc_s: int) -> None:
    """Server seconds of an instant lead back to it: exactly, or in the repeated hour to its
    other reading; knowing "now" settles which."""
    time, utc_ns = ServerTime(rule), utc_s * NS_PER_S
    back_ns = time.from_seconds(time.to_seconds(utc_ns))
    assert back_ns - utc_ns in (0, NS_PER_HOUR)
    assert time.from_seconds(time.to_seconds(utc_ns), now_ns=utc_ns) == utc_ns


@given(st.sampled_from(RULES), st.lists(st.integers(FIRST, LAST), max_size=20))
def test_arrays_convert_as_scalars(rule: str, utc_s: list[int]) -> None:
    """One rule for bars and for ticks."""
    time = ServerTime(rule)
    server_s = sorted(time.to_seconds(s * NS_PER_S) for s in utc_s)
    bars_ns = time.bars_from_seconds(np.array(server_s, np.int64))
    assert bars_ns.tolist() == [time.from_seconds(s) for s in server_s]


@pytest.mark.parametrize("change_ns", [FALL, SPRING])
@pytest.mark.parametrize("minutes_after", [-100, -30, 0, 30, 59, 61, 200])
def test_bars_over_a_change_stay_in_order(change_ns: int, minutes_after: int) -> None:
    """M1 bars around the end and the start of daylight saving come back as they were, read
    whole, or while only a part of them has happened."""
    time = ServerTime("new_york+7")
    now_ns = change_ns + minutes_after * NS_PER_MINUTE
    utc_ns = np.arange(change_ns - 3 * NS_PER_HOUR, now_ns, NS_PER_MINUTE, dtype=np.int64)
    server_s = np.array([time.to_seconds(int(t)) for t in utc_ns], np.int64)
    assert np.array_equal(time.bars_from_seconds(server_s, now_ns), utc_ns)


@pytest.mark.parametrize("change_ns", [FALL, SPRING])
@pytest.mark.parametrize("hours_before", [0, 1, 2, 3, 24, 100, 165, 166, 167, 168])
def test_a_week_of_bars_has_the_change_where_it_is(change_ns: int, hours_before: int) -> None:
    """Wherever in it the clock changes, no bar of a week is read with another one's offset."""
    time = ServerTime("new_york+7")
    first_ns = change_ns - hours_before * NS_PER_HOUR
    utc_ns = first_ns + NS_PER_HOUR * np.arange(7 * 24 + 1, dtype=np.int64)
    server_s = np.array([time.to_seconds(int(t)) for t in utc_ns], np.int64)
    for n in (1, 2, 7 * 24 - 1, 7 * 24, 7 * 24 + 1):
        assert np.array_equal(time.bars_from_seconds(server_s[:n], int(utc_ns[n - 1])), utc_ns[:n])


def test_zero_is_never() -> None:
    """An order that is not done has done-time 0, not 1969."""
    assert ServerTime("new_york+7").from_ms(0) == 0


def test_the_offset_is_measured_and_compared() -> None:
    """A fresh tick confirms the rule; the wrong rule is named with both offsets."""
    utc_ns = FALL + 30 * 24 * NS_PER_HOUR
    tick_msc = (utc_ns + 2 * NS_PER_HOUR - 700 * NS_PER_MS) // NS_PER_MS
    assert check_offset("new_york+7", [0, tick_msc - 9_000_000, tick_msc], utc_ns) == (
        2 * NS_PER_HOUR
    )
    with pytest.raises(BrokerError, match=r"UTC\+2 h .*UTC\+3"):
        check_offset("UTC+3", [tick_msc], utc_ns)


@pytest.mark.parametrize("ticks", [[], [0], [FALL // NS_PER_MS - 13 * 60_000]])
def test_an_offset_that_cannot_be_measured_is_no_offset(ticks: list[int]) -> None:
    """No tick, or a tick at no multiple of 30 minutes, refuses."""
    with pytest.raises(BrokerError, match="not measured"):
        check_offset("UTC", ticks, FALL)
