"""What each command does: one handler a command, in at most three steps.

`now` is on the client's thread, whatever the engine's thread does: what only reduces risk is in
force after it. `prepare` is on the client's thread too and may take seconds. `apply` is on the
engine's thread. Who may give a command, and until when, is in `engine.model.views.commands`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from engine.decision import read, switches
from engine.hosts.contract import Prepared
from engine.model.errors import Refused, TryAgain, UserError
from engine.model.reasons import ExitReason
from engine.trading import targets
from engine.trading.adoption import adopt
from engine.trading.changes import NextPortfolio, close_for_removal
from engine.views import fates
from engine.views.snapshot import kept_out

if TYPE_CHECKING:
    from engine.control.messages import Actor
    from engine.hosts.contract import Hosts
    from engine.model.views.snapshot import Command, PositionFate
    from engine.runtime.jobs import Launches
    from engine.trading.changes import Changes
    from engine.trading.trader import Trader

_UNCHANGEABLE: Final = "this engine's portfolio cannot be changed"

Change = Prepared | NextPortfolio
"""What was prepared for the engine's thread."""


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What commands need beside the trader; None where this engine has none."""

    hosts: "Callable[[], Hosts | None]"
    changes: "Callable[[], Changes | None]"
    set_speed: Callable[[float], None]
    acknowledge: Callable[[str, str, int], str]
    launches: "Launches | None"


@dataclass(frozen=True, kw_only=True)
class Order:
    """A command on the engine's thread, with what was prepared for it.

    `overtaken`: whether a kill of a member or symbol, or for "" a halt or flatten, came after it.
    """

    command: "Command"
    actor: "Actor"
    change: Change | None
    overtaken: Callable[[str], bool]


class Handler:
    """A command that concerns the trader. A step that a command does not have does nothing.

    `AFTER_RESTART`: what is said where the engine ended between `now` and `apply`, "" for what
    `now` says.
    """

    AFTER_RESTART: ClassVar[str] = ""

    def now(self, trader: "Trader", command: "Command", user: str) -> str:
        """Put what only reduces risk in force; return what it hit, "" where there is nothing.

        Plain stores, on any thread that has `trader.exchange`.
        """
        return ""

    def prepare(self, trader: "Trader", command: "Command", tools: Tools) -> Change | None:
        """Have strategies made ready."""
        return None

    def apply(self, trader: "Trader", order: Order, tools: Tools) -> str:
        """Do what was not done at once; return what it hit, "" for what `now` said."""
        return ""

    def overtakes(self, trader: "Trader", command: "Command") -> list[str]:
        """Return what a command that waits must not undo any more, in the terms of `Order`."""
        return []

    def fates(self, trader: "Trader", command: "Command") -> "tuple[PositionFate, ...] | None":
        """Return what becomes of each position that is concerned; None where none ever is."""
        return None

    def needs_person(self, trader: "Trader | None", command: "Command") -> bool:
        """Tell whether it is a named person's to give, although it is no admin's."""
        return False


class Kill(Handler):
    """Disables a strategy, a book or a symbol and closes what is theirs alone."""

    def now(self, trader: "Trader", command: "Command", user: str) -> str:
        targets.kill(trader, command.target, close=_closes(command))
        text = f"killed {command.target}; {fates.told(self.fates(trader, command))}"
        trader.urgent.set()
        return text

    def overtakes(self, trader: "Trader", command: "Command") -> list[str]:
        return targets.names_of(trader, command.target)

    def fates(self, trader: "Trader", command: "Command") -> "tuple[PositionFate, ...]":
        core, slots = trader.core, trader.compiled.slots
        if targets.symbol_of(trader, command.target) is not None:
            return fates.of_symbol(core, slots, command.target, trader.positions.external)
        members = targets.members_or_none(trader, command.target)
        return fates.of_members(core, slots, members, kill=True, close=_closes(command))


class Disable(Handler):
    """Stops the entries of a strategy or a book; what is open stays until its exit."""

    def apply(self, trader: "Trader", order: Order, tools: Tools) -> str:
        target = order.command.target
        for m in targets.members_of(trader, target):
            switches.disable(trader.core, m)
        return f"disabled {target}; {fates.told(self.fates(trader, order.command))}"

    def fates(self, trader: "Trader", command: "Command") -> "tuple[PositionFate, ...]":
        members = targets.members_or_none(trader, command.target)
        return fates.of_members(
            trader.core, trader.compiled.slots, members, kill=False, close=False
        )


class Enable(Handler):
    """Lets a strategy, a book or a symbol enter again, and a quarantined strategy run."""

    def prepare(self, trader: "Trader", command: "Command", tools: Tools) -> Change | None:
        hosts = tools.hosts()
        if hosts is None or targets.symbol_of(trader, command.target) is not None:
            return None
        names = {trader.names.members[m] for m in targets.members_of(trader, command.target)}
        again = sorted(names & trader.quarantined.keys())
        if not again:
            return None
        change = hosts.prepare(again=again)
        for name in again:
            if name in change.faults:
                hosts.discard(change)
                raise Refused(f"{name} fails again: {change.faults[name]}")
        return change

    def apply(self, trader: "Trader", order: Order, tools: Tools) -> str:
        hosts, target = tools.hosts(), order.command.target
        if isinstance(order.change, Prepared) and hosts is not None:
            _bring_back(trader, hosts, order.change)
        with trader.exchange:
            if any(order.overtaken(name) for name in targets.names_of(trader, target)):
                raise TryAgain("enable was overtaken by a newer kill: send it anew")
            return targets.enable(trader, target, order.actor.name)

    def needs_person(self, trader: "Trader | None", command: "Command") -> bool:
        """Tell whether it lifts the bar that a rule put on a book."""
        if trader is None:
            return False
        members = targets.members_or_none(trader, command.target)
        return bool(targets.barred_books(trader, members))


class Halt(Handler):
    """Refuses all entries until a resume."""

    def now(self, trader: "Trader", command: "Command", user: str) -> str:
        switches.halt_entries(trader.core)
        trader.reason = f"entries halted by {user}"
        return "entries halted"

    def overtakes(self, trader: "Trader", command: "Command") -> list[str]:
        return [""]


class Flatten(Halt):
    """Closes every position and refuses all entries until a resume."""

    def now(self, trader: "Trader", command: "Command", user: str) -> str:
        trader.flattening = ExitReason.FLATTEN
        switches.flatten(trader.core)
        trader.reason = f"flattened by {user}"
        n_open = len(read.held_slots(trader.core))
        trader.urgent.set()
        return f"flattening {n_open} position(s), entries halted"


class Close(Handler):
    """Gives positions, named by their tickets, the goal to close; says which are not held."""

    def now(self, trader: "Trader", command: "Command", user: str) -> str:
        text = targets.close(trader, command.target)
        trader.urgent.set()
        return text


class Resume(Handler):
    """Lifts what an operator may lift; says what keeps entries out all the same."""

    def apply(self, trader: "Trader", order: Order, tools: Tools) -> str:
        with trader.exchange:
            if order.overtaken(""):
                raise TryAgain("resume was overtaken by a newer halt or flatten: send it anew")
            rebase = _wants(order.command, order.command.target, "rebase")
            return self._resume(trader, order.actor, rebase=rebase)

    def _resume(self, trader: "Trader", actor: "Actor", *, rebase: bool) -> str:
        """Resume.

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
    def _rebase(trader: "Trader", actor: "Actor") -> str:
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


