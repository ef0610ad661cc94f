"""What a check of `pmpro doctor` says: one line, and what to do about it."""

from typing import Literal

import msgspec


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the report; `warn` does not keep the engine from trading."""

    check: str
    status: Literal["ok", "warn", "fail"] = "ok"
    finding: str
    remedy: str = ""


def fail(check: str, finding: str, remedy: str) -> Finding:
    """Return what keeps an engine from trading."""
    return Finding(check=check, status="fail", finding=finding, remedy=remedy)


def warn(check: str, finding: str, remedy: str) -> Finding:
    """Return what an engine trades with all the same."""
    return Finding(check=check, status="warn", finding=finding, remedy=remedy)
