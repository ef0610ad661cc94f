"""Operators' commands. What reduces risk is a flag at once, then a journal row, then orders.

Kill, halt, flatten and close share one job of the engine thread a turn, however many there are,
so none of them waits for a place. An admin's other commands have a lane of their own.
"""

import math
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any

from engine.control.messages import Actor
from engine.decision import read, switches
from engine.hosts.contract import Prepared
from engine.model.commands import COMMANDS
from engine.model.errors import PmproError, Refused, TryAgain, UserError
from engine.model.near import meant
from engine.model.reasons import ExitReason, Refusal
from engine.model.views.snapshot import Command, PositionFate, Reply
from engine.runtime.accepted import Keep, not_kept
from engine.runtime.command_audit import CommandAudit, command_details
from engine.runtime.inbox import Inbox
from engine.trading.adoption import adopt
from engine.trading.changes import NextPortfolio, close_for_removal
from engine.views import fates
from engine.views.snapshot import kept_out

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
        self._hosts = hosts
        self._set_speed = set_speed
        self._stop = stop
        self._changes = changes
        self._acknowledge = acknowledge
        self._launches = launches
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
        if command.name == "ack":
            return self._ack(command, actor)
        if command.name in ("backtest", "cancel"):
            return self._launch(trader, command, actor)
        try:
            with trader.exchange:
                text = self.flag_now(trader, command, actor.name)
                before = _fates(trader, command)
                after = self._number(trader, command)
            if text:
                text = self._keep_flagged(trader, command, actor, text)
            if COMMANDS[command.name].at_once:
                reply = self._answer(self._inbox.once("flags", self._pursue), text)
                return _with_fates(trader, command, reply, before)
            change = self._prepare(trader, command)
            done = self._hand_over(
                lambda: self._carry_out(trader, command, actor, text, change, after),
                actor,
                change,
            )
        except PmproError as e:
            self.refused(command, actor, str(e))
            raise
        return _with_fates(trader, command, self._answer(done, text), before)

    def needs_person(self, command: Command) -> bool:
        """Tell whether a command is a named person's to give, where a desk has personal tokens.

        Beside an admin's: shares of the account, and the end of a bar that a rule put on a book.
        """
        if command.name == "allocate":
            return True
        trader = self._trader()
        if command.name != "enable" or trader is None:
            return False
        return bool(_barred(trader, _members_or_none(trader, command.target)))

    def _hand_over(
        self, job: Callable[[], str], actor: Actor, change: "Prepared | NextPortfolio | None"
    ) -> "Future[Any]":
        """Give the engine thread a job; what was prepared for it is given up where it is busy."""
        try:
            return self._inbox.run(job, urgent=actor.role == "admin")
        except TryAgain:
            hosts = self._hosts()
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

    def _launch(self, trader: "Trader", command: Command, actor: Actor) -> Reply:
        """Do what children do; the engine thread only writes it down."""
        try:
            if self._launches is None:
                raise UserError("this engine launches no backtests")
            text = self._launches.carry_out(command, trader.compiled.portfolio, actor.name)
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

    def _ack(self, command: Command, actor: Actor) -> Reply:
        """Acknowledge on the caller's thread: of the engine's it needs the audit only."""
        up_to = int(command.value) if 0 < command.value < 2**53 else 0
        try:
            text = self._acknowledge(command.target, actor.name, up_to)
        except PmproError as e:
            self.refused(command, actor, str(e))
            raise
        self._note(command, actor, text, ok=True)
        return Reply(ok=True, text=text)

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

    @staticmethod
    def flag_now(trader: "Trader", command: Command, user: str) -> str:
        """Set what only reduces risk, on the caller's thread, whatever the engine thread does.

        "" where there is nothing to be done at once.
        """
        if command.name == "kill":
            _kill(trader, command.target, close=_closes(command))
            text = f"killed {command.target}; {fates.told(_fates(trader, command))}"
            trader.urgent.set()
            return text
        if command.name == "halt":
            switches.halt_entries(trader.core)
            trader.reason = f"entries halted by {user}"
            return "entries halted"
        if command.name == "close":
            text = _close(trader, command.target)
            trader.urgent.set()
            return text
        if command.name == "remove" and command.text == "flatten":
            return close_for_removal(trader, command.target)
        if command.name == "flatten":
            trader.flattening = ExitReason.FLATTEN
            switches.flatten(trader.core)
            trader.reason = f"flattened by {user}"
            n_open = len(read.held_slots(trader.core))
            trader.urgent.set()
            return f"flattening {n_open} position(s), entries halted"
        return ""

    def _prepare(self, trader: "Trader", command: Command) -> "Prepared | NextPortfolio | None":
        """Have strategies made ready, on the caller's thread: it may take seconds."""
        hosts, changes = self._hosts(), self._changes()
        if command.name == "add" and changes is not None:
            return changes.prepare_addition(trader, command.text)
        if command.name == "allocate" and changes is not None:
            return changes.prepare_share(trader, command.target, command.value)
        if command.name != "enable" or hosts is None:
            return None
        if _symbol(trader, command.target) is not None:
            return None
        names = {trader.names.members[m] for m in _members(trader, command.target)}
        again = sorted(names & trader.quarantined.keys())
        if not again:
            return None
        change = hosts.prepare(again=again)
        for name in again:
            if name in change.faults:
                hosts.discard(change)
                raise Refused(f"{name} fails again: {change.faults[name]}")
        return change

    def _carry_out(
        self,
        trader: "Trader",
        command: Command,
        actor: Actor,
        flagged: str,
        change: "Prepared | NextPortfolio | None",
        after: int,
    ) -> str:
        """Journal and pursue, on the engine thread; what is refused here is journalled too."""
        try:
            text = self._effect(trader, command, actor, change, after) or flagged
        except PmproError as e:
            self.refused(command, actor, str(e))
            raise
        if not flagged:
            _audit(trader, command, actor, text)
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

    def _effect(
        self,
        trader: "Trader",
        command: Command,
        actor: Actor,
        change: "Prepared | NextPortfolio | None",
        after: int,
    ) -> str:
        """Do what was not done at once; return what it hit."""
        if command.name in ("add", "remove", "allocate"):
            return self._change(trader, command, change)
        if command.name == "limit":
            return self._limit(trader, command, actor)
        if command.name == "adopt":
            return adopt(trader, command.target, command.text)
        return self._switch(trader, command, actor, change, after)

    def _change(
        self, trader: "Trader", command: Command, change: "Prepared | NextPortfolio | None"
    ) -> str:
        changes = self._changes()
        if changes is None:
            raise UserError("this engine's portfolio cannot be changed")
        if isinstance(change, NextPortfolio):
            return changes.succeed(trader, change)
        return changes.remove(trader, command.target, command.text)

    def _switch(
        self,
        trader: "Trader",
        command: Command,
        actor: Actor,
        change: "Prepared | NextPortfolio | None",
        after: int,
    ) -> str:
        core = trader.core
        if command.name == "disable":
            for m in _members(trader, command.target):
                switches.disable(core, m)
            return f"disabled {command.target}; {fates.told(_fates(trader, command))}"
        if command.name == "enable":
            if isinstance(change, Prepared):
                self._bring_back(trader, change)
            with trader.exchange:
                self._refuse_overtaken(trader, command, after)
                return self._enable(trader, command.target, actor)
        if command.name == "resume":
            with trader.exchange:
                self._refuse_overtaken(trader, command, after)
                return self._resume(trader, actor, rebase=_rebases(command))
        if command.name == "speed":
            self._set_speed(command.value)
            return f"speed {command.value:g}×"
        raise UserError(f"unknown command {command.name!r}")

    def _enable(self, trader: "Trader", target: str, actor: Actor) -> str:
        symbol = _symbol(trader, target)
        if symbol is not None:
            switches.enable_symbol(trader.core, symbol)
            trader.pauses.end(target)
            return f"enabled {target}; its books may enter again"
        members = _members(trader, target)
        barred = _barred(trader, members)
        for m in members:
            switches.enable(trader.core, m)
        for book, rule in barred.items():
            trader.events.add("warning", book, f"{rule} is lifted by {actor.name}: it may enter")
            numbers = {"book": book, "lifted": rule}
            trader.recorder.audit("RISK_CHECK", numbers, actor=actor.name)
        lifted = "".join(f"; {rule} of {book} is lifted" for book, rule in barred.items())
        return f"enabled {target}{lifted}; it enters at its next change"

    def _number(self, trader: "Trader", command: Command) -> int:
        """Number a kill, halt or flatten; return the newest one's number."""
        if not COMMANDS[command.name].ages:
            self._n_flagged += 1
            names = _named(trader, command.target) if command.name == "kill" else [""]
            self._flagged |= dict.fromkeys(names, self._n_flagged)
        return self._n_flagged

    def _refuse_overtaken(self, trader: "Trader", command: Command, after: int) -> None:
        """Refuse to undo what was flagged while the command waited for the engine thread."""
        names = _named(trader, command.target) if command.name == "enable" else [""]
        if any(self._flagged.get(name, 0) > after for name in names):
            newer = "kill" if command.name == "enable" else "halt or flatten"
            raise TryAgain(f"{command.name} was overtaken by a newer {newer}: send it anew")

    def _limit(self, trader: "Trader", command: Command, actor: Actor) -> str:
        name, value = command.target, command.value
        before = trader.limits.change(trader.core, trader.compiled.portfolio, name, value)
        numbers = {"limit": name, "before": before, "after": value}
        trader.recorder.audit("RISK_CHECK", numbers, actor=actor.name)
        text = f"{name} is {value:g}; it was {before:g}"
        trader.events.add("warning", "limit", f"{text}, by {actor.name}")
        return text

    def _resume(self, trader: "Trader", actor: Actor, *, rebase: bool) -> str:
        """Lift what an operator may lift; say what keeps entries out all the same.

        Raises:
            Refused: there is nothing to lift, or it would come back at once.
        """
        core = trader.core
        account, limits = read.account(core), read.limits(core)
        currency = trader.compiled.portfolio.account.currency
        if trader.flattening is not None:
            raise Refused("still flattening: resume when everything is closed")
        if trader.pauses.mismatches:
            raise Refused("; ".join(trader.pauses.mismatches.values()))
        drawdown = account.drawdown_frac
        if not rebase and drawdown >= limits.drawdown_flatten_frac:
            raise Refused(f"drawdown is {drawdown:.2%}: it flattens again; use resume --rebase")
        if rebase and not 0.0 < account.equity_ccy < math.inf:
            raise Refused(f"no mark can be set: {kept_out(core, currency)}")
        lifts = rebase or not trader.active or account.tier == 3 or trader.pauses.paused
        if not lifts and (kept := trader.withheld or kept_out(core, currency)):
            raise Refused(f"nothing is halted, and yet no entry: {kept}")
        said = self._rebase(trader, actor) if rebase else ""
        switches.resume(core)
        trader.pauses.end()
        trader.reason = ""
        if kept := trader.withheld or kept_out(core, currency):
            return f"{said}nothing is halted any more, and yet no entry: {kept}"
        return f"{said}entries resumed"

    @staticmethod
    def _rebase(trader: "Trader", actor: Actor) -> str:
        """Set the high-water marks to today's equity; return the words for it."""
        account = read.account(trader.core)
        before = {
            "high_water_before_ccy": account.high_water_ccy,
            "tier_before": account.tier,
            "drawdown_before_frac": account.drawdown_frac,
        }
        switches.resume(trader.core, rebase=True)
        after_ccy = read.account(trader.core).high_water_ccy
        text = (
            f"the high-water mark is {after_ccy:,.2f} "
            f"{trader.compiled.portfolio.account.currency}, it was "
            f"{before['high_water_before_ccy']:,.2f}"
        )
        trader.events.add("warning", "risk", f"{text}; drawdown tier 0, by {actor.name}")
        details = {"rebased": True, **before, "high_water_ccy": after_ccy, "tier": 0}
        trader.recorder.audit("RISK_CHECK", details, actor=actor.name)
        return f"{text}; "

    def _bring_back(self, trader: "Trader", change: Prepared) -> None:
        hosts = self._hosts()
        if hosts is None:
            return
        faults = hosts.install(change)
        for name in change.fresh:
            trader.quarantined.pop(name, None)
        for name, fault in faults.items():
            trader.quarantine_member(name, fault)

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


