"""Stops and targets at the broker: those that the core has, and no others.

They leave with the order, so a position is never without them; this moves them where the core
wants them moved, and sets them again where the terminal shows others.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping

from engine.decision import read
from engine.decision.entries import count_message
from engine.decision.moving_stops import move_stop
from engine.decision.state import Core, stop_moves
from engine.execution.router import LOST_S
from engine.execution.terminal import Terminal
from engine.model.backoff import TicketBackoffs
from engine.model.broker import BrokerPosition
from engine.model.errors import BrokerError
from engine.model.symbols import price_text
from engine.terminal.retcodes import Action, classify
from engine.trading.events import EventLog
from engine.trading.recorder import Recorder


class Levels:
    """The slots' stops and targets at the terminal."""

    def __init__(
        self,
        core: Core,
        slots: list[str],
        *,
        terminal: Terminal,
        recorder: Recorder,
        events: EventLog,
        now_ns: Callable[[], int],
    ) -> None:
        self._core = core
        self._slots = slots
        self._terminal = terminal
        self._recorder = recorder
        self._events = events
        self._now_ns = now_ns
        self._backoffs = TicketBackoffs(now_ns)

    def reconfigure(self, core: Core, slots: list[str]) -> None:
        """Go on with another portfolio's core and slots."""
        self._core, self._slots = core, slots

    def move(self, stops: Mapping[int, float]) -> None:
        """Move slots' stops at the broker, and in the core where the broker has done it.

        One that was refused or got no answer is decided anew at the next batch. Where nobody is
        there, the others are not tried either.
        """
        try:
            held = {p.identifier: p for p in self._terminal.positions()}
        except BrokerError as e:
            self._events.add("error", "terminal", f"no stop moved: {e}")
            return
        for slot, stop in stops.items():
            position = read.position(self._core, slot)
            there = held.get(position.ticket)
            if there is None:  # closed a moment ago
                continue
            began_s = time.monotonic()
            if not self._set(there, slot, stop, position.target):
                if time.monotonic() - began_s >= LOST_S:
                    return
                continue
            move_stop(self._core, slot, stop)
            self._say_moved(slot, position.stop, stop)

    def to_fill(self, slot: int) -> None:
        """Set stop and target anew from a fill that was not at the expected price."""
        try:
            self._mend_slot(slot, self._terminal.positions(), level="info")
        except BrokerError as e:
            self._events.add("error", self._slots[slot], f"levels not moved to the fill: {e}")

    def mend(self, found: Iterable[BrokerPosition]) -> None:
        """Set the levels again that the terminal does not have as the core has them."""
        held = read.settled_slots(self._core)
        self._backoffs.keep({read.position(self._core, slot).ticket for slot in held})
        for slot in held:
            self._mend_slot(slot, found)

    def _mend_slot(
        self, slot: int, found: Iterable[BrokerPosition], *, level: str = "warning"
    ) -> None:
        position = read.position(self._core, slot)
        there = next((p for p in found if p.identifier == position.ticket), None)
        if there is None or self._is_right(slot, there):
            return
        if not self._backoffs.may_try(there.identifier):
            return
        stop, target = position.stop, position.target
        text = f"{_in_words(there.stop, there.target)} at the terminal"
        if self._set(there, slot, stop, target):
            self._backoffs.done(there.identifier)
            text += f": set to {_in_words(or_zero(stop), or_zero(target))}"
            self._events.add(level, self._slots[slot], text)
            self._recorder.audit("POSITION", {"slot": self._slots[slot], "levels": text})
            return
        self._backoffs.refused(there.identifier)

    def _is_right(self, slot: int, there: BrokerPosition) -> bool:
        """Tell whether the terminal has the core's levels; take a stop that did move after all."""
        position, config = read.position(self._core, slot), self._core.slots[slot]
        near = 0.5 * read.point(self._core, read.symbol_of(self._core, slot))
        stop, target = or_zero(position.stop), or_zero(position.target)
        if not abs(there.target - target) <= near:
            return False
        if abs(there.stop - stop) <= near:
            return True
        better = (there.stop - stop) * position.direction > 0.0 or stop == 0.0
        if there.stop and stop_moves(config) and better:
            move_stop(self._core, slot, there.stop)
            self._say_moved(slot, stop, there.stop)
            return True
        return False

    def _set(self, there: BrokerPosition, slot: int, stop: float, target: float) -> bool:
        """Set levels at the broker; tell whether it has them now."""
        now_ns = max(read.account(self._core).batch_ns, self._now_ns())
        count_message(self._core, read.symbol_of(self._core, slot), now_ns)
        try:
            verdict = classify(self._terminal.modify(there, or_zero(stop), or_zero(target)))
        except BrokerError as e:
            self._events.add("error", self._slots[slot], f"levels not set: {e}")
            return False
        if verdict.action is not Action.TAKEN:
            self._events.add("error", self._slots[slot], f"levels not set: {verdict.name}")
            return False
        return True

    def _say_moved(self, slot: int, before: float, stop: float) -> None:
        name = self._slots[slot]
        was = price_text(before) if or_zero(before) else "none"
        self._events.add("info", name, f"stop moved from {was} to {price_text(stop)}")
        self._recorder.audit("POSITION", {"slot": name, "stop": stop, "before": or_zero(before)})


def _in_words(stop: float, target: float) -> str:
    parts = (("stop", stop), ("target", target))
    return ", ".join(f"{name} {price_text(at)}" if at else f"no {name}" for name, at in parts)


def or_zero(level: float) -> float:
    """Return a level as MetaTrader writes it: 0.0 for none."""
    return 0.0 if math.isnan(level) else float(level)
