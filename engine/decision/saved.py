"""The core's state as bytes, and back: what a restart continues from.

Floats travel as their own bits. Slots, members and symbols are found again by name, so that a
changed portfolio file keeps what it still describes; what it no longer describes is returned.
Fields are found by name too: one of `ADDED` that an earlier version did not save begins as in a
new core. Any other difference of layout is refused.
"""

import ast
from typing import Any, Final

import msgspec
import numpy as np

from engine.decision.allocation.shadow import renew_work
from engine.decision.covariance import update_covariance
from engine.decision.state import (
    ACCOUNT_STATE,
    MEMBER_STATE,
    N_DAYS,
    N_RETURNS,
    SLOT_STATE,
    SYMBOL_STATE,
    Core,
)
from engine.model.errors import StateError


class _Saved(msgspec.Struct, frozen=True):
    layout: str
    account: bytes
    symbols: list[str]
    quotes: bytes
    returns: bytes
    slots: list[str]
    positions: bytes
    members: list[str]
    outputs: bytes
    days: bytes


_DTYPES: Final = (ACCOUNT_STATE, SYMBOL_STATE, SLOT_STATE, MEMBER_STATE)
_LAYOUT: Final = repr((*_DTYPES, N_DAYS, N_RETURNS))

ADDED: Final = frozenset(
    {
        *("swap_day", "traded", "shadow_days"),
        *("barred_ns", "refused_rules", "stopped_days"),
        *("variance", "suspect_bid", "suspect_ask", "suspect_ns", "n_doubts", "doubt_ns"),
    }
)
"""Fields that states of earlier versions lack: each begins as a new core has it, or as what stood
for it then."""


class Names(msgspec.Struct, frozen=True):
    """What stands in each array, by index; a slot is `book/symbol`."""

    symbols: list[str]
    slots: list[str]
    members: list[str]


def dump_core(core: Core, names: Names) -> bytes:
    """Return the core's state."""
    return msgspec.msgpack.encode(
        _Saved(
            _LAYOUT,
            core.account.tobytes(),
            names.symbols,
            core.quotes.tobytes(),
            core.returns.tobytes(),
            names.slots,
            core.positions.tobytes(),
            names.members,
            core.outputs.tobytes(),
            core.days.tobytes(),
        )
    )


def load_core(core: Core, names: Names, blob: bytes) -> list[str]:
    """Write saved state into `core`; return the slots with a position that are gone.

    A member's `enabled` is the saved one: the operator's switch outlives a restart. Shares and
    allocations are saved too: where they are manual, the caller sets the file's again.

    Raises:
        StateError: the state was written by another version of the core.
    """
    saved = msgspec.msgpack.decode(blob, type=_Saved)
    account, symbols, slots, members = _DTYPES if saved.layout == _LAYOUT else _read(saved.layout)
    _take(core.account, np.frombuffer(saved.account, account))
    returns = np.frombuffer(saved.returns).reshape(N_RETURNS, len(saved.symbols))
    days = np.frombuffer(saved.days).reshape(N_DAYS, len(saved.members))
    _copy(core.quotes, names.symbols, np.frombuffer(saved.quotes, symbols), saved.symbols)
    _copy(core.returns.T, names.symbols, returns.T, saved.symbols)
    _copy(core.outputs, names.members, np.frombuffer(saved.outputs, members), saved.members)
    _copy(core.days.T, names.members, days.T, saved.members)
    positions = np.frombuffer(saved.positions, slots)
    gone = _copy(core.positions, names.slots, positions, saved.slots)
    if "shadow_days" not in (members.names or ()):
        core.outputs["shadow_days"] = core.account[0]["n_rolls"]
    if "swap_day" not in (account.names or ()):
        core.account["swap_day"] = core.account["server_day"]
    renew_work(core)
    update_covariance(core)
    return [saved.slots[i] for i in gone if positions[i]["direction"] != 0]


def _read(layout: str) -> list[np.dtype[Any]]:
    """Return the dtypes of an earlier version's layout, where nothing but `ADDED` is missing.

    Raises:
        StateError: anything else differs.
    """
    try:
        *texts, n_days, n_returns = ast.parse(layout, mode="eval").body.elts  # type: ignore[attr-defined]
        lengths = ast.literal_eval(n_days), ast.literal_eval(n_returns)
        found = [_dtype(text) for text in texts]
    except (SyntaxError, ValueError, TypeError, AttributeError):
        raise _another_version() from None
    if lengths != (N_DAYS, N_RETURNS) or len(found) != len(_DTYPES):
        raise _another_version()
    for then, now in zip(found, _DTYPES, strict=True):
        before, names = set(then.names or ()), set(now.names or ())
        if before - names or names - before - ADDED or any(then[n] != now[n] for n in before):
            raise _another_version()
    return found


def _dtype(call: Any) -> np.dtype[Any]:
    """Return a dtype from the syntax tree of what `repr` makes of it."""
    options = {option.arg: ast.literal_eval(option.value) for option in call.keywords}
    made: np.dtype[Any] = np.dtype(ast.literal_eval(call.args[0]), align=bool(options.get("align")))
    return made


def _another_version() -> StateError:
    return StateError(
        "the saved state is another version's: flatten with that version, or move the journal "
        "away and start again: positions are then taken from the terminal as EXTERNAL"
    )


def _take(target: Any, saved: Any) -> None:
    """Write saved rows into rows that may have more fields; (n,) each."""
    if target.dtype == saved.dtype:
        target[:] = saved
        return
    for field in saved.dtype.names:
        target[field] = saved[field]


def _copy(target: Any, names: list[str], source: Any, saved_names: list[str]) -> list[int]:
    index = {name: i for i, name in enumerate(names)}
    gone = []
    for i, name in enumerate(saved_names):
        if name in index:
            row = index[name]
            _take(target[row : row + 1], source[i : i + 1])
        else:
            gone.append(i)
    return gone
