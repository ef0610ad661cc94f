"""The core's state as bytes, and back: what a restart continues from.

Floats travel as their own bits. Slots, members and symbols are found again by name, so that a
changed portfolio file keeps what it still describes; what it no longer describes is returned.
"""

from typing import Any

import msgspec
import numpy as np

from engine.decision.covariance import update_covariance
from engine.decision.shadow import renew_work
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


_LAYOUT = repr((ACCOUNT_STATE, SYMBOL_STATE, SLOT_STATE, MEMBER_STATE, N_DAYS, N_RETURNS))


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
    if saved.layout != _LAYOUT:
        raise StateError(
            "the saved state is another version's: flatten with that version, or move the journal "
            "away and start again: positions are then taken from the terminal as EXTERNAL"
        )
    core.account[:] = np.frombuffer(saved.account, ACCOUNT_STATE)
    returns = np.frombuffer(saved.returns).reshape(N_RETURNS, len(saved.symbols))
    days = np.frombuffer(saved.days).reshape(N_DAYS, len(saved.members))
    _copy(core.quotes, names.symbols, np.frombuffer(saved.quotes, SYMBOL_STATE), saved.symbols)
    _copy(core.returns.T, names.symbols, returns.T, saved.symbols)
    _copy(core.outputs, names.members, np.frombuffer(saved.outputs, MEMBER_STATE), saved.members)
    _copy(core.days.T, names.members, days.T, saved.members)
    positions = np.frombuffer(saved.positions, SLOT_STATE)
    gone = _copy(core.positions, names.slots, positions, saved.slots)
    renew_work(core)
    update_covariance(core)
    return [saved.slots[i] for i in gone if positions[i]["direction"] != 0]


def _copy(target: Any, names: list[str], source: Any, saved_names: list[str]) -> list[int]:
    index = {name: i for i, name in enumerate(names)}
    gone = []
    for i, name in enumerate(saved_names):
        if name in index:
            target[index[name]] = source[i]
        else:
            gone.append(i)
    return gone
