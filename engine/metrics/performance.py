"""Performance figures of an account from its equity and its closed trades. Pure functions.

Fractions: 0.01 is 1 %. A figure that its inputs do not define is NaN. Daily returns are those of
the market's own days (`engine.metrics.days`), and annualised with their number in a year. The
risk-free rate is 0: an account in a margin product earns none.
"""

import calendar
import math
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.metrics.days import CALENDAR_DAYS_PER_YEAR
from engine.model.times import NS_PER_DAY, from_datetime, to_datetime

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_NS_PER_YEAR: Final = CALENDAR_DAYS_PER_YEAR * NS_PER_DAY


def total_return_frac(first_ccy: float, last_ccy: float) -> float:
    """Return last / first − 1."""
    return last_ccy / first_ccy - 1.0 if first_ccy > 0.0 else math.nan


def annual_return_frac(first_ccy: float, last_ccy: float, from_ns: int, to_ns: int) -> float:
    """Return the compound annual growth rate of a period, (last / first)^(1 / years) − 1.

    A year is 365.25 days. NaN below a calendar month, where it would only magnify noise.
    """
    if to_ns < month_after(from_ns) or not first_ccy > 0.0 or last_ccy < 0.0:
        return math.nan
    exponent = _NS_PER_YEAR / (to_ns - from_ns)
    return float(np.expm1(exponent * np.log(last_ccy / first_ccy))) if last_ccy > 0.0 else -1.0


def month_after(time_ns: int) -> int:
    """Return the same instant of the next month (UTC), of its last day where it is shorter."""
    moment = to_datetime(time_ns)
    year, month = moment.year + moment.month // 12, moment.month % 12 + 1
    day = min(moment.day, calendar.monthrange(year, month)[1])
    return from_datetime(moment.replace(year=year, month=month, day=day))


def day_ends(day: Integers, equity_ccy: Floats) -> Floats:
    """Return the last equity of each day; `day` (n,) does not decrease."""
    if not len(day):
        return np.empty(0)
    last = np.flatnonzero(np.diff(day, append=day[-1] + 1))
    return np.asarray(equity_ccy[last], dtype=np.float64)


def daily_returns(first_ccy: float, day_end_ccy: Floats) -> Floats:
    """Return each day's simple return, the first one from `first_ccy`, (n_days,)."""
    before: Floats = np.concatenate([[first_ccy], day_end_ccy])[:-1]
    returns: Floats = day_end_ccy / before - 1.0
    return returns


def sharpe_ratio(returns: Floats, days_per_year: float) -> float:
    """Return mean / sample standard deviation of daily returns × √`days_per_year`.

    NaN with fewer than 2 days or no deviation beyond rounding.

    Source: Sharpe (1994), "The Sharpe ratio", Journal of Portfolio Management 21.
    """
    if len(returns) < 2:
        return math.nan
    deviation = float(np.std(returns, ddof=1))
    if not deviation > _rounding(returns):
        return math.nan
    return float(np.mean(returns)) / deviation * math.sqrt(days_per_year)


def sortino_ratio(returns: Floats, days_per_year: float) -> float:
    """Return mean / downside deviation of daily returns × √`days_per_year`.

    The downside deviation is √(Σ min(r, 0)² / n) over all days, target 0. NaN with fewer than 2
    days or no loss beyond rounding.

    Source: Sortino and Price (1994), "Performance measurement in a downside risk framework",
    Journal of Investing 3.
    """
    if len(returns) < 2:
        return math.nan
    downside = math.sqrt(float(np.mean(np.square(np.minimum(returns, 0.0)))))
    if not downside > _rounding(returns):
        return math.nan
    return float(np.mean(returns)) / downside * math.sqrt(days_per_year)


def _rounding(returns: Floats) -> float:
    """Return the size of risk that is nothing but rounding of these returns."""
    return 1e-12 * float(np.max(np.abs(returns)))


def drawdowns_frac(first_ccy: float, equity_ccy: Floats) -> Floats:
    """Return 1 − equity / highest equity so far (`first_ccy` counts), (n,) ≥ 0."""
    high = np.maximum.accumulate(np.concatenate([[first_ccy], equity_ccy]))[1:]
    return 1.0 - equity_ccy / high


def max_drawdown_frac(first_ccy: float, equity_ccy: Floats) -> float:
    """Return the deepest fall from a high, open profit included; 0 without values."""
    return float(np.max(drawdowns_frac(first_ccy, equity_ccy), initial=0.0))


def calmar_ratio(annual_frac: float, drawdown_frac: float) -> float:
    """Return annual return / maximum drawdown; NaN without a drawdown.

    Source: Young (1991), "Calmar ratio: a smoother tool", Futures 20. Over the whole period, not
    over 36 months.
    """
    return annual_frac / drawdown_frac if drawdown_frac > 0.0 else math.nan


def win_rate_frac(profits_ccy: Floats) -> float:
    """Return the share of trades with a net profit above 0; NaN without trades."""
    return float(np.mean(profits_ccy > 0.0)) if len(profits_ccy) else math.nan


def profit_factor(profits_ccy: Floats) -> float:
    """Return Σ winning trades / |Σ losing trades|, net; NaN without a losing trade."""
    lost = -float(np.sum(profits_ccy[profits_ccy < 0.0]))
    won = float(np.sum(profits_ccy[profits_ccy > 0.0]))
    return won / lost if lost > 0.0 else math.nan


def exposure_frac(entry_ns: Integers, exit_ns: Integers, span_ns: int) -> float:
    """Return the part of the time with at least one open position; NaN for an empty span."""
    if span_ns <= 0:
        return math.nan
    if not len(entry_ns):
        return 0.0
    order = np.argsort(entry_ns, kind="stable")
    starts, stops = entry_ns[order], np.maximum.accumulate(exit_ns[order])
    covered_to = np.concatenate([starts[:1], stops[:-1]])
    return int(np.maximum(stops - np.maximum(starts, covered_to), 0).sum()) / span_ns
