"""What the target of a command stands for, and its switches.

A target is a strategy, a book and all in it, a symbol, or the tickets of positions.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from engine.decision import read, switches
from engine.model.errors import Refused, UserError
from engine.model.near import meant
from engine.model.reasons import Refusal

if TYPE_CHECKING:
    from engine.trading.trader import Trader


def members_of(trader: "Trader", target: str) -> list[int]:
    """Return the indices of the members that a strategy's or a book's name stands for.

    Raises:
        UserError: there is none.
    """
    members = members_or_none(trader, target)
    if not members:
        raise UserError(f"no strategy or book is named {target!r}{hint(trader, target)}")
    return members


def members_or_none(trader: "Trader", target: str) -> list[int]:
    """Return the same, empty where there is none."""
    if target in trader.names.members:
        return [trader.names.members.index(target)]
    return [m for s in trader.compiled.slots if s.book.name == target for m in s.members]


def symbol_of(trader: "Trader", target: str) -> int | None:
    """Return the traded symbol a name stands for, None where it is a strategy's or a book's."""
    if members_or_none(trader, target) or target not in trader.names.symbols:
        return None
    return trader.names.symbols.index(target)


def names_of(trader: "Trader", target: str) -> list[str]:
    """Return the members a name stands for, by name, or the symbol."""
    members = [trader.names.members[m] for m in members_or_none(trader, target)]
    return members or [target]


def barred_books(trader: "Trader", members: Iterable[int]) -> dict[str, str]:
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


def hint(trader: "Trader", target: str, more: Iterable[str] = ()) -> str:
    """Return the words that end a refusal of a name: which one was meant, if one is near."""
    books = (slot.book.name for slot in trader.compiled.slots)
    return meant(target, [*trader.names.members, *books, *more])


def kill(trader: "Trader", target: str, *, close: bool) -> None:
    """Kill a strategy, a book or a symbol; `close` what its books hold, whoever else votes.

    Raises:
        UserError: nothing is named so.
    """
    core, symbol = trader.core, symbol_of(trader, target)
    if symbol is not None:
        switches.kill_symbol(core, symbol)
        return
    members = members_or_none(trader, target)
    if not members:
        more = hint(trader, target, trader.names.symbols)
        raise UserError(f"no strategy, book or symbol is named {target!r}{more}")
    slots = {switches.kill(core, m) for m in members}
    if close:
        switches.close_slots(core, slots)
    switches.kill_held(core)  # a book whose members are all out closes now


def enable(trader: "Trader", target: str, user: str) -> str:
    """Let a strategy, a book or a symbol enter again, lifting what a rule barred.

    Raises:
        UserError: nothing is named so.
    """
    symbol = symbol_of(trader, target)
    if symbol is not None:
        switches.enable_symbol(trader.core, symbol)
        trader.pauses.end(target)
        return f"enabled {target}; its books may enter again"
    members = members_of(trader, target)
    barred = barred_books(trader, members)
    for m in members:
        switches.enable(trader.core, m)
    for book, rule in barred.items():
        trader.events.add("warning", book, f"{rule} is lifted by {user}: it may enter")
        numbers = {"book": book, "lifted": rule}
        trader.recorder.audit("RISK_CHECK", numbers, actor=user)
    lifted = "".join(f"; {rule} of {book} is lifted" for book, rule in barred.items())
    return f"enabled {target}{lifted}; it enters at its next change"


def close(trader: "Trader", target: str) -> str:
    """Give positions, named by their tickets, the goal to close; say which are not open.

    Raises:
        UserError: none of them is open.
        Refused: none of them is ours.
    """
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
