"""Strategies and books brought into the running engine and taken out again; their shares set.

What is slow (starting hosts, asking the terminal for a new symbol) is done on the thread of who
asks; the engine thread exchanges portfolio and hosts between two batches. Everything that both
portfolios have keeps its state to the last bit.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from engine.decision import read, switches
from engine.decision.allocation.sizing import ALLOCATION_MAX
from engine.decision.read import PositionReading
from engine.execution.journal import Journal
from engine.hosts.contract import Hosts, Prepared
from engine.model.errors import PmproError, Refused, StrategyError, TryAgain, UserError
from engine.model.near import meant
from engine.model.portfolio import Portfolio
from engine.model.records import StrategyRow
from engine.portfolio.compile import CompiledPortfolio, Slot, compile_portfolio, points
from engine.portfolio.edit import (
    members_of,
    shared,
    taken_out,
    with_added,
    with_share,
    without,
)
from engine.trading.events import EventLog
from engine.trading.restart import book_numbers
from engine.trading.trader import Trader


class ChangeMeans(NamedTuple):
    """What a change needs of the terminal, and where the changed portfolio is kept."""

    specify: Callable[[CompiledPortfolio], CompiledPortfolio]
    """Put the terminal's own specifications in."""
    watch: Callable[[Sequence[str], int], None]
    """Have these symbols watched, new ones from a moment on."""
    keep: Callable[[Portfolio], None]
    keep_removed: Callable[[Mapping[str, Any], str], Path]
    """Keep the tables of a target that is removed; where."""


class NextPortfolio(NamedTuple):
    """A portfolio that is ready to take the place of `base`.

    `names` are the strategies that are new, `book` is the one whose members have other shares, ""
    for none; `told` is what the operator is told.
    """

    base: Portfolio
    compiled: CompiledPortfolio
    hosts: Prepared
    names: Sequence[str]
    told: str
    book: str = ""


