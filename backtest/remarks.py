"""What a reader of a backtest has to know beside its figures, one line each."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from backtest.simulate import Result
from backtest.stopped import barred_books, stopped
from engine.decision import read
from engine.model.symbols import price_text
from engine.model.times import NS_PER_MINUTE, iso_utc

_NAMES_MOST: Final = 8


def remarks(result: Result) -> list[str]:
    """Return the lines, the gravest first."""
    found = stopped(result)
    first = [found.line] if found else []
    return [
        *first,
        *barred_books(result),
        *_releases(result),
        *_silent_strategies(result),
        *_idle_symbols(result),
        *_doubted_prices(result),
    ]


def _signalled(result: Result, member: int) -> bool:
    """Tell whether a strategy was ever LONG or SHORT: its side, confidence and record stay."""
    said = read.member(result.core.outputs, member)
    return bool(said.direction or said.confidence or said.shadow_trades)


def _silent_strategies(result: Result) -> list[str]:
    """Say who never said LONG or SHORT, WARMING ones left out: what they lack is a note already."""
    names = [
        spec.name
        for m, spec in enumerate(result.compiled.strategies)
        if not read.member(result.core.outputs, m).warming and not _signalled(result, m)
    ]
    if not names:
        return []
    return [f"never signalled, FLAT at every bar: {joined(names)}"]


def _idle_symbols(result: Result) -> list[str]:
    """Say which symbols of books had no trade, and whether anybody wanted one."""
    slots = result.compiled.slots
    traded = {slots[i].symbol for i in np.unique(result.trades["slot"]).tolist()}
    out = []
    for symbol in dict.fromkeys(slot.symbol for slot in slots):
        if symbol in traded:
            continue
        members = [m for slot in slots if slot.symbol == symbol for m in slot.members]
        names = [result.compiled.strategies[m].name for m in members if _signalled(result, m)]
        why = "no strategy on it signalled"
        if names:
            why = f"{joined(names)} signalled, and no entry was filled (`refused` says why)"
        out.append(f"{symbol} never traded: {why}")
    return out


def joined(names: Sequence[str]) -> str:
    """Return names in a line, the first of many."""
    more = len(names) - _NAMES_MOST
    return ", ".join(names[:_NAMES_MOST]) + (f" and {more} more" if more > 0 else "")


def _releases(result: Result) -> list[str]:
    """Say how often the high-water mark was lowered: each time the portfolio lost as much again."""
    if not result.releases:
        return []
    days = result.compiled.portfolio.risk.drawdown_release
    n, first, last = len(result.releases), result.releases[0], result.releases[-1]
    when = iso_utc(first.time_ns)[:10]
    if n > 1:
        when += f" to {iso_utc(last.time_ns)[:10]}"
    before, after = f"{first.before_ccy:,.2f}", f"{last.after_ccy:,.2f}"
    text = f"drawdown_release = {days} lowered the high-water mark {n} time(s), {when}"
    return [f"{text}: from {before} to {after} {result.compiled.portfolio.account.currency}"]


def _doubted_prices(result: Result) -> list[str]:
    """Say which symbols had prices that were not believed."""
    out = []
    for spec, quote in zip(result.compiled.symbols, read.quotes(result.core), strict=True):
        n, newest_ns, bid = quote.n_doubts, quote.doubt_ns, quote.bid
        if n:
            minutes = "1 minute" if n == 1 else f"{n:,} minutes"
            when = iso_utc(newest_ns - newest_ns % NS_PER_MINUTE)
            out.append(
                f"{spec.name}: {minutes} with an implausible price, the last {when}: it moved no "
                f"mark and met no stop (the last believed bid is {price_text(bid)})"
            )
    return out
