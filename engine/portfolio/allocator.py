"""Allocation and switching applied to a core, once a server day, alike in backtest and live.

A book's daily result is the mean of its members' shadow results, weighted by their shares.
"""

from collections.abc import Iterator

import msgspec
import numpy as np
import numpy.typing as npt

from engine.decision.allocation import Allocated, allocate
from engine.decision.hierarchical import load_skfolio
from engine.decision.state import Core
from engine.decision.switches import bench, unbench
from engine.decision.switching import decide
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
        results = np.column_stack([self._book_results(core, m) for m in self._members])
        first = [slots[0] for slots in self._slots]
        before = core.positions["allocation"][first] / n_books
        decided = allocate(self._settings, results, before, names=self._books)
        for slots, share in zip(self._slots, decided.shares, strict=True):
            core.positions["allocation"][slots] = share * n_books
        return _changes(core, "allocation", self._books, before, decided)

    def _book_results(self, core: Core, members: list[int]) -> Floats:
        results = core.days[:, members]
        if len(members) == 1:
            return results[:, 0]
        known = ~np.isnan(results)
        shares = np.where(known, core.outputs["share"][members], 0.0)
        total = np.sum(shares, axis=1)
        mean = np.sum(np.where(known, results, 0.0) * shares, axis=1) / np.where(total, total, 1.0)
        return np.where(total > 0.0, mean, np.nan)

    def _member_changes(self, core: Core) -> Iterator[Change]:
        for members in self._members:
            if len(members) == 1:
                continue
            names = [self._names[m] for m in members]
            shares = core.outputs["share"][members]
            before = shares / np.sum(shares)
            decided = allocate(self._settings, core.days[:, members], before, names=names)
            core.outputs["share"][members] = decided.shares
            core.positions["dirty"][core.members["slot"][members]] = 1
            yield from _changes(core, "share", names, before, decided)

    def _switch(self, core: Core) -> Iterator[Change]:
        outputs, day = core.outputs, int(core.account[0]["n_rolls"])
        assert self._settings.switch is not None
        decided = decide(
            self._settings.switch,
            core.days,
            outputs["benched"],
            day - outputs["benched_day"],
            outputs["shadow_high_r"] - outputs["shadow_day_r"],
            half_life_days=self._settings.half_life_days,
        )
        for change in decided:
            if change.benched_after:
                bench(core, change.unit, day)
            else:
                unbench(core, change.unit)
            yield Change(
                server_day=int(core.account[0]["server_day"]),
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
    server_day = int(core.account[0]["server_day"])
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
