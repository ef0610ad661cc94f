"""Operators' commands. What reduces risk is a flag at once, then a journal row, then orders.

Here is on which thread a command runs and in which order; what it does is in `handlers`.

Kill, halt, flatten and close share one job of the engine thread a turn, however many there are,
so none of them waits for a place. An admin's other commands have a lane of their own.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any

from engine.control.messages import Actor
from engine.decision import read
from engine.model.errors import PmproError, TryAgain, UserError
from engine.model.views.commands import COMMANDS
from engine.model.views.snapshot import Command, PositionFate, Reply
from engine.runtime.accepted import Keep, not_kept
from engine.runtime.command_audit import CommandAudit, command_details
from engine.runtime.handlers import BESIDE, HANDLERS, Beside, Handler, Order, Tools
from engine.runtime.inbox import Inbox
from engine.trading.changes import NextPortfolio
from engine.views import fates

if TYPE_CHECKING:
    from engine.hosts.contract import Hosts
    from engine.runtime.jobs import Launches
    from engine.trading.changes import Changes
    from engine.trading.trader import Trader

REPLY_WAIT_S = 3.0
AUDIT_WAIT_S = 1.0
# A turn that takes longer is no longer just busy.
SILENT_S = 10.0
# An operator's command has closes tried at once; the broker is not asked more often than this.
RETRY_S = 1.0


def no_alerts(target: str, user: str, _up_to: int = 0) -> str:
    """Stand where nothing raises alerts."""
    raise UserError(f"no alert {target!r} for {user} to acknowledge")


class Commands:
    """Runs commands of control clients against one trader."""

    def __init__(
        self,
        inbox: Inbox,
        *,
        trader: "Callable[[], Trader | None]",
        hosts: "Callable[[], Hosts | None]",
        set_speed: Callable[[float], None],
        stop: Callable[[str], None],
        changes: "Callable[[], Changes | None]" = lambda: None,
        acknowledge: Callable[[str, str, int], str] = no_alerts,
        launches: "Launches | None" = None,
        keep: Keep = not_kept,
        turn_s: Callable[[], float] = lambda: 0.0,
        box_ns: Callable[[], int] = time.time_ns,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inbox = inbox
        self._trader = trader
        self._tools = Tools(
            hosts=hosts,
            changes=changes,
            set_speed=set_speed,
            acknowledge=acknowledge,
            launches=launches,
        )
        self._stop = stop
        self._keep = keep
        self._turn_s = turn_s
        self._audit = CommandAudit(box_ns)
        self._monotonic_s = monotonic_s
        self._retried_s = -RETRY_S
        # The newest kill of a member or symbol, and by "" the newest halt or flatten, by number.
        self._n_flagged = 0
        self._flagged: dict[str, int] = {}

    def execute(self, command: Command, actor: Actor) -> Reply:
        """Run a command; called on a client's thread."""
        trader = self._trader()
        if command.name == "stop":
            return self._end(trader, command, actor)
        if trader is None:
            text = "the engine is still starting; try again in a moment"
            self.refused(command, actor, text)
            raise TryAgain(text)
        if (beside := BESIDE.get(command.name)) is not None:
            return self._run_beside(beside, trader, command, actor)
        handler = HANDLERS[command.name]
        try:
            with trader.exchange:
                text = handler.now(trader, command, actor.name)
                before = handler.fates(trader, command)
                after = self._number(handler.overtakes(trader, command))
            if text:
                text = self._keep_flagged(trader, command, actor, text)
            if COMMANDS[command.name].at_once:
                done = self._inbox.once("flags", self._pursue)
            else:
                order = Order(
                    command=command,
                    actor=actor,
                    change=handler.prepare(trader, command, self._tools),
                    overtaken=lambda name: self._flagged.get(name, 0) > after,
                )
                done = self._hand_over(lambda: self._carry_out(trader, handler, order, text), order)
        except PmproError as e:
            self.refused(command, actor, str(e))
            raise
        reply = self._answer(done, text)
        if before is None or not reply.ok:
            return reply
        return _with_fates(trader, handler, command, reply, before)

    def needs_person(self, command: Command) -> bool:
        """Tell whether a command is a named person's to give, where a desk has personal tokens.

        Beside an admin's: shares of the account, and the end of a bar that a rule put on a book.
        """
        handler = HANDLERS.get(command.name)
        return handler is not None and handler.needs_person(self._trader(), command)

    def _hand_over(self, job: Callable[[], str], order: Order) -> "Future[Any]":
        """Give the engine thread a job; what was prepared for it is given up where it is busy."""
        try:
            return self._inbox.run(job, urgent=order.actor.role == "admin")
        except TryAgain:
            hosts, change = self._tools.hosts(), order.change
            if hosts is not None and change is not None:
                hosts.discard(change.hosts if isinstance(change, NextPortfolio) else change)
            raise

    def _end(self, trader: "Trader | None", command: Command, actor: Actor) -> Reply:
        """Have the engine stop; who asked is written down first, if that goes quickly."""
        if trader is not None:
            self._note(command, actor, "stopping", ok=True)
            wait((self._inbox.once("audit", self.write_down),), timeout=AUDIT_WAIT_S)
        self._stop(f"stopped by {actor.name}")
        return Reply(ok=True, text="stopping")

    def _run_beside(
        self, beside: Beside, trader: "Trader", command: Command, actor: Actor
    ) -> Reply:
        """Run on the caller's thread: of the engine's it needs the audit only."""
        try:
            text = beside(trader, command, actor, self._tools)
        except PmproError as e:
            self.refused(command, actor, str(e))
            raise
        self._note(command, actor, text, ok=True)
        return Reply(ok=True, text=text)

    def refused(self, command: Command, actor: Actor, reason: str) -> None:
        """Audit a command that was refused; equal ones are counted."""
        self._note(command, actor, reason, ok=False)

    def write_down(self, *, everything: bool = False) -> bool:
        """Hand what is due to the recorder, on the engine thread; True if there was something."""
        trader = self._trader()
        if trader is None:
            return False
        rows = self._audit.take(everything=everything)
        for row in rows:
            trader.recorder.audit("COMMAND", row.details, actor=row.actor, status=row.status)
        return bool(rows)

    def _note(self, command: Command, actor: Actor, result: str, *, ok: bool) -> None:
        if (told := self._audit.count(command, actor, result, ok=ok)) is not None:
            self._audit.put(told)
            self._inbox.once("audit", self.write_down)

    def _keep_flagged(self, trader: "Trader", command: Command, actor: Actor, text: str) -> str:
        """Have what is in force on disk, with its audit entry if it has one of its own."""
        told = self._audit.count(command, actor, text, ok=True)
        row = None
        if told is not None:
            row = trader.recorder.audit_row(
                "COMMAND", told.details, actor=told.actor, status=told.status
            )
        kept = self._keep(command, actor.name, row)
        if told is not None and not kept.audited:
            self._audit.put(told)
        return f"{text}; in force, not durable: {kept.fault}" if kept.fault else text

    def _carry_out(self, trader: "Trader", handler: Handler, order: Order, flagged: str) -> str:
        """Journal and pursue, on the engine thread; what is refused here is journalled too."""
        try:
            text = handler.apply(trader, order, self._tools) or flagged
        except PmproError as e:
            self.refused(order.command, order.actor, str(e))
            raise
        if not flagged:
            _audit(trader, order.command, order.actor, text)
        self._pursue()
        return text

    def _pursue(self) -> None:
        """Journal what was flagged and have its orders sent, on the engine thread."""
        trader = self._trader()
        assert trader is not None
        self.write_down()
        trader.save()
        if self._monotonic_s() - self._retried_s >= RETRY_S:
            self._retried_s = self._monotonic_s()
            trader.positions.retry_now()
        trader.pursue()

    def _number(self, names: list[str]) -> int:
        """Number a kill, halt or flatten; return the newest one's number."""
        if names:
            self._n_flagged += 1
            self._flagged |= dict.fromkeys(names, self._n_flagged)
        return self._n_flagged

    def _answer(self, done: "Future[Any]", flagged: str) -> Reply:
        try:
            return Reply(ok=True, text=str(done.result(REPLY_WAIT_S) or flagged))
        except TimeoutError:
            if flagged:
                return Reply(ok=True, text=f"{flagged}; {self._busy()}, orders follow")
            text = f"{self._busy()}; it will still be carried out"
            return Reply(ok=False, text=text, failure="failed")

    def _busy(self) -> str:
        turn_s = self._turn_s()
        silent = f"the engine's thread has been silent for {turn_s:.0f} s"
        return silent if turn_s > SILENT_S else "the engine is busy"


def _with_fates(
    trader: "Trader",
    handler: Handler,
    command: Command,
    reply: Reply,
    before: tuple[PositionFate, ...],
) -> Reply:
    """Return an answer with what became of each position: what is left of them may have to wait.

    A fill or a signal may have come between the flag and the engine thread's turn.
    """
    with trader.exchange:
        now = fates.now_of(before, handler.fates(trader, command) or ())
        now = fates.with_goals(now, lambda slot: _goal(trader, slot))
    text = reply.text.replace(fates.told(before), fates.told(now))
    return Reply(ok=True, text=text, positions=now)


def _goal(trader: "Trader", slot: str) -> str:
    """Return what becomes of a slot's position; "" where it stays, or nothing is held."""
    index = trader.names.slots.index(slot) if slot in trader.names.slots else None
    held = index is not None and read.position(trader.core, index).direction != 0
    return trader.positions.goal(index) if held and index is not None else ""


def _audit(trader: "Trader", command: Command, actor: Actor, result: str) -> None:
    """Write down a command that was obeyed, on the engine thread; the turn's end saves it."""
    details = command_details(command, actor, result)
    trader.recorder.audit("COMMAND", details, actor=actor.name)
