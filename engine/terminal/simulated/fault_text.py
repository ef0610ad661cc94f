"""Faults as one line: `lost-reply*2, hang=5+3@positions_get, requote%0.1*9, algo-off, seed=4`.

An item is a name, a value for those that take one, and in any order: `*N` times (1), after `+N`
calls have passed (0), with a chance of `%FRAC` a call (1), at `@FUNCTION` of the module instead of
the fault's own. States (`algo-off`, `disconnected` …) hold until they are set otherwise. `seed=N`
decides the chances. Line breaks and text after `#` mean nothing, so a file may hold it too.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from engine.model.errors import UserError
from engine.terminal.simulated.faults import Fault
from engine.terminal.simulated.module import constants as c

_RETCODES: Final = {
    "requote": c.TRADE_RETCODE_REQUOTE,
    "rejected": c.TRADE_RETCODE_REJECT,
    "price-off": c.TRADE_RETCODE_PRICE_OFF,
    "too-many-requests": c.TRADE_RETCODE_TOO_MANY_REQUESTS,
    "market-closed": c.TRADE_RETCODE_MARKET_CLOSED,
}

FAULTS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "hang": {"kind": "delay"},
        "hang-after": {"kind": "delay", "when": "after"},
        "crash": {"kind": "exit"},
        "crash-after": {"kind": "exit", "when": "after"},
        "restart": {"kind": "restart"},
        "restart-after": {"kind": "restart", "when": "after"},
        "lost-request": {"kind": "error", "code": c.RES_E_INTERNAL_FAIL_SEND},
        "lost-reply": {"kind": "error", "when": "after"},
        "failed": {"kind": "error", "code": c.RES_E_FAIL},
        "lag": {"kind": "lag"},
        "late-deals": {"kind": "late"},
        "duplicate-deals": {"kind": "duplicate", "call": "history_deals_get"},
        "placed-rejected": {"kind": "placed"},
        "placed-late": {"kind": "placed", "when": "after"},
        "partial": {"kind": "partial"},
        "empty-history": {"kind": "empty", "call": "copy_rates_from_pos"},
        "zero-tick": {"kind": "empty", "call": "symbol_info_tick"},
        **{name: {"kind": "retcode", "retcode": code} for name, code in _RETCODES.items()},
    }
)
"""What each name sets of a Fault; at `order_send` where nothing else is said."""

_VALUES: Final = MappingProxyType(
    {
        **dict.fromkeys(("hang", "hang-after", "lag", "late-deals"), "delay_s"),
        **dict.fromkeys(("placed-late", "placed-rejected"), "delay_s"),
        "partial": "fill_frac",
    }
)

STATES: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "algo-off": {"algo_trading": False},
        "api-off": {"api_enabled": False},
        "disconnected": {"connected": False},
        "investor": {"investor": True},
        "other-account": {"other_login": 9_999_999},
        "clock-off": {"clock_off_s": 3600},
    }
)
"""What each name sets of the Switches; `clock-off` takes seconds, `other-account` a login."""

_STATE_VALUES: Final = MappingProxyType(
    {"other-account": "other_login", "clock-off": "clock_off_s"}
)
_ITEM: Final = re.compile(r"([a-z-]+)(?:=(-?[0-9.]+))?((?:[*+%@][\w.]+)*)")
_PART: Final = re.compile(r"([*+%@])([\w.]+)")
_FIELDS: Final = {"*": "count", "+": "skip", "%": "chance_frac", "@": "call"}


class FaultScript(msgspec.Struct, frozen=True, kw_only=True):
    """What a text says: faults in order, fields of the Switches, the chances' seed."""

    faults: list[Fault] = []
    switches: dict[str, Any] = {}
    seed: int | None = None


def read_faults(text: str) -> FaultScript:
    """Read faults from text.

    Raises:
        UserError: an item is not understood; the message names it and what there is.
    """
    faults: list[Fault] = []
    switches: dict[str, Any] = {}
    seed = None
    lines = [line.partition("#")[0] for line in text.splitlines()]
    for item in filter(None, (part.strip() for part in ",".join(lines).split(","))):
        match = _ITEM.fullmatch(item)
        name, value, parts = match.groups() if match else ("", None, "")
        if name in FAULTS:
            faults.append(_fault(item, name, value, parts))
        elif name in STATES and not parts and (value is None or name in _STATE_VALUES):
            switches |= STATES[name]
            if value is not None:
                switches[_STATE_VALUES[name]] = _number(item, value, int)
        elif name == "seed" and value is not None and not parts:
            seed = _number(item, value, int)
        else:
            known = ", ".join([*FAULTS, *STATES])
            raise UserError(f"fault {item!r} is not understood; there are {known}, seed=N")
    return FaultScript(faults=faults, switches=switches, seed=seed)


def _fault(item: str, name: str, value: str | None, parts: str) -> Fault:
    fields: dict[str, Any] = {"call": "order_send", "name": name, **FAULTS[name]}
    if value is not None:
        if name not in _VALUES:
            raise UserError(f"fault {item!r}: {name} takes no value")
        fields[_VALUES[name]] = _number(item, value, float)
    for sign, text in _PART.findall(parts):
        field = _FIELDS[sign]
        kinds = {"count": int, "skip": int, "chance_frac": float}
        fields[field] = _number(item, text, kinds[field]) if field in kinds else text
    return msgspec.convert(fields, Fault)


def _number(item: str, text: str, kind: type[Any]) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise UserError(f"fault {item!r}: {text!r} is not a number that fits there") from None
