"""After a start: what was saved, what the terminal says, and whether the two agree."""

from collections.abc import Iterable, Sequence

import msgspec

from engine.decision.switches import settle_all
from engine.execution.journal import Journal
from engine.model.broker import BrokerPosition
from engine.model.orders import book_of, intent_of
from engine.model.reasons import ExitReason
from engine.model.times import NS_PER_DAY
from engine.portfolio.compile import CompiledPortfolio
from engine.trading.trader import Trader

EVIDENCE_NS = 7 * NS_PER_DAY


def book_numbers(journal: Journal, compiled: CompiledPortfolio) -> dict[str, int]:
    """Return each book's number, the same for ever: magics are made of it."""
    numbers: dict[str, int] = dict(journal.flags().get("books", {}))
    for slot in compiled.slots:
        numbers.setdefault(slot.book.name, max(numbers.values(), default=0) + 1)
    journal.commit(flags={"books": numbers})
    return numbers


def restore(trader: Trader, journal: Journal) -> list[str]:
    """Load state and goals; return a complaint for each saved position that has no slot now."""
    if journal.flags().get("flattening"):
        trader.flattening = ExitReason.FLATTEN
    saved = journal.load_core()
    if saved is None:
        return []
    return [
        f"{name}: held a position, but the portfolio has no such book and symbol any more"
        for name in trader.load(saved)
    ]


def reconcile(trader: Trader, journal: Journal) -> list[str]:
    """Take the terminal's evidence into the state; return what does not balance, a line each.

    Intents without a certain outcome are looked for; stops and targets that were hit meanwhile
    are booked.
    """
    slots = {name: i for i, name in enumerate(trader.names.slots)}
    orphans = []
    settle_all(trader.core)
    for intent in journal.unsettled():
        slot = slots.get(f"{intent.book}/{intent.symbol}")
        if slot is None:
            orphans.append(f"intent {intent.id} of {intent.book}: unsettled, and its book is gone")
        else:
            trader.positions.mark_unknown(msgspec.structs.replace(intent, slot=slot))
    trader.skip_ids(_highest_id(trader))
    trader.positions.book_broker_closes()
    trader.settle_unknown()
    found = trader.positions.book_broker_closes()
    return orphans + _slot_complaints(trader, found) + _owner_complaints(trader)


def doubt_unless_balanced(trader: Trader, complaints: Sequence[str]) -> None:
    """Refuse entries where start-up does not balance: nothing is traded "as if"."""
    for complaint in complaints:
        trader.events.add("critical", "reconcile", complaint)
    if complaints:
        trader.doubt("does not balance with the terminal: see events, then resume")


def _highest_id(trader: Trader) -> int:
    """Return the highest intent id that the terminal knows: a lost journal must not repeat one."""
    since_ns = trader.now_ns() - EVIDENCE_NS
    seen = [deal.magic for deal in trader.terminal.deals(since_ns)]
    seen += [position.magic for position in trader.terminal.positions()]
    return max((intent_of(m) for m in seen if book_of(m) in trader.known_books()), default=0)


def _slot_complaints(trader: Trader, found: Iterable[BrokerPosition]) -> list[str]:
    by_id = {p.identifier: p for p in found}
    differences = (trader.positions.difference(s, by_id) for s in range(len(trader.names.slots)))
    named = zip(trader.names.slots, differences, strict=True)
    return [f"{name}: {text}" for name, text in named if text]


def _owner_complaints(trader: Trader) -> list[str]:
    return [
        f"position {p.ticket} {p.symbol} {p.lots:g} lots carries our magic, nobody here owns it"
        for p in trader.positions.external
        if book_of(p.magic) in trader.known_books()
        and not trader.positions.is_unknown(p.magic)
        and p.identifier not in trader.positions.late
    ]