class Changes:
    """Changes of one engine's portfolio; `prepare_…` on any thread, the rest on the engine's."""

    def __init__(
        self, hosts: Hosts, journal: Journal, events: EventLog, terms: ChangeMeans
    ) -> None:
        self._hosts = hosts
        self._journal = journal
        self._events = events
        self._terms = terms
        # Targets that are removed when these positions are closed, by ticket.
        self._leaving: dict[str, set[int]] = {}

    def prepare_addition(self, trader: Trader, text: str) -> NextPortfolio:
        """Make strategies ready that are given as a portfolio's tables in JSON; takes seconds.

        Raises:
            UserError: what is given is wrong, or a strategy fails at once.
        """
        base = trader.compiled.portfolio
        try:
            tables = msgspec.json.decode(text, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise StrategyError(f"what is to be added is not understood: {error}") from None
        compiled = self._terms.specify(compile_portfolio(with_added(base, tables)))
        hosts = self._hosts.prepare(compiled.strategies, points(compiled.symbols))
        known = {strategy.name for strategy in base.strategy}
        names = [s.name for s in compiled.portfolio.strategy if s.name not in known]
        for name in names:
            if name in hosts.faults:
                self._hosts.discard(hosts)
                raise StrategyError(f"{name}: {hosts.faults[name]}")
        return NextPortfolio(base, compiled, hosts, names, f"added {', '.join(names)}")

    def prepare_share(self, trader: Trader, target: str, share_frac: float) -> NextPortfolio:
        """Make ready that a member has this share of its book, a book of the account.

        Raises:
            ConfigError: `engine.portfolio.edit.with_share` says why not.
        """
        base = trader.compiled.portfolio
        changed = with_share(base, target, share_frac)
        compiled = compile_portfolio(changed).with_symbols(trader.compiled.symbols)
        hosts = self._hosts.prepare(compiled.strategies, points(compiled.symbols))
        book = shared(base, target).book
        return NextPortfolio(base, compiled, hosts, (), _share_told(base, changed, target), book)

    def succeed(self, trader: Trader, ready: NextPortfolio) -> str:
        """Have what was prepared trade from the next batch on.

        Raises:
            TryAgain: another change came in between, or an order of a book is being looked for.
        """
        if trader.compiled.portfolio is not ready.base or not self._hosts.fits(ready.hosts):
            self._hosts.discard(ready.hosts)
            raise TryAgain("the portfolio was changed at the same time: try again")
        new = set(ready.names)
        changed = {
            slot.name
            for slot in ready.compiled.slots
            if slot.book.name == ready.book or new & _members(ready.compiled, slot)
        }
        _refuse_unsettled(trader, changed & set(trader.names.slots))
        self._exchange(trader, ready.compiled, ready.hosts)
        return ready.told

    def remove(self, trader: Trader, target: str, how: str) -> str:
        """Take a strategy or book out: at once if it holds nothing or hands over, else when flat.

        `how`: "" (it must hold nothing), "flatten", "keep" or "to BOOK".

        Raises:
            Refused: it holds a position, or nobody can take that over.
            TryAgain: an order of it is being looked for.
            UserError: nothing has that name, or the rest would be no portfolio.
        """
        portfolio = trader.compiled.portfolio
        gone = members_of(portfolio, target)
        compiled = compile_portfolio(without(portfolio, target)).with_symbols(
            trader.compiled.symbols
        )
        slots = [s.name for s in trader.compiled.slots if gone & _members(trader.compiled, s)]
        held = [name for name in slots if _position(trader, name).direction != 0]
        if how == "flatten" and (held or _unsettled(trader, slots)):
            self._leaving[target] = {_position(trader, name).ticket for name in held}
            return _closing(target, len(held))
        _refuse_unsettled(trader, slots)
        moved = _successors(trader, compiled, held, how)
        prepared = self._hosts.prepare(compiled.strategies, points(compiled.symbols))
        rows = _last_rows(trader, gone)
        undo = self._undo(portfolio, target)
        self._exchange(trader, compiled, prepared, moved)
        trader.recorder.add(*rows)
        return f"removed {', '.join(sorted(gone))}; {undo}"

    def _undo(self, portfolio: Portfolio, target: str) -> str:
        """Keep what is about to be removed; return how it comes back."""
        try:
            path = self._terms.keep_removed(taken_out(portfolio, target), target)
        except OSError as error:
            return f"its tables could not be kept: {error}"
        return f"`pmpro strategy add {path}` brings it back, with a new shadow record"

    def finish(self, trader: Trader) -> None:
        """Remove what was to be closed first and is closed by now; every turn."""
        for target, tickets in list(self._leaving.items()):
            if tickets & set(read.tickets(trader.core)):
                continue
            try:
                # What a book's other members have opened since is theirs.
                text = self.remove(trader, target, "keep")
            except (Refused, TryAgain):
                continue
            except PmproError as error:
                text = f"not removed: {error}"
            del self._leaving[target]
            self._events.add("warning", target, text)
            trader.save()

    def _exchange(
        self,
        trader: Trader,
        compiled: CompiledPortfolio,
        prepared: Prepared,
        moved: Mapping[str, str] | None = None,
    ) -> None:
        before, watched = trader.compiled.portfolio, trader.names.symbols
        trader.reconfigure(compiled, book_numbers(self._journal, compiled), moved or {})
        for name, fault in self._hosts.install(prepared).items():
            trader.quarantine_member(name, fault)
        symbols = compiled.names.symbols
        if set(symbols) != set(watched):
            self._terms.watch(symbols, read.account(trader.core).batch_ns)
        add_portfolio_rows(trader)
        trader.recorder.audit(
            "STRATEGY",
            {"before": _listed(before), "after": _listed(compiled.portfolio), "moved": moved or {}},
        )
        trader.save()  # first: the portfolio before knows the slots that positions moved to
        try:
            self._terms.keep(compiled.portfolio)
        except OSError as error:
            self._events.add("critical", "engine", f"the next start will not know: {error}")


def close_for_removal(trader: Trader, target: str) -> str:
    """Stop a target's entries and have its books' positions closed: plain stores, any thread.

    Raises:
        ConfigError: it cannot be removed.
    """
    gone = members_of(trader.compiled.portfolio, target)
    without(trader.compiled.portfolio, target)
    slots = {switches.kill(trader.core, trader.names.members.index(name)) for name in gone}
    switches.close_slots(trader.core, slots)
    held = slots & set(read.held_slots(trader.core))
    trader.urgent.set()
    return _closing(target, len(held))


def _closing(target: str, n_held: int) -> str:
    return f"closing {n_held} position(s) of {target}; it is removed when they are closed"


def _members(compiled: CompiledPortfolio, slot: Slot) -> set[str]:
    return {compiled.strategies[m].name for m in slot.members}


def _position(trader: Trader, slot: str) -> PositionReading:
    return read.position(trader.core, trader.names.slots.index(slot))


def _unsettled(trader: Trader, slots: Iterable[str]) -> list[str]:
    late = {f"{opened.book}/{opened.symbol}" for opened, _ in trader.positions.late.values()}
    return [name for name in slots if name in late or _position(trader, name).unsettled]


def _refuse_unsettled(trader: Trader, slots: Iterable[str]) -> None:
    for name in _unsettled(trader, slots):
        raise TryAgain(f"{name}: an order's outcome is being looked for; try again")


def _successors(
    trader: Trader, compiled: CompiledPortfolio, held: Sequence[str], how: str
) -> dict[str, str]:
    """Return which slot takes over which position, by name.

    Raises:
        Refused: a position has no successor, or how it is to be dealt with was not said.
        UserError: the book that is named is none in that symbol.
    """
    slots = {slot.name for slot in compiled.slots}
    if held and not how:
        raise Refused(f"{', '.join(held)}: holds a position; use --flatten, --keep or --to BOOK")
    moved = {}
    for name in held:
        _, _, symbol = name.partition("/")
        successor = f"{how.removeprefix('to ')}/{symbol}" if how.startswith("to ") else name
        if successor not in slots:
            if successor == name:
                raise Refused(f"{name}: no other member in {symbol} is left to take the position")
            book = successor.split("/")[0]
            hint = meant(book, [s.book.name for s in compiled.slots if s.symbol == symbol])
            raise UserError(f"{name}: no book {book!r} in {symbol} is left to take it{hint}")
        if successor != name:
            _refuse_unsettled(trader, [successor])
            if _position(trader, successor).direction != 0:
                raise Refused(f"{successor} holds a position of its own")
            moved[name] = successor
    return moved


def _last_rows(trader: Trader, gone: set[str]) -> list[StrategyRow]:
    """Return what the database is to show of strategies that are gone."""
    return [
        StrategyRow(
            name=strategy.name,
            kind=strategy.kind,
            config=msgspec.to_builtins(strategy),
            enabled=False,
            allocation=0.0,
            time_ns=read.account(trader.core).batch_ns,
        )
        for strategy in trader.compiled.strategies
        if strategy.name in gone
    ]


def _share_told(before: Portfolio, after: Portfolio, target: str) -> str:
    whole, unit, shares = shared(after, target)
    was, now = shared(before, target).share_frac[unit], shares[unit]
    of = f"book {whole}" if whole else "the account"
    text = f"{unit} has {now:.1%} of {of}; it had {was:.1%}"
    if not whole and now * len(shares) > ALLOCATION_MAX:
        text += f"; sizes count it as {ALLOCATION_MAX / len(shares):.1%}, {ALLOCATION_MAX:g} times"
        text += " the equal share"
    return text


def _listed(portfolio: Portfolio) -> dict[str, Any]:
    return {
        "strategies": [strategy.name for strategy in portfolio.strategy],
        "books": {book.name: book.members for book in portfolio.book},
        "shares": portfolio.allocation.shares,
    }


def add_portfolio_rows(trader: Trader) -> None:
    """Record every book and strategy as the portfolio has them."""
    now_ns = read.account(trader.core).batch_ns
    n_books = len({slot.book.name for slot in trader.compiled.slots})
    for index, slot in enumerate(trader.compiled.slots):
        trader.recorder.add(
            StrategyRow(
                name=slot.book.name,
                kind="ENSEMBLE",
                config=msgspec.to_builtins(slot.book),
                enabled=True,
                allocation=read.position(trader.core, index).allocation / n_books,
                time_ns=now_ns,
            )
        )
    for index, strategy in enumerate(trader.compiled.strategies):
        slot = trader.compiled.slots[read.slot_of(trader.core, index)]
        if strategy.name == slot.book.name:
            continue
        member = read.member(trader.core.outputs, index)
        trader.recorder.add(
            StrategyRow(
                name=strategy.name,
                kind=strategy.kind,
                config=msgspec.to_builtins(strategy),
                enabled=bool(member.enabled),
                allocation=member.share / n_books,
                time_ns=now_ns,
            )
        )
