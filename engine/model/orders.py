"""Intents: what the engine is about to ask of the broker, durable before it is asked."""

import enum
from typing import Final

import msgspec

from engine.model.views.decisions import Decision

MAGIC_SEQUENCE_BITS = 32


class IntentState(enum.IntEnum):
    """Life of an intent. CREATED: journaled, perhaps sent. UNKNOWN: never sent again."""

    CREATED = 0
    DONE = 1
    REJECTED = 2
    NOT_SENT = 3
    UNKNOWN = 4


_OPEN_END = frozenset(IntentState) - {IntentState.CREATED}
# What may become of an intent: what was settled stays, unless it turns out to have been executed.
BECOMES: Final[dict[IntentState, frozenset[IntentState]]] = {
    IntentState.CREATED: _OPEN_END,
    IntentState.UNKNOWN: _OPEN_END,
    IntentState.REJECTED: frozenset({IntentState.DONE}),
    IntentState.NOT_SENT: frozenset({IntentState.DONE}),
    IntentState.DONE: frozenset({IntentState.DONE}),
}


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """One market order. `magic` = book number × 2^32 + `id`; `reason` is an ExitReason.

    `action` OPEN or CLOSE; `direction` is the position's (+1 long), not the deal's. An OPEN carries
    the `decision` it came of. `code` names what ran then, "" of earlier versions.
    """

    id: int
    magic: int
    book: str
    slot: int
    symbol: str
    action: str
    direction: int
    lots: float
    price: float
    stop: float
    target: float
    position: int
    reason: int
    created_ns: int
    batch_ns: int
    shares: dict[str, float] = {}
    decision: Decision | None = None
    code: str = ""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an intent; money is the deal's, rounded by the broker."""

    intent_id: int
    state: IntentState
    retcode: int = 0
    order: int = 0
    deal: int = 0
    position: int = 0
    lots: float = 0.0
    price: float = 0.0
    profit_ccy: float = 0.0
    commission_ccy: float = 0.0
    swap_ccy: float = 0.0
    time_ns: int = 0
    detail: str = ""


def magic_of(book_number: int, intent_id: int) -> int:
    """Return the order's magic: correlation that no server rewrites."""
    return (book_number << MAGIC_SEQUENCE_BITS) + intent_id


def intent_of(magic: int) -> int:
    """Return the intent id in a magic."""
    return magic & ((1 << MAGIC_SEQUENCE_BITS) - 1)


def book_of(magic: int) -> int:
    """Return the book number in a magic; 0 is nobody's."""
    return magic >> MAGIC_SEQUENCE_BITS