def _members(trader: "Trader", target: str) -> list[int]:
    """Return the members a name stands for: a strategy, or a book and all in it."""
    members = _members_or_none(trader, target)
    if not members:
        raise UserError(f"no strategy or book is named {target!r}{_meant(trader, target)}")
    return members


def _members_or_none(trader: "Trader", target: str) -> list[int]:
    if target in trader.names.members:
        return [trader.names.members.index(target)]
    return [m for s in trader.compiled.slots if s.book.name == target for m in s.members]


def _barred(trader: "Trader", members: Iterable[int]) -> dict[str, str]:
    """Return the books of members that a rule has taken the entries of, each with the rule."""
    core = trader.core
    out = {}
    for m in members:
        slot = read.slot_of(core, m)
        book = trader.compiled.slots[slot].book.name
        own = [s for s, other in enumerate(trader.compiled.slots) if other.book.name == book]
        if rules := [rule for s in own if (rule := read.position(core, s).barred)]:
            out[book] = Refusal(rules[0]).name
    return out


def _meant(trader: "Trader", target: str, more: Iterable[str] = ()) -> str:
    books = (slot.book.name for slot in trader.compiled.slots)
    return meant(target, [*trader.names.members, *books, *more])


def _symbol(trader: "Trader", target: str) -> int | None:
    """Return the traded symbol a name stands for, None where it is a strategy's or a book's."""
    if _members_or_none(trader, target) or target not in trader.names.symbols:
        return None
    return trader.names.symbols.index(target)


