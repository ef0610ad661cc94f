"""The module's argument checks: strict types, and the errors it answers with.

Only the types of request dictionaries are as strict as MT5.md says; elsewhere a wrong type is
answered with the same kind of error.
"""

import operator
from collections.abc import Iterable, Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Final

from engine.terminal.simulated.module import constants as c
from engine.terminal.simulated.module.structs import (
    FIELD_TYPES,
    StructSequence,
    TradeRequest,
    build,
)

TEXT_MAX_UTF16_UNITS: Final = 29

ERROR_TEXTS: Final = {
    c.RES_S_OK: "Success",
    c.RES_E_FAIL: "Terminal: Call failed",
    c.RES_E_INVALID_PARAMS: "Terminal: Invalid params",
    c.RES_E_NO_MEMORY: "Terminal: Out of memory",
    c.RES_E_NOT_FOUND: "Terminal: Not found",
    c.RES_E_INVALID_VERSION: "Terminal: Incompatible versions",
    c.RES_E_AUTH_FAILED: "Terminal: Authorization failed",
    c.RES_E_UNSUPPORTED: "Terminal: Unsupported function",
    c.RES_E_AUTO_TRADING_DISABLED: "Auto-Trading using Python API disabled in Terminal",
    c.RES_E_INTERNAL_FAIL: "IPC call failed",
    c.RES_E_INTERNAL_FAIL_SEND: "IPC send failed",
    c.RES_E_INTERNAL_FAIL_RECEIVE: "IPC recv failed",
    c.RES_E_INTERNAL_FAIL_INIT: "IPC initialize failed",
    c.RES_E_INTERNAL_FAIL_CONNECT: "No IPC connection",
    c.RES_E_INTERNAL_FAIL_TIMEOUT: "IPC timeout",
}

_UNSIGNED = ("magic", "order", "deviation", "position", "position_by")


class SimCallFailed(Exception):
    """A call ends with None (or False) and this `last_error`."""

    def __init__(self, code: int, text: str = "") -> None:
        self.code = code
        self.text = text or ERROR_TEXTS.get(code, "Terminal: Call failed")
        super().__init__(code, self.text)


def invalid(name: str) -> SimCallFailed:
    """Return the error of an argument of the wrong type or form."""
    return SimCallFailed(c.RES_E_INVALID_PARAMS, f'Invalid "{name}" argument')


def want_text(name: str, value: object) -> str:
    """Return a str argument."""
    if not isinstance(value, str):
        raise invalid(name)
    return value


def want_int(name: str, value: Any) -> int:
    """Return an integer argument; NumPy integers are integers here."""
    try:
        return operator.index(value)
    except TypeError:
        raise invalid(name) from None


def want_float(name: str, value: object) -> float:
    """Return a number; ints are taken outside requests."""
    if not isinstance(value, int | float):
        raise invalid(name)
    return float(value)


def want_date(name: str, value: object) -> int:
    """Return a date as whole seconds, cut to int32; 0 counts as not given.

    A naive datetime is read in this host's time zone, an aware one by its timestamp.
    """
    if isinstance(value, datetime):
        seconds = int(value.timestamp())
    elif isinstance(value, int | float):
        seconds = int(value)
    else:
        raise invalid(name)
    seconds = (seconds + 2**31) % 2**32 - 2**31
    if seconds == 0:
        raise SimCallFailed(c.RES_E_INVALID_PARAMS)
    return seconds


def trade_request(args: tuple[Any, ...], keywords: Mapping[str, Any]) -> StructSequence:
    """Read a request given as one dict or as keywords; missing keys are 0 or "".

    Types are strict, unknown keys are ignored, a negative unsigned raises SystemError.
    """
    given: Mapping[str, Any] = keywords
    if args:
        # Any other positional argument, or both forms at once, is refused with this text.
        if len(args) != 1 or keywords or not isinstance(args[0], dict):
            raise SimCallFailed(c.RES_E_INVALID_PARAMS, "Unnamed arguments not allowed")
        given = args[0]
    types = FIELD_TYPES[TradeRequest]
    fields = {
        name: _request_field(name, kind, given[name])
        for name, kind in types.items()
        if name in given
    }
    return build(TradeRequest, **fields)


def _request_field(name: str, kind: type[Any], value: Any) -> Any:
    # NumPy's float64 is a float; its integers are no ints.
    if not isinstance(value, kind):
        raise invalid(name)
    if isinstance(value, str) and len(value.encode("utf-16-le")) // 2 > TEXT_MAX_UTF16_UNITS:
        raise invalid(name)
    if name in _UNSIGNED and value < 0:
        raise SystemError("can't convert negative value to unsigned int")
    return kind(value)


def in_group(names: Iterable[str], group: str) -> set[str]:
    """Return the names that a filter such as `*USD*,!EURUSD` takes; later conditions win."""
    names = list(names)
    taken: set[str] = set()
    conditions = [part.strip() for part in group.split(",") if part.strip()]
    if conditions and all(part.startswith("!") for part in conditions):
        taken = set(names)
    for part in conditions:
        matching = {name for name in names if fnmatchcase(name, part.lstrip("!"))}
        taken = taken - matching if part.startswith("!") else taken | matching
    return taken
