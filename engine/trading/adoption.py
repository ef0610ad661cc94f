"""An operator's word that a position of others is a book's own from now on."""

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from engine.decision import read
from engine.decision.entries import EntryFill, open_position
from engine.decision.switches import decide_anew
from engine.execution.ledger import Parts
from engine.model.broker import BrokerPosition
from engine.model.errors import BrokerError, Refused, TryAgain, UserError
from engine.model.near import meant
from engine.model.orders import Intent, IntentState, Outcome
from engine.model.symbols import price_text
from engine.model.times import NS_PER_HOUR

if TYPE_CHECKING:
    from engine.trading.trader import Trader


def adopt(trader: "Trader", ticket: str, book: str) -> str:
    """Give an EXTERNAL position to a book; return what was done.

    It comes with its entry price, its levels, and what it has made so far. From the next decision
    on it is held and closed as the book's own.

    Raises:
        UserError: there is no such position or book; nothing was changed.
        Refused: the book cannot hold it.
        TryAgain: the terminal does not answer, or an order is being looked for.
    """
    position = _external(trader, ticket)
    slot = _free_slot(trader, book, position.symbol)
    orders = _orders(trader, position)
    _hold(trader, slot, position, orders)
    side = "long" if position.direction > 0 else "short"
    text = f"{position.symbol} {side} {position.lots:g} at {price_text(position.entry_price)}"
    trader.events.add("warning", book, f"adopted position {position.ticket}: {text}")
    return f"{book} holds position {position.ticket} from now on: {text}"


def _external(trader: "Trader", ticket: str) -> BrokerPosition:
    try:
        trader.positions.book_broker_closes()
    except BrokerError as e:
        raise TryAgain(f"the terminal does not answer: {e}") from None
    owned = set(read.tickets(trader.core))
    for position in trader.positions.external:
        if ticket in (str(position.ticket), str(position.identifier)):
            if position.identifier in owned or position.identifier in trader.positions.late:
                raise Refused(f"position {ticket} is a book's own already")
            if trader.positions.is_unknown(position.magic):
                raise TryAgain(f"position {ticket} may be of an order that is being looked for")
            return position
    raise UserError(f"there is no EXTERNAL position {ticket}")


def _free_slot(trader: "Trader", book: str, symbol: str) -> int:
    name = f"{book}/{symbol}"
    if name not in trader.names.slots:
        books = [s.book.name for s in trader.compiled.slots if s.symbol == symbol]
        raise UserError(f"no book {book!r} trades {symbol}{meant(book, books)}")
    slot = trader.names.slots.index(name)
    held = read.position(trader.core, slot)
    if held.direction != 0:
        raise Refused(f"{name} holds a position already")
    if held.unsettled:
        raise TryAgain(f"{name} has an order that is being looked for")
    return slot


def _orders(trader: "Trader", position: BrokerPosition) -> tuple[int, ...]:
    """Return the orders that made the position what it is: none of them is news later."""
    try:
        deals = trader.terminal.deals(position.opened_ns - NS_PER_HOUR)
    except BrokerError as e:
        raise TryAgain(f"the terminal does not answer: {e}") from None
    return tuple({d.order for d in deals if d.position_id == position.identifier})


def _hold(trader: "Trader", slot: int, position: BrokerPosition, orders: tuple[int, ...]) -> None:
    which = trader.compiled.slots[slot]
    members = [trader.compiled.strategies[m].name for m in which.members]
    fill = EntryFill(
        direction=position.direction,
        lots=position.lots,
        price=position.entry_price,
        stop_distance=_distance(position, position.stop),
        target_distance=-_distance(position, position.target),
        time_ns=position.opened_ns,
        commission_ccy=0.0,
        ticket=position.identifier,
        intent=0,
    )
    open_position(trader.core, slot, fill)
    decide_anew(trader.core, slot)  # the book decides on it at its next bar
    intent = Intent(
        id=0,
        magic=position.identifier,
        book=which.book.name,
        slot=slot,
        symbol=position.symbol,
        action="OPEN",
        direction=position.direction,
        lots=position.lots,
        price=position.entry_price,
        stop=position.stop,
        target=position.target,
        position=0,
        reason=0,
        created_ns=position.opened_ns,
        batch_ns=position.opened_ns,
        shares=dict.fromkeys(members, 1.0 / len(members)),
    )
    outcome = Outcome(
        intent_id=0,
        state=IntentState.DONE,
        position=position.identifier,
        lots=position.lots,
        price=position.entry_price,
        time_ns=position.opened_ns,
    )
    ledger, name = trader.positions.ledger, trader.names.slots[slot]
    held = read.position(trader.core, slot)
    trader.recorder.add(ledger.opened(name, intent, outcome, held.stop, held.target))
    parts = Parts(orders=orders)
    ledger.open[name] = msgspec.structs.replace(ledger.open[name], parts=parts)
    trader.positions.book_broker_closes()


def _distance(position: BrokerPosition, level: float) -> float:
    """Return how far a level is on the losing side of the entry, NaN for none."""
    return (position.entry_price - level) * position.direction if level else np.nan