def _named(trader: "Trader", target: str) -> list[str]:
    """Return the members a name stands for, or the symbol."""
    members = [trader.names.members[m] for m in _members_or_none(trader, target)]
    return members or [target]


def _closes(command: Command) -> bool:
    """Return whether a kill closes what its books hold, whoever else votes.

    Raises:
        UserError: it says something else.
    """
    if command.text not in ("", "close"):
        raise UserError(f"kill {command.text!r}: allowed: close, or nothing")
    return command.text == "close"


def _fates(trader: "Trader", command: Command) -> tuple[PositionFate, ...]:
    """Return what a kill or a disable does to each position that it concerns."""
    if command.name not in ("kill", "disable"):
        return ()
    if command.name == "kill" and _symbol(trader, command.target) is not None:
        external = trader.positions.external
        return fates.of_symbol(trader.core, trader.compiled.slots, command.target, external)
    members, kill = _members_or_none(trader, command.target), command.name == "kill"
    close = kill and _closes(command)
    return fates.of_members(trader.core, trader.compiled.slots, members, kill=kill, close=close)


def _with_fates(
    trader: "Trader", command: Command, reply: Reply, before: tuple[PositionFate, ...]
) -> Reply:
    """Return an answer with what became of each position: what is left of them may have to wait.

    A fill or a signal may have come between the flag and the engine thread's turn.
    """
    if command.name not in ("kill", "disable") or not reply.ok:
        return reply
    with trader.exchange:
        now = fates.now_of(before, _fates(trader, command))
        now = fates.with_goals(now, lambda slot: _goal(trader, slot))
    text = reply.text.replace(fates.told(before), fates.told(now))
    return Reply(ok=True, text=text, positions=now)


