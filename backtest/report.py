"""A backtest in figures and tables: one summary, trades by name, books, a digest."""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from backtest.attribution import amounts_ccy, figures, money, rows_by
from backtest.output import Column
from backtest.simulate import Result
from backtest.stopped import summary_of
from backtest.stretches import server_times
from engine.decision import read
from engine.decision.money import CURRENCY_DIGITS, round_ccy, rounded_ccy
from engine.metrics import performance as metrics
from engine.metrics.days import days_per_year, market_days
from engine.model.bars import Bars
from engine.model.reasons import ExitReason, Refusal
from engine.model.server_clock import ServerClock
from engine.model.times import iso_utc
from engine.portfolio.compile import CompiledPortfolio

Floats = npt.NDArray[np.float64]


def net_profits_ccy(result: Result) -> Floats:
    """Return each trade's profit net of commission and swap, to the cent, (n,)."""
    t = result.trades
    net_ccy = t["profit_ccy"] + t["commission_ccy"] + t["swap_ccy"]
    return rounded_ccy(net_ccy, CURRENCY_DIGITS)


def trades_table(result: Result) -> dict[str, Column]:
    """Return the trades as named columns, in order of exit; times are int64 ns."""
    slots = result.compiled.slots
    t = result.trades
    reasons = {int(r): r.name.lower() for r in ExitReason}
    numbers = t["slot"].tolist()
    return {
        "book": [slots[i].book.name for i in numbers],
        "strategy": _members(result),
        "symbol": [slots[i].symbol for i in numbers],
        "direction": ["BUY" if d > 0 else "SELL" for d in t["direction"].tolist()],
        "lots": t["lots"],
        "entry_time": t["entry_ns"],
        "entry_price": t["entry_price"],
        "exit_time": t["exit_ns"],
        "exit_price": t["exit_price"],
        "exit_reason": [reasons[r] for r in t["reason"].tolist()],
        "commission_ccy": rounded_ccy(t["commission_ccy"], CURRENCY_DIGITS),
        "swap_ccy": t["swap_ccy"],
        "profit_ccy": net_profits_ccy(result),
    }


def _members(result: Result) -> list[str]:
    """Return who agreed at each trade's entry, joined by +."""
    names = [s.name for s in result.compiled.strategies]
    members = [[names[m] for m in slot.members] for slot in result.compiled.slots]
    agreed = (result.shares > 0.0).tolist()
    return [
        members[slot][0]
        if len(members[slot]) == 1
        else "+".join(n for n, yes in zip(members[slot], who, strict=False) if yes)
        for slot, who in zip(result.trades["slot"].tolist(), agreed, strict=True)
    ]


def equity_table(result: Result) -> dict[str, Column]:
    """Return the equity after each batch as named columns; `time` is int64 ns."""
    e = result.equity
    names = ("balance_ccy", "equity_ccy", "drawdown_frac")
    return {"time": e["time_ns"], **{name: e[name] for name in names}}


def digest(result: Result) -> str:
    """Return SHA-256 over trades, members' shares, equity and changes, bit for bit."""
    sha = hashlib.sha256()
    for array in (result.trades, result.shares, result.equity):
        sha.update(np.ascontiguousarray(array).view(np.uint8).data)
    sha.update(msgspec.msgpack.encode(result.changes, order="sorted"))
    return sha.hexdigest()


def changes(result: Result) -> list[dict[str, Any]]:
    """Return what allocation and switching changed, in order, with the numbers that caused it."""
    return [
        {"day": str(np.datetime64(change.server_day, "D")), **msgspec.structs.asdict(change)}
        for change in result.changes
    ]


def config_hash(compiled: CompiledPortfolio) -> str:
    """Return SHA-256 over what the portfolio file says, whatever its layout.

    The order of a book's members counts: sums run in it.
    """
    document = msgspec.to_builtins(compiled.portfolio)
    for book in document.get("book", ()):
        book["members"] = list(book["members"].items())
    return hashlib.sha256(msgspec.json.encode(document, order="sorted")).hexdigest()


def data_hash(bars: Mapping[str, Bars]) -> str:
    """Return SHA-256 over the bars that were given, warm-up included."""
    sha = hashlib.sha256()
    for symbol in sorted(bars):
        sha.update(symbol.encode() + b"\0")
        sha.update(np.ascontiguousarray(bars[symbol]).view(np.uint8).data)
    return sha.hexdigest()