class Add(Handler):
    """Adds strategies, books and symbols to the portfolio."""

    def prepare(self, trader: "Trader", command: "Command", tools: Tools) -> Change | None:
        changes = tools.changes()
        return None if changes is None else changes.prepare_addition(trader, command.text)

    def apply(self, trader: "Trader", order: Order, tools: Tools) -> str:
        if not isinstance(order.change, NextPortfolio):
            raise UserError(_UNCHANGEABLE)
        return _changes(tools).succeed(trader, order.change)


class Allocate(Add):
    """Gives a strategy another share of its book, or a book of the account."""

    def prepare(self, trader: "Trader", command: "Command", tools: Tools) -> Change | None:
        changes = tools.changes()
        if changes is None:
            return None
        return changes.prepare_share(trader, command.target, command.value)

    def needs_person(self, trader: "Trader | None", command: "Command") -> bool:
        return True


class Remove(Handler):
    """Takes a strategy or a book out of the portfolio."""

    AFTER_RESTART = "killed and closing; its removal is to be asked for again"

    def now(self, trader: "Trader", command: "Command", user: str) -> str:
        return close_for_removal(trader, command.target) if command.text == "flatten" else ""

    def apply(self, trader: "Trader", order: Order, tools: Tools) -> str:
        return _changes(tools).remove(trader, order.command.target, order.command.text)


