"""Intents from the core's decisions: what is asked of the broker, under which magic."""

from collections.abc import Callable, Mapping
from typing import Any

from engine.decision import read
from engine.decision.entries import entry_levels
from engine.decision.exits import exit_price
from engine.decision.state import Core
from engine.model.broker import BrokerPosition
from engine.model.orders import Intent, magic_of
from engine.model.reasons import ExitReason
from engine.portfolio.compile import CompiledPortfolio
from engine.portfolio.explain import read_decision
from engine.trading.levels import or_zero


class Intents:
    """Makes intents of one core; each has an id of its own."""

    def __init__(
        self,
        compiled: CompiledPortfolio,
        core: Core,
        *,
        book_numbers: Mapping[str, int],
        new_id: Callable[[], int],
        now_ns: Callable[[], int],
        code: Callable[[], str],
    ) -> None:
        self._code = code
        self._compiled = compiled
        self._core = core
        self._book_numbers = book_numbers
        self._new_id = new_id
        self._now_ns = now_ns

    def closing(self, slot: int, batch_ns: int) -> Intent:
        """Return the whole close of a slot's position, for the reason it has."""
        position = read.position(self._core, slot)
        return self._intent(
            slot,
            batch_ns,
            action="CLOSE",
            direction=position.direction,
            lots=position.lots,
            price=exit_price(self._core, slot),
            position=position.ticket,
            reason=position.close_reason,
        )

    def opening(self, slot: int, batch_ns: int) -> Intent:
        """Return the entry that a slot's `pending_*` describe, with what it was decided on.

        Call before anything else is decided: votes and rules are those of now.
        """
        position = read.position(self._core, slot)
        price = position.pending_price
        stop, target = entry_levels(self._core, slot, price)
        decision = read_decision(self._compiled, self._core, slot)
        return self._intent(
            slot,
            batch_ns,
            action="OPEN",
            direction=position.pending_direction,
            lots=position.pending_lots,
            price=price,
            stop=or_zero(stop),
            target=or_zero(target),
            shares={v.strategy: v.entry_share for v in decision.votes if v.entry_share > 0.0},
            decision=decision,
        )

    def _intent(self, slot: int, batch_ns: int, **given: Any) -> Intent:
        which = self._compiled.slots[slot]
        intent_id = self._new_id()
        values: dict[str, Any] = {"stop": 0.0, "target": 0.0, "position": 0, "reason": 0}
        return Intent(
            id=intent_id,
            magic=magic_of(self._book_numbers[which.book.name], intent_id),
            book=which.book.name,
            slot=slot,
            symbol=which.symbol,
            created_ns=self._now_ns(),
            batch_ns=batch_ns,
            code=self._code(),
            **(values | given),
        )

    def closing_late(self, slot: int, position: BrokerPosition, batch_ns: int) -> Intent:
        """Return the close of a position whose entry had been declared not executed."""
        return self._intent(
            slot,
            batch_ns,
            action="CLOSE",
            direction=position.direction,
            lots=position.lots,
            price=position.price,
            position=position.identifier,
            reason=int(ExitReason.EXTERNAL),
        )
