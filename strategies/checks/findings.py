"""What a check found, in words."""

from typing import Final, Literal

import msgspec

Status = Literal["ok", "warn", "fail"]

CHECKS: Final = (
    "contract",
    "determinism",
    "lookahead",
    "changed future",
    "warm-up",
    "window",
    "inputs",
    "state",
    "outside",
    "cost",
    "coverage",
)
"""Names of the checks in their order; only `determinism` is completed by other processes."""


class Finding(msgspec.Struct, frozen=True):
    """One check's result: what was seen and, unless it is ok, what to do."""

    check: str
    status: Status
    text: str
    figures: dict[str, float] = {}


def counted(n: int, noun: str) -> str:
    """Return a number with its noun: "1 bar", "2,000 bars"."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
