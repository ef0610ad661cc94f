"""A market's own days: which day an instant belongs to, each day's return, how many a year has.

Times are the server's wall clock, int64 nanoseconds. A day is one in which a bar opened, so that
a market of five days a week has five. Pure functions, and a record that is filled batch by batch.
"""

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from engine.model.times import NS_PER_DAY

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# Of a market that trades five days a week: 261 weekdays less the holidays of stock exchanges.
DAYS_PER_YEAR: Final = 252.0
CALENDAR_DAYS_PER_YEAR: Final = 365.25
_WORKWEEK: Final = 5
# 1970-01-01 was a Thursday; Monday is 0.
_FIRST_WEEKDAY: Final = 3


def ends_day_before(server_ns: int, before_ns: int) -> bool:
    """Tell whether a batch at midnight ends the day before: whether that one had a batch too.

    `before_ns` is the batch before it. A midnight after a weekend begins its own day.
    """
    return server_ns % NS_PER_DAY == 0 and server_ns - before_ns < NS_PER_DAY


def market_days(server_ns: Integers) -> Integers:
    """Return the day of each batch, (n,) since 1970-01-01; batches increase.

    A batch is every minute at which a bar opens or closes: the one at the midnight that ends a
    trading day belongs to that day, whether or not the next day opens then.
    """
    days = server_ns // NS_PER_DAY
    ends = server_ns % NS_PER_DAY == 0
    ends[1:] &= np.diff(server_ns) < NS_PER_DAY
    ends[:1] = False
    out: Integers = days - ends
    return out


def days_per_year(days: Integers) -> float:
    """Return how many days like these, (n,) each once, a year of their market has.

    By the weekdays: those on which it traded in half of the period's weeks or more count, and what
    the period does not reach is taken to trade from Monday to Friday. Up to five weekdays are
    252 days a year (of five; 50.4 each), more are 365.25 / 7 each: 365.25 where it never closes.
    """
    if not len(days):
        return DAYS_PER_YEAR
    n_weekdays = int(np.count_nonzero(_weekdays(days)))
    if n_weekdays <= _WORKWEEK:
        return DAYS_PER_YEAR * n_weekdays / _WORKWEEK
    return CALENDAR_DAYS_PER_YEAR * n_weekdays / 7


def _weekdays(days: Integers) -> npt.NDArray[np.bool_]:
    """Tell of each weekday, Monday first, whether half of the weeks or more trade on it."""
    span = np.arange(days[0], days[-1] + 1)
    passed = np.bincount((span + _FIRST_WEEKDAY) % 7, minlength=7)
    traded = np.bincount((days + _FIRST_WEEKDAY) % 7, minlength=7)
    trades: npt.NDArray[np.bool_] = np.where(
        passed > 0, 2 * traded >= passed, np.arange(7) < _WORKWEEK
    )
    return trades


def weekdays_traded(days: Integers) -> npt.NDArray[np.bool_]:
    """Tell of each weekday, Monday first, whether a market trades on it, (7,).

    `days` (n,) are those on which it did, each once. Monday to Friday count whatever is missing.
    """
    workdays: npt.NDArray[np.bool_] = np.arange(7) < _WORKWEEK
    return workdays | _weekdays(days) if len(days) else workdays


class DayReturns(msgspec.Struct, kw_only=True):
    """Daily returns as the batches come, what `market_days` and `daily_returns` make of them all.

    `returns` and their `days` are of days that have ended, oldest first, the last `kept`.
    """

    base_ccy: float
    last_ccy: float = 0.0
    last_ns: int = -1
    day: int = -1
    returns: list[float] = []
    days: list[int] = []
    kept: int = 260

    def take(self, server_ns: int, equity_ccy: float) -> None:
        """Take the equity of a batch."""
        day = server_ns // NS_PER_DAY
        if self.last_ns >= 0 and ends_day_before(server_ns, self.last_ns):
            day -= 1
        if day > self.day:
            if self.day >= 0 and self.base_ccy > 0.0:
                self.returns.append(self.last_ccy / self.base_ccy - 1.0)
                self.days.append(self.day)
                del self.returns[: -self.kept], self.days[: -self.kept]
            if self.day >= 0:
                self.base_ccy = self.last_ccy
            self.day = day
        self.last_ns, self.last_ccy = server_ns, equity_ccy

    def move_cash(self, cash_ccy: float) -> None:
        """Keep cash that was paid in or out from being a return: the base keeps its proportion."""
        after_ccy = self.last_ccy + cash_ccy
        if self.last_ns < 0:
            self.base_ccy += cash_ccy
        elif self.last_ccy > 0.0 and after_ccy > 0.0:
            self.base_ccy *= after_ccy / self.last_ccy
            self.last_ccy = after_ccy
