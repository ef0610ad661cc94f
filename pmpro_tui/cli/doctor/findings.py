"""What a check of `pmpro doctor` says: one line, and what to do about it."""

from typing import Literal

import msgspec


class DoctorFinding(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the report; `warn` does not keep the engine from trading."""

    check: str
    status: Literal["ok", "warn", "fail"] = "ok"
    finding: str
    remedy: str = ""


def fail(check: str, finding: str, remedy: str) -> DoctorFinding:
    """Return what keeps an engine from trading."""
    return DoctorFinding(check=check, status="fail", finding=finding, remedy=remedy)


def warn(check: str, finding: str, remedy: str) -> DoctorFinding:
    """Return what an engine trades with all the same."""
    return DoctorFinding(check=check, status="warn", finding=finding, remedy=remedy)
