"""What a check found, in words."""

from typing import Final, Literal

import msgspec

Status = Literal["ok", "warn", "fail"]

CHECKS: Final = (
    "contract",
    "inputs",
    "determinism",
    "lookahead",
    "changed future",
    "warm-up",
    "cost",
    "coverage",
)
"""Names of the checks in their order; only `determinism` is completed by a second process."""


class Finding(msgspec.Struct, frozen=True):
    """One check's result: what was seen and, unless it is ok, what to do."""

    check: str
    status: Status
    text: str
    figures: dict[str, float] = {}


def counted(n: int, noun: str) -> str:
    """Return a number with its noun: "1 bar", "2,000 bars"."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