def summary(result: Result) -> dict[str, Any]:
    """Return the figures by name; the unit is the name's end, None is "not defined"."""
    portfolio = result.compiled.portfolio
    first_ccy = portfolio.account.balance_ccy
    last_ccy = read.account(result.core).balance_ccy
    equity = result.equity["equity_ccy"]
    times = result.equity["time_ns"]
    span_ns = int(times[-1] - times[0]) if len(times) else 0
    days = market_days(server_times(ServerClock(portfolio.server_clock), times))
    returns = metrics.daily_returns(first_ccy, metrics.day_ends(days, equity))
    a_year = days_per_year(np.unique(days))
    annual = metrics.annual_return_frac(first_ccy, last_ccy, result.from_ns, result.to_ns)
    deepest = metrics.max_drawdown_frac(first_ccy, equity)
    profits = net_profits_ccy(result)
    t = result.trades
    figures = {
        **summary_of(result),
        "from": iso_utc(result.from_ns),
        "to": iso_utc(result.to_ns),
        "currency": portfolio.account.currency,
        "n_strategies": len(result.compiled.strategies),
        "n_symbols": result.compiled.n_traded_symbols,
        "n_bars": result.n_bars,
        "n_days": len(returns),
        "days_per_year": a_year,
        "initial_balance_ccy": first_ccy,
        "final_balance_ccy": last_ccy,
        "net_profit_ccy": float(round_ccy(last_ccy - first_ccy, CURRENCY_DIGITS)),
        "total_return_frac": metrics.total_return_frac(first_ccy, last_ccy),
        "annual_return_frac": annual,
        "sharpe_ratio": metrics.sharpe_ratio(returns, a_year),
        "sortino_ratio": metrics.sortino_ratio(returns, a_year),
        "calmar_ratio": metrics.calmar_ratio(annual, deepest),
        "max_drawdown_frac": deepest,
        "trades_count": len(t),
        "win_rate_frac": metrics.win_rate_frac(profits),
        "profit_factor": metrics.profit_factor(profits),
        "exposure_frac": metrics.exposure_frac(t["entry_ns"], t["exit_ns"], span_ns),
        "commission_ccy": money(t["commission_ccy"]),
        "swap_ccy": money(t["swap_ccy"]),
        "refused": {
            r.name.lower(): int(n) for r, n in zip(Refusal, result.refused, strict=True) if r and n
        },
        "changes_count": len(result.changes),
        "drawdown_releases_count": len(result.releases),
        **_halts(result),
    }
    return {
        k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in figures.items()
    }


def _halts(result: Result) -> dict[str, Any]:
    """Return when the drawdown stopped entries and when it flattened; None where it did not."""
    account = read.account(result.core)
    stop_frac = result.compiled.portfolio.risk.drawdown_stop_entries_frac
    beyond = np.flatnonzero(result.equity["drawdown_frac"] >= stop_frac)
    return {
        "drawdown_tier_at_end": account.tier,
        "entries_stopped_at": iso_utc(int(result.equity["time_ns"][beyond[0]]))
        if len(beyond)
        else None,
        "halted_at": iso_utc(account.halted_ns) if account.halted_ns else None,
    }


def books(result: Result) -> list[dict[str, Any]]:
    """Return the figures of each book, in file order."""
    slots = result.compiled.slots
    return [
        {
            "book": name,
            "symbols": [slot.symbol for slot in slots if slot.book.name == name],
            "n_members": sum(len(s.members) for s in slots if s.book.name == name),
            **own,
        }
        for name, own in _grouped(result, [slot.book.name for slot in slots])
    ]


def symbols(result: Result) -> list[dict[str, Any]]:
    """Return the figures of each traded symbol, over all books."""
    slots = result.compiled.slots
    return [
        {
            "symbol": name,
            "books": list(dict.fromkeys(s.book.name for s in slots if s.symbol == name)),
            **own,
        }
        for name, own in _grouped(result, [slot.symbol for slot in slots])
    ]


def months(result: Result) -> list[dict[str, Any]]:
    """Return what each month of the server's clock made: equity's return, and the trades it closed.

    `return_frac` is of equity, open profit included; `net_profit_ccy` of the trades that were
    closed in the month, net of costs.
    """
    clock = ServerClock(result.compiled.portfolio.server_clock)
    marks = _months(server_times(clock, result.equity["time_ns"]))
    exits = _months(server_times(clock, result.trades["exit_ns"]))
    ends_ccy = metrics.day_ends(marks, result.equity["equity_ccy"])
    returns = metrics.daily_returns(result.compiled.portfolio.account.balance_ccy, ends_ccy)
    profits = net_profits_ccy(result)
    return [
        {
            "month": str(np.datetime64(month, "M")),
            "return_frac": return_frac,
            "trades_count": int(np.count_nonzero(exits == month)),
            "net_profit_ccy": money(profits[exits == month]),
        }
        for month, return_frac in zip(np.unique(marks).tolist(), returns.tolist(), strict=True)
    ]


def _months(times_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return times_ns.astype("datetime64[ns]").astype("datetime64[M]").astype(np.int64)


def _grouped(result: Result, names: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the figures of the trades of all slots of a name, which are given by slot."""
    amounts = amounts_ccy(result.trades)
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    owners = np.array([numbers[name] for name in names], np.int64)[result.trades["slot"]]
    for name, rows in zip(numbers, rows_by(owners, len(numbers)), strict=True):
        yield name, figures(amounts[:, rows])
