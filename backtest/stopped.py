"""Where entries ended for good before the period did: since when, why, and the figures up to there.

A portfolio that was stopped in July earns nothing until December: the figures of the whole year
are those of half a year, spread over all of it.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from backtest.simulate import Result
from backtest.stretches import server_times
from engine.decision import read
from engine.decision.account import DRAWDOWN_EPS, TIER_RELEASE_FRAC
from engine.decision.money import CURRENCY_DIGITS
from engine.metrics import performance as metrics
from engine.metrics.days import days_per_year, market_days
from engine.model.reasons import Refusal
from engine.model.server_clock import ServerClock
from engine.model.times import iso_utc


class Stopped(NamedTuple):
    """No entry after `time_ns`, and why."""

    time_ns: int
    reason: str

    @property
    def line(self) -> str:
        """The first line of a report."""
        return f"no entry after {iso_utc(self.time_ns)[:10]}: {self.reason}"


def stopped(result: Result) -> Stopped | None:
    """Return what kept entries out until the period's end, None where nothing did."""
    account, limits = read.account(result.core), read.limits(result.core)
    if not len(result.equity):
        return None
    if account.tier == 3:
        return Stopped(account.halted_ns, "drawdown tier 3, flattened and halted")
    if account.tier == 2:
        return Stopped(_tier_2_since_ns(result), "drawdown tier 2")
    balance = account.balance_ccy
    if not balance > 0.0:
        return Stopped(_last_entry_ns(result), f"equity is gone, {balance:,.{CURRENCY_DIGITS}f}")
    fallen = account.account_drawdown_frac
    most = limits.account_drawdown_max_frac
    if fallen > most:
        text = f"account drawdown {fallen:.2%} where {most:.2%} is the most"
        return Stopped(_last_entry_ns(result), text)
    return None


def _tier_2_since_ns(result: Result) -> int:
    """Return the batch at which the tier that stands at the end was reached."""
    stop_frac = read.limits(result.core).drawdown_stop_entries_frac
    reached = result.equity["drawdown_frac"] + DRAWDOWN_EPS
    below = np.flatnonzero(reached < TIER_RELEASE_FRAC * stop_frac)
    first = int(below[-1]) + 1 if len(below) else 0
    beyond = np.flatnonzero(reached[first:] >= stop_frac)
    return int(result.equity["time_ns"][first + int(beyond[0]) if len(beyond) else -1])


def _last_entry_ns(result: Result) -> int:
    return int(result.trades["entry_ns"].max(initial=result.from_ns))


def summary_of(result: Result) -> dict[str, Any]:
    """Return why no entry came any more, with the figures up to there; None where it is not so."""
    found = stopped(result)
    figures = _up_to(result, found.time_ns) if found else dict.fromkeys(_FIGURES)
    return {
        "no_entry": found.line if found else None,
        "no_entry_after": iso_utc(found.time_ns) if found else None,
        **{f"at_stop_{name}": value for name, value in figures.items()},
    }


_FIGURES = (
    "total_return_frac",
    "annual_return_frac",
    "sharpe_ratio",
    "max_drawdown_frac",
    "exposure_frac",
)


def _up_to(result: Result, stop_ns: int) -> dict[str, float]:
    """Return the figures of the period up to a batch, what was open then at its marks."""
    portfolio, t = result.compiled.portfolio, result.trades
    first_ccy = portfolio.account.balance_ccy
    equity = result.equity[result.equity["time_ns"] <= stop_ns]
    if not len(equity):
        return dict.fromkeys(_FIGURES, math.nan)
    times, values = equity["time_ns"], equity["equity_ccy"]
    days = market_days(server_times(ServerClock(portfolio.server_clock), times))
    returns = metrics.daily_returns(first_ccy, metrics.day_ends(days, values))
    last_ccy = float(values[-1])
    held = t[t["entry_ns"] < stop_ns]
    exits = np.minimum(held["exit_ns"], stop_ns)
    span_ns = int(times[-1] - times[0])
    return {
        "total_return_frac": metrics.total_return_frac(first_ccy, last_ccy),
        "annual_return_frac": metrics.annual_return_frac(
            first_ccy, last_ccy, result.from_ns, stop_ns
        ),
        "sharpe_ratio": metrics.sharpe_ratio(returns, days_per_year(np.unique(days))),
        "max_drawdown_frac": metrics.max_drawdown_frac(first_ccy, values),
        "exposure_frac": metrics.exposure_frac(held["entry_ns"], exits, span_ns),
    }


def barred_books(result: Result) -> list[str]:
    """Return a line for each book of which a rule took the entries; nobody enables it in a test."""
    found: dict[str, str] = {}
    for slot, position in zip(result.compiled.slots, read.positions(result.core), strict=True):
        rule, since_ns = position.barred, position.barred_ns
        if rule:
            found.setdefault(
                slot.book.name,
                f"{slot.book.name}: no entry after {iso_utc(since_ns)[:10]}: "
                f"{Refusal(rule).name} barred the book",
            )
    return list(found.values())


def releases(result: Result) -> list[dict[str, Any]]:
    """Return the drawdowns that `[risk] drawdown_release` ended, in order."""
    return [
        {
            "at": iso_utc(release.time_ns),
            "high_water_before_ccy": release.before_ccy,
            "high_water_ccy": release.after_ccy,
        }
        for release in result.releases
    ]
