"""A market's own days: FX has five a week, a market that never closes seven."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.metrics.days import DayReturns, days_per_year, market_days
from engine.metrics.performance import daily_returns, day_ends
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE

MONDAY = 17_686  # 2018-06-04 in days since 1970-01-01
DAY = 1440


def minutes(*spans):
    """Return the batches of bars in [first, last) minutes from Monday's midnight: opens, closes."""
    opens = np.concatenate([np.arange(first, last) for first, last in spans])
    return (np.union1d(opens, opens + 1) + MONDAY * DAY) * NS_PER_MINUTE


def test_a_week_of_fx_has_five_days():
    """It opens at Monday's midnight and closes at Saturday's: neither a Sunday nor a Saturday."""
    two_weeks = minutes((0, 5 * DAY), (7 * DAY, 12 * DAY))
    days = market_days(two_weeks)
    assert np.unique(days).tolist() == [MONDAY + d for d in (0, 1, 2, 3, 4, 7, 8, 9, 10, 11)]
    # The midnight between two trading days ends the first one, Friday's end is its own.
    assert days[two_weeks == (MONDAY + 1) * NS_PER_DAY] == MONDAY
    assert days[two_weeks == (MONDAY + 5) * NS_PER_DAY] == MONDAY + 4
    assert days[two_weeks == (MONDAY + 7) * NS_PER_DAY] == MONDAY + 7


def test_a_market_that_opens_late_or_closes_early_has_its_days_too():
    """Gold opens at one; a holiday has no day; a bar before midnight ends at midnight."""
    days = market_days(minutes((60, DAY), (DAY + 60, DAY + 61), (3 * DAY - 1, 3 * DAY)))
    assert np.unique(days).tolist() == [MONDAY, MONDAY + 1, MONDAY + 2]


batches = st.lists(
    st.tuples(
        st.sampled_from([1, 1, 2, 59, DAY - 1, DAY, DAY + 1, 2 * DAY, 3 * DAY]),
        st.floats(50.0, 200.0),
    ),
    min_size=1,
    max_size=80,
)


@given(batches, st.integers(0, DAY))
def test_live_counts_the_days_that_a_report_counts(steps, start):
    """Batch by batch and all at once: the same days, the same returns to the last bit."""
    server_ns = (np.cumsum([step for step, _ in steps]) + start + MONDAY * DAY) * NS_PER_MINUTE
    equity = np.array([value for _, value in steps])
    live = DayReturns(base_ccy=100.0)
    for at_ns, value in zip(server_ns.tolist(), equity.tolist(), strict=True):
        live.take(at_ns, value)
    days = market_days(server_ns)
    returns = daily_returns(100.0, day_ends(days, equity))
    assert np.array_equal(days, np.sort(days))
    assert live.days == np.unique(days)[:-1].tolist()
    assert live.returns == returns[:-1].tolist()


def test_cash_is_no_return():
    """A deposit in the middle of a day leaves that day's return what the trades made."""
    live = DayReturns(base_ccy=100.0)
    live.take(MONDAY * NS_PER_DAY + 1, 110.0)
    live.move_cash(110.0)
    live.take(MONDAY * NS_PER_DAY + 2, 231.0)
    live.take((MONDAY + 1) * NS_PER_DAY + 7 * NS_PER_MINUTE, 231.0)
    assert live.returns == [pytest.approx(1.10 * 1.05 - 1.0)]


def test_only_the_last_days_are_kept():
    """A year of days is enough, and memory does not grow."""
    live = DayReturns(base_ccy=100.0, kept=5)
    for day in range(20):
        live.take((MONDAY + day) * NS_PER_DAY + NS_PER_MINUTE, 100.0 + day)
    assert live.days == [MONDAY + d for d in range(14, 19)]
    assert len(live.returns) == 5


YEAR = np.arange(MONDAY, MONDAY + 365)
WEEKDAY = (YEAR + 3) % 7


@pytest.mark.parametrize(
    ("days", "a_year"),
    [
        (YEAR[WEEKDAY < 5], 252.0),
        (np.delete(YEAR[WEEKDAY < 5], [3, 40, 41, 100, 200]), 252.0),  # holidays
        (np.append(YEAR[WEEKDAY < 5], [MONDAY + 370]), 252.0),  # one Sunday by mistake
        (YEAR, 365.25),
        (np.delete(YEAR, [6, 13, 100]), 365.25),  # an exchange that was down
        (YEAR[WEEKDAY != 5], 6 * 365.25 / 7),  # a clock on which the week opens on Sunday
        (YEAR[:10][WEEKDAY[:10] < 5], 252.0),
        (YEAR[:14], 365.25),
        (YEAR[1:3], 252.0),  # too few to know: a market of five days
        (np.empty(0, np.int64), 252.0),
        (YEAR[WEEKDAY < 4], 252.0 * 4 / 5),
    ],
)
def test_a_year_has_as_many_days_as_its_market(days, a_year):
    """252 of five weekdays, 365.25 without a weekend, by what traded in most weeks."""
    assert days_per_year(days) == pytest.approx(a_year, rel=1e-12)
