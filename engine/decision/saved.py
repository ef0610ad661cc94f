"""The core's state as bytes, and back: what a restart continues from.

Floats travel as their own bits. Slots and members are found again by name, so that a changed
portfolio file keeps what it still describes; what it no longer describes is returned by name.
"""

from typing import Any

import msgspec
import numpy as np

from engine.decision.state import ACCOUNT_STATE, MEMBER_STATE, SLOT_STATE, SYMBOL_STATE, Core
from engine.model.errors import StateError


class _Saved(msgspec.Struct, frozen=True):
    layout: str
    account: bytes
    symbols: list[str]
    quotes: bytes
    slots: list[str]
    positions: bytes
    members: list[str]
    outputs: bytes


_LAYOUT = repr((ACCOUNT_STATE, SYMBOL_STATE, SLOT_STATE, MEMBER_STATE))


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
            names.slots,
            core.positions.tobytes(),
            names.members,
            core.outputs.tobytes(),
        )
    )


def load_core(core: Core, names: Names, blob: bytes) -> list[str]:
    """Write saved state into `core`; return the slots with a position that are gone.

    A member's `enabled` is the saved one: the operator's switch outlives a restart.

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
    _copy(core.quotes, names.symbols, np.frombuffer(saved.quotes, SYMBOL_STATE), saved.symbols)
    _copy(core.outputs, names.members, np.frombuffer(saved.outputs, MEMBER_STATE), saved.members)
    positions = np.frombuffer(saved.positions, SLOT_STATE)
    gone = _copy(core.positions, names.slots, positions, saved.slots)
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
