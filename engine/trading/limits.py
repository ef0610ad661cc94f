"""Limits that an operator sets while the engine runs, over those of the portfolio file.

A set limit is kept beside the file's own value of it: when that has changed since, the operator
has spoken in the file, and the set one is dropped.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from engine.decision.state import Core, read_limits, write_limits
from engine.model.errors import ConfigError, UserError
from engine.model.near import meant
from engine.model.portfolio import RISK_LIMITS, Portfolio
from engine.portfolio.file import parse_portfolio
from engine.portfolio.text import portfolio_text

# How correlations are measured: what was measured so far would mean something else.
FIXED: Final = frozenset({"sample_minutes", "samples_min", "correlation_shrink_frac"})


class SetLimit(msgspec.Struct, frozen=True):
    """A limit as an operator set it, and what the file said then."""

    value: float
    of_file: float


def file_limits(portfolio: Portfolio) -> dict[str, float]:
    """Return every limit of the file that is a number."""
    return {name: float(getattr(portfolio.risk, name)) for name in RISK_LIMITS}


def check_limits(portfolio: Portfolio, values: Mapping[str, float]) -> None:
    """Check limits as the file's are.

    Raises:
        ConfigError: with the file's own complaint.
    """
    risk = msgspec.structs.replace(portfolio.risk, **values)
    parse_portfolio(portfolio_text(msgspec.structs.replace(portfolio, risk=risk)), "limit")


class Limits:
    """The set limits of one portfolio's core."""

    def __init__(self) -> None:
        self.set: dict[str, SetLimit] = {}

    def change(self, core: Core, portfolio: Portfolio, name: str, value: float) -> float:
        """Set a limit from the next decision on; return what it was.

        Raises:
            UserError: there is no such limit, it cannot change now, or the value is impossible.
        """
        of_file = file_limits(portfolio)
        if name not in of_file:
            hint = meant(name, of_file) or "; `pmpro limit` lists them"
            raise UserError(f"no limit is named {name!r}{hint}")
        if name in FIXED:
            raise UserError(f"{name} cannot change while running: set it in the portfolio file")
        check_limits(portfolio, self._values() | {name: value})
        before = read_limits(core)[name]
        if value == of_file[name]:
            self.set.pop(name, None)
        else:
            self.set[name] = SetLimit(value, of_file[name])
        write_limits(core, {name: value})
        return before

    def load(self, core: Core, portfolio: Portfolio, saved: Mapping[str, SetLimit]) -> list[str]:
        """Take saved limits; return a remark for each that is dropped."""
        of_file = file_limits(portfolio)
        dropped = [n for n, limit in saved.items() if of_file.get(n) != limit.of_file]
        self.set = {n: limit for n, limit in saved.items() if n not in dropped}
        try:
            check_limits(portfolio, self._values())
        except ConfigError:  # what is left contradicts what the file says now
            dropped, self.set = list(saved), {}
        self.apply(core)
        return [_remark(name, saved[name], of_file) for name in dropped]

    def apply(self, core: Core) -> None:
        """Write the set limits into a core that has the file's."""
        write_limits(core, self._values())

    def _values(self) -> dict[str, float]:
        return {name: limit.value for name, limit in self.set.items()}


def _remark(name: str, limit: SetLimit, of_file: Mapping[str, float]) -> str:
    now = f"{of_file[name]:g}" if name in of_file else "nothing"
    return f"limit {name} = {limit.value:g} is dropped: the portfolio file has changed; it is {now}"


def limits_now(core: Core, names: Iterable[str]) -> dict[str, float]:
    """Return limits as they are in force."""
    limits = read_limits(core)
    return {name: limits[name] for name in names}
