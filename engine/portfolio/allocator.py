"""Allocation and switching applied to a core, once a server day, alike in backtest and live.

A book's daily result is the mean of its members' shadow results, weighted by their shares.
"""

from collections.abc import Iterator

import msgspec
import numpy as np
import numpy.typing as npt

from engine.decision import read
from engine.decision.allocation.allocate import Allocated, allocate
from engine.decision.allocation.hierarchical import load_skfolio
from engine.decision.allocation.switching import decide
from engine.decision.state import Core
from engine.decision.switches import allocate_slots, bench, share_out, unbench
from engine.portfolio.compile import CompiledPortfolio

Floats = npt.NDArray[np.float64]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What a day's decision changed of a book or member, and the numbers that caused it.

    `what`: "allocation" (a book's share of the account), "share" (a member's of its book),
    "benched" or "unbenched" (a member's vote; before and after are 1 with and 0 without).
    """

    server_day: int
    unit: str
    what: str
    before: float
    after: float
    numbers: dict[str, float | str]


class Allocator:
    """Decides a portfolio's shares and switches from its core's shadow records."""

    def __init__(self, compiled: CompiledPortfolio) -> None:
        self._settings = compiled.portfolio.allocation
        self._names = [strategy.name for strategy in compiled.strategies]
        books = [slot.book.name for slot in compiled.slots]
        self._books = list(dict.fromkeys(books))
        self._slots = [[i for i, b in enumerate(books) if b == name] for name in self._books]
        self._members = [
            [m for i in slots for m in compiled.slots[i].members] for slots in self._slots
        ]
        self._by_book = np.array([m for members in self._members for m in members], np.int64)
        sizes = [len(members) for members in self._members]
        self._first_of_book = np.cumsum([0, *sizes], dtype=np.int64)[:-1]
        if self._settings.method == "hrp":
            load_skfolio()  # takes seconds: not at the first day's end

    def decide(self, core: Core) -> list[Change]:
        """Change allocations, shares and benched members after a day's roll; return the changes."""
        changes: list[Change] = []
        if self._settings.switch is not None:
            changes += self._switch(core)
        if self._settings.method != "manual":
            level = self._books_changes if self._settings.level == "books" else self._member_changes
            changes += level(core)
        return changes

    def _books_changes(self, core: Core) -> Iterator[Change]:
        n_books = len(self._books)
        results = self._book_results(core)
        first = [slots[0] for slots in self._slots]
        allocations = [read.position(core, slot).allocation for slot in first]
        before = np.array(allocations) / n_books
        decided = allocate(self._settings, results, before, names=self._books)
        for slots, share in zip(self._slots, decided.shares, strict=True):
            allocate_slots(core, slots, share * n_books)
        return _changes(core, "allocation", self._books, before, decided)

    def _book_results(self, core: Core) -> Floats:
        results = core.days[:, self._by_book]
        known = ~np.isnan(results)
        # A member whose market was closed has made nothing; before its first day it was not there.
        shares = read.shares(core)[self._by_book] * np.logical_or.accumulate(known)
        results[~known] = 0.0
        total = np.add.reduceat(shares, self._first_of_book, axis=1)
        sums = np.add.reduceat(results * shares, self._first_of_book, axis=1)
        known = np.logical_or.reduceat(known, self._first_of_book, axis=1) & (total > 0.0)
        return np.where(known, sums / np.where(known, total, 1.0), np.nan)

    def _member_changes(self, core: Core) -> Iterator[Change]:
        for members in self._members:
            if len(members) == 1:
                continue
            names = [self._names[m] for m in members]
            shares = read.shares(core)[members]
            before = shares / np.sum(shares)
            decided = allocate(self._settings, core.days[:, members], before, names=names)
            share_out(core, members, decided.shares)
            yield from _changes(core, "share", names, before, decided)

    def _switch(self, core: Core) -> Iterator[Change]:
        assert self._settings.switch is not None
        decided = decide(
            self._settings.switch,
            core.days,
            read.benched(core),
            read.benched_days(core),
            read.fallen_r(core),
            half_life_days=self._settings.half_life_days,
        )
        for change in decided:
            if change.benched_after:
                bench(core, change.unit)
            else:
                unbench(core, change.unit)
            yield Change(
                server_day=read.account(core).server_day,
                unit=self._names[change.unit],
                what="benched" if change.benched_after else "unbenched",
                before=float(change.benched_after),
                after=float(not change.benched_after),
                numbers={
                    "reason": change.reason,
                    "score": change.score,
                    "drawdown_r": change.drawdown_r,
                    "n_days": change.n_days,
                    "benched_days": change.benched_days,
                },
            )


def _changes(
    core: Core, what: str, names: list[str], before: Floats, decided: Allocated
) -> Iterator[Change]:
    server_day = read.account(core).server_day
    for unit in np.flatnonzero(np.abs(decided.shares - before) > 1e-12).tolist():
        yield Change(
            server_day=server_day,
            unit=names[unit],
            what=what,
            before=float(before[unit]),
            after=float(decided.shares[unit]),
            numbers={
                "target": float(decided.target[unit]),
                "score": float(decided.score[unit]),
                "volatility_r": float(decided.volatility_r[unit]),
                "n_days": int(decided.n_days[unit]),
            },
        )