class ChangeLimit(Handler):
    """Sets a limit from the next decision on."""

    def apply(self, trader: "Trader", order: Order, tools: Tools) -> str:
        name, value, user = order.command.target, order.command.value, order.actor.name
        before = trader.limits.change(trader.core, trader.compiled.portfolio, name, value)
        numbers = {"limit": name, "before": before, "after": value}
        trader.recorder.audit("RISK_CHECK", numbers, actor=user)
        text = f"{name} is {value:g}; it was {before:g}"
        trader.events.add("warning", "limit", f"{text}, by {user}")
        return text


class AdoptPosition(Handler):
    """Gives a position that somebody else opened to a book."""

    def apply(self, trader: "Trader", order: Order, tools: Tools) -> str:
        return adopt(trader, order.command.target, order.command.text)


class Speed(Handler):
    """Sets how fast a simulated market runs."""

    def apply(self, trader: "Trader", order: Order, tools: Tools) -> str:
        tools.set_speed(order.command.value)
        return f"speed {order.command.value:g}×"


HANDLERS: Final[Mapping[str, Handler]] = {
    "kill": Kill(),
    "disable": Disable(),
    "enable": Enable(),
    "halt": Halt(),
    "flatten": Flatten(),
    "close": Close(),
    "resume": Resume(),
    "add": Add(),
    "allocate": Allocate(),
    "remove": Remove(),
    "limit": ChangeLimit(),
    "adopt": AdoptPosition(),
    "speed": Speed(),
}


def _acknowledge(_: "Trader", command: "Command", actor: "Actor", tools: Tools) -> str:
    up_to = int(command.value) if 0 < command.value < 2**53 else 0
    return tools.acknowledge(command.target, actor.name, up_to)


def _launch(trader: "Trader", command: "Command", actor: "Actor", tools: Tools) -> str:
    return _launches(tools).launch(command.text, trader.compiled.portfolio, actor.name)


def _cancel(_: "Trader", command: "Command", actor: "Actor", tools: Tools) -> str:
    return _launches(tools).cancel(command.target, actor.name)


def _launches(tools: Tools) -> "Launches":
    if tools.launches is None:
        raise UserError("this engine launches no backtests")
    return tools.launches


Beside = Callable[["Trader", "Command", "Actor", Tools], str]
BESIDE: Final[Mapping[str, Beside]] = {
    "ack": _acknowledge,
    "backtest": _launch,
    "cancel": _cancel,
}
"""What is done on the client's thread alone: the engine's thread only writes it down."""


def _changes(tools: Tools) -> "Changes":
    changes = tools.changes()
    if changes is None:
        raise UserError(_UNCHANGEABLE)
    return changes


def _bring_back(trader: "Trader", hosts: "Hosts", change: Prepared) -> None:
    faults = hosts.install(change)
    for name in change.fresh:
        trader.quarantined.pop(name, None)
    for name, fault in faults.items():
        trader.quarantine_member(name, fault)


def _closes(command: "Command") -> bool:
    """Return whether a kill closes what its books hold, whoever else votes."""
    return _wants(command, command.text, "close")


def _wants(command: "Command", given: str, word: str) -> bool:
    """Return whether a command says a word that it may say.

    Raises:
        UserError: it says something else.
    """
    if given not in ("", word):
        raise UserError(f"{command.name} {given!r}: allowed: {word}, or nothing")
    return given == word