def _rebases(command: Command) -> bool:
    """Return whether a resume sets the high-water marks to today's equity.

    Raises:
        UserError: it says something else.
    """
    if command.target not in ("", "rebase"):
        raise UserError(f"resume {command.target!r}: allowed: rebase, or nothing")
    return command.target == "rebase"


def _goal(trader: "Trader", slot: str) -> str:
    """Return what becomes of a slot's position; "" where it stays, or nothing is held."""
    index = trader.names.slots.index(slot) if slot in trader.names.slots else None
    held = index is not None and read.position(trader.core, index).direction != 0
    return trader.positions.goal(index) if held and index is not None else ""


def _kill(trader: "Trader", target: str, *, close: bool) -> None:
    """Kill a strategy, a book or a symbol; `close` what their books hold, whoever else votes."""
    core, symbol = trader.core, _symbol(trader, target)
    if symbol is not None:
        switches.kill_symbol(core, symbol)
        return
    members = _members_or_none(trader, target)
    if not members:
        hint = _meant(trader, target, trader.names.symbols)
        raise UserError(f"no strategy, book or symbol is named {target!r}{hint}")
    slots = {switches.kill(core, m) for m in members}
    if close:
        switches.close_slots(core, slots)
    switches.kill_held(core)  # a book whose members are all out closes now


def _audit(trader: "Trader", command: Command, actor: Actor, result: str) -> None:
    """Write down a command that was obeyed, on the engine thread; the turn's end saves it."""
    details = command_details(command, actor, result)
    trader.recorder.audit("COMMAND", details, actor=actor.name)


def _close(trader: "Trader", target: str) -> str:
    """Give positions, named by their tickets, the goal to close; say which are not held."""
    closing: list[str] = []
    others: list[str] = []
    for ticket in target.replace(",", " ").split():
        number = int(ticket) if ticket.isdecimal() and len(ticket) < 19 else 0
        held = number > 0 and switches.close_position(trader.core, number)
        (closing if held else others).append(ticket)
    external = {str(position.ticket) for position in trader.positions.external}
    left = [
        f"{ticket} is EXTERNAL: nobody here closes it unless a book adopts it"
        if ticket in external
        else f"{ticket} is not open"
        for ticket in others
    ]
    if not closing:
        text = "; ".join(left) or "close which position? name its ticket"
        raise Refused(text) if external & set(others) else UserError(text)
    return "; ".join([f"closing position {', '.join(closing)}", *left])
