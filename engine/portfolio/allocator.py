"""Allocation and switching applied to a core, once a server day, alike in backtest and live."""

import msgspec

from engine.decision.state import Core
from engine.portfolio.compile import CompiledPortfolio


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What a day's decision changed of a book or member, and the numbers that caused it."""

    server_day: int
    unit: str
    what: str
    before: float
    after: float
    numbers: dict[str, float]


class Allocator:
    """Decides a portfolio's shares and switches from its core's shadow records."""

    def __init__(self, compiled: CompiledPortfolio) -> None:
        self._compiled = compiled

    def decide(self, core: Core) -> list[Change]:
        """Change allocations, shares and benched members after a day's roll; return the changes."""
        return []
