"""Broker wall clock and UTC: both ways, over daylight saving, arrays as scalars."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.times import NS_PER_HOUR, NS_PER_MINUTE, NS_PER_S
from engine.terminal.host.server_time import ServerTime

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
    back_ns = time.from_ms(1000 * time.to_seconds(utc_ns))
    assert back_ns - utc_ns in (0, NS_PER_HOUR)
    assert time.from_ms(1000 * time.to_seconds(utc_ns), now_ns=utc_ns) == utc_ns


@given(st.sampled_from(RULES), st.lists(st.integers(FIRST, LAST), max_size=20))
def test_arrays_convert_as_scalars(rule: str, utc_s: list[int]) -> None:
    """One rule for bars and for ticks; a bar whose hour happens twice may be left out."""
    time = ServerTime(rule)
    server_s = sorted(time.to_seconds(s * NS_PER_S) for s in utc_s)
    bars_ns = time.bars_from_seconds(np.array(server_s, np.int64))
    for bar_ns, server in zip(bars_ns.tolist(), server_s, strict=True):
        later_ns = time.from_ms(1000 * server)
        twice = time.from_ms(1000 * server, now_ns=later_ns - NS_PER_HOUR) != later_ns
        assert bar_ns in ((later_ns, later_ns - NS_PER_HOUR, 0) if twice else (later_ns,))


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
    """Wherever in it the clock changes, no bar of a week is read with another one's offset; only
    where the week begins with the second of two equal hours, its first bar is left out."""
    time = ServerTime("new_york+7")
    first_ns = change_ns - hours_before * NS_PER_HOUR
    utc_ns = first_ns + NS_PER_HOUR * np.arange(7 * 24 + 1, dtype=np.int64)
    server_s = np.array([time.to_seconds(int(t)) for t in utc_ns], np.int64)
    for n in (1, 2, 7 * 24 - 1, 7 * 24, 7 * 24 + 1):
        found_ns = time.bars_from_seconds(server_s[:n], int(utc_ns[n - 1]))
        n_lost = int(change_ns == FALL and hours_before == 0)
        assert not found_ns[:n_lost].any()
        assert np.array_equal(found_ns[n_lost:], utc_ns[n_lost:n])


def test_zero_is_never() -> None:
    """An order that is not done has done-time 0, not 1969."""
    assert ServerTime("new_york+7").from_ms(0) == 0


@st.composite
def reads_around_a_change(draw: st.DrawFn) -> tuple[str, int, list[int]]:
    """A rule, the moment of a read, and the M1 bars in it: any of those around a change."""
    rule, change = draw(
        st.sampled_from(
            [
                ("new_york+7", FALL),
                ("new_york+7", SPRING),
                (
                    "Europe/Athens",
                    int(datetime(2025, 10, 26, 1, tzinfo=UTC).timestamp()) * NS_PER_S,
                ),
                (
                    "Europe/London",
                    int(datetime(2025, 10, 26, 1, tzinfo=UTC).timestamp()) * NS_PER_S,
                ),
                (
                    "Australia/Lord_Howe",
                    int(datetime(2025, 4, 5, 15, tzinfo=UTC).timestamp()) * NS_PER_S,
                ),
            ]
        )
    )
    minutes = sorted(draw(st.sets(st.integers(-150, 300), min_size=1, max_size=60)))
    if draw(st.booleans()):  # a liquid market
        minutes = list(range(minutes[0], minutes[-1] + 1))
    now = minutes[-1] + draw(st.sampled_from([0, 1, 2, 10, 58, 70, 500, 100_000]))
    first = draw(st.integers(0, len(minutes) - 1))
    bars_ns = [change + minute * NS_PER_MINUTE for minute in minutes[first:]]
    return rule, change + now * NS_PER_MINUTE, bars_ns


@given(reads_around_a_change())
def test_a_bar_is_right_or_left_out(read: tuple[str, int, list[int]]) -> None:
    """Whatever bars there are around a change, whatever part of them is read and when: none is
    shifted, none outside the doubled hour is lost."""
    rule, now_ns, bars_ns = read
    time = ServerTime(rule)
    server_s = np.array([time.to_seconds(t) for t in bars_ns], np.int64)
    for found_ns, bar_ns, server in zip(
        time.bars_from_seconds(server_s, now_ns).tolist(), bars_ns, server_s.tolist(), strict=True
    ):
        assert found_ns in (bar_ns, 0)
        if not found_ns:
            assert time.repeats_near(bar_ns + NS_PER_HOUR), server


@pytest.mark.parametrize("minutes_after", [*range(0, 240, 7), -1, -30, -61])
def test_a_whole_look_back_leaves_nothing_out(minutes_after: int) -> None:
    """A read that shows both hours of a market that never closes has every bar."""
    time = ServerTime("new_york+7")
    now_ns = FALL + minutes_after * NS_PER_MINUTE
    bars_ns = now_ns - NS_PER_MINUTE * np.arange(361, 0, -1, dtype=np.int64)
    server_s = np.array([time.to_seconds(int(t)) for t in bars_ns], np.int64)
    assert np.array_equal(time.bars_from_seconds(server_s, now_ns), bars_ns)
    assert time.repeats_near(now_ns) == (-60 <= minutes_after < 270)
