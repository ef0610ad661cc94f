"""What is held: outcomes and the broker's own closes taken into core, ledger and records."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from engine.decision import read
from engine.decision.account import book_cash, open_profit_ccy
from engine.decision.entries import EntryFill, cancel_entry, count_entry, open_position
from engine.decision.exits import apply_close, reduce_position
from engine.decision.money import round_ccy, round_lots
from engine.decision.state import Core
from engine.decision.switches import await_outcome, set_unsettled
from engine.execution.ledger import ClosedTrade, Ledger
from engine.execution.netted import explain
from engine.execution.outcomes import LOTS_EPS, deals_of, done
from engine.execution.reconcile import Reconciler
from engine.execution.terminal import Terminal
from engine.model.backoff import TicketBackoffs
from engine.model.broker import BrokerDeal, BrokerPosition
from engine.model.errors import BrokerError
from engine.model.orders import Intent, IntentState, Outcome
from engine.model.reasons import ExitReason
from engine.model.symbols import price_text
from engine.model.times import NS_PER_HOUR, to_datetime
from engine.portfolio.compile import CompiledPortfolio
from engine.trading.account import Balance, Others
from engine.trading.events import EventLog
from engine.trading.levels import Levels, or_zero
from engine.trading.recorder import Recorder, order_row

# DEAL_REASON_* of MetaTrader's deals.
_DEAL_REASONS = {4: ExitReason.STOP, 5: ExitReason.TARGET, 6: ExitReason.STOP_OUT}
# The terminal's positions and deals may lag behind each other; longer is a difference.
DIFFERENCE_S = 5.0


class Positions:
    """The slots' positions as the broker's answers make them."""

    def __init__(
        self,
        compiled: CompiledPortfolio,
        core: Core,
        *,
        terminal: Terminal,
        recorder: Recorder,
        events: EventLog,
        account: int,
        now_ns: Callable[[], int],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.core = core
        self.slots = [slot.name for slot in compiled.slots]
        self.ledger = Ledger(account=account)
        self.external: tuple[BrokerPosition, ...] = ()
        self.on_closed: Callable[[ClosedTrade], None] = lambda trade: None
        self.on_doubt: Callable[[str], object] = lambda reason: None
        self._symbols = compiled.symbol_index
        self.balance = Balance(
            terminal, recorder=recorder, events=events, now_ns=now_ns, monotonic_s=monotonic_s
        )
        self._others = Others(terminal, self.balance)
        self.levels = Levels(
            core, self.slots, terminal=terminal, recorder=recorder, events=events, now_ns=now_ns
        )
        self._terminal = terminal
        self._recorder = recorder
        self._events = events
        self._now_ns = now_ns
        self._reconciler = Reconciler(terminal, monotonic_s=monotonic_s)
        # Positions of intents that had been declared not executed, by ticket.
        self.late: dict[int, tuple[Intent, BrokerPosition]] = {}
        self._monotonic_s = monotonic_s
        self._judged: set[int] = set()
        self._unknown: dict[int, Intent] = {}
        # Of closes that the broker refused.
        self._backoffs = TicketBackoffs(now_ns)
        self._differing: dict[int, float] = {}
        # Lots that others hold in a slot's own position, on a netting account.
        self._others_lots: dict[int, float] = {}

    def reconfigure(
        self, compiled: CompiledPortfolio, core: Core, moved: Mapping[str, str]
    ) -> None:
        """Go on with another portfolio's core; `moved`: slots whose position another one takes."""
        slots = [slot.name for slot in compiled.slots]
        differing = {self.slots[slot]: since_s for slot, since_s in self._differing.items()}
        self._differing = {i: differing[s] for i, s in enumerate(slots) if s in differing}
        others = {moved.get(self.slots[s], self.slots[s]): n for s, n in self._others_lots.items()}
        self._others_lots = {i: others[s] for i, s in enumerate(slots) if s in others}
        self._unknown = {
            key: msgspec.structs.replace(intent, slot=slots.index(self.slots[intent.slot]))
            for key, intent in self._unknown.items()
        }
        self.ledger.open = {moved.get(s, s): trade for s, trade in self.ledger.open.items()}
        self.core, self.slots, self._symbols = core, slots, compiled.symbol_index
        self.levels.reconfigure(core, slots)

    def apply(self, intent: Intent, outcome: Outcome) -> None:
        """Take an intent's outcome into core, ledger and records."""
        self._recorder.add(order_row(intent, outcome, self._now_ns()))
        if outcome.state == IntentState.UNKNOWN:
            self.mark_unknown(intent)
            self._say("error", intent, f"outcome unknown, reconciling: {outcome.detail}")
            return
        self._unknown.pop(intent.id, None)
        left = any(other.slot == intent.slot for other in self._unknown.values())
        set_unsettled(self.core, intent.slot, left)
        if intent.action == "OPEN":
            self._apply_open(intent, outcome)
        elif outcome.state != IntentState.DONE:
            self._renew(intent, outcome)
        elif intent.position == read.position(self.core, intent.slot).ticket:
            self._backoffs.done(intent.position)
            self._close_slot(intent.slot, ExitReason(intent.reason), outcome, [outcome.order])
        else:
            self._late_closed(intent, outcome)

    def _renew(self, intent: Intent, outcome: Outcome) -> None:
        self._backoffs.refused(intent.position, outcome.detail)
        self._say("warning", intent, f"close refused, will be renewed: {outcome.detail}")

    def _apply_open(self, intent: Intent, outcome: Outcome) -> None:
        slot = intent.slot
        if outcome.state != IntentState.DONE:
            cancel_entry(self.core, slot)
            self._say("warning", intent, f"entry not filled: {outcome.detail}")
            return
        fill = EntryFill(
            direction=intent.direction,
            lots=outcome.lots,
            price=outcome.price,
            stop_distance=_distance(intent.price, intent.stop),
            target_distance=_distance(intent.price, intent.target),
            time_ns=outcome.time_ns,
            commission_ccy=outcome.commission_ccy,
            ticket=outcome.position,
            intent=intent.id,
        )
        open_position(self.core, slot, fill)
        count_entry(self.core, slot, intent.direction)
        position = read.position(self.core, slot)
        stop, target = position.stop, position.target
        row = self.ledger.opened(self.slots[slot], intent, outcome, stop, target)
        self._recorder.add(row)
        if (or_zero(stop), or_zero(target)) != (intent.stop, intent.target):
            self.levels.to_fill(slot)
        self._say(
            "info", intent, f"{row.direction} {outcome.lots:g} at {price_text(outcome.price)}"
        )

    def _close_slot(
        self, slot: int, reason: ExitReason, outcome: Outcome, orders: list[int]
    ) -> None:
        left_lots = read.position(self.core, slot).lots - outcome.lots
        if left_lots > LOTS_EPS:
            self._reduce_slot(slot, left_lots, outcome, orders)
            return
        apply_close(
            self.core,
            slot,
            int(reason),
            outcome.profit_ccy,
            outcome.commission_ccy,
            outcome.swap_ccy,
        )
        row, trade = self.ledger.closed(self.slots[slot], reason, outcome)
        self._recorder.add(row)
        self.on_closed(trade)
        self._events.add(
            "info",
            trade.opened.book,
            f"{trade.opened.symbol} closed by {reason.name.lower()} at "
            f"{price_text(trade.exit_price)}: {trade.profit_ccy:+z,.2f}",
        )

    def _reduce_slot(
        self, slot: int, left_lots: float, outcome: Outcome, orders: list[int]
    ) -> None:
        """Book a part that was closed: filled in part, or taken by a hand at the terminal."""
        reduce_position(
            self.core,
            slot,
            left_lots,
            outcome.profit_ccy,
            outcome.commission_ccy,
            outcome.swap_ccy,
        )
        self.ledger.reduced(self.slots[slot], outcome, orders)
        text = f"{outcome.lots:g} lots closed at {price_text(outcome.price)}, {left_lots:g} left"
        self._events.add("error", self.slots[slot], text)
        self._recorder.audit("POSITION", {"slot": self.slots[slot], "reduced": text})

    def book_broker_closes(self, *, look: bool = True) -> list[BrokerPosition]:
        """Take what the terminal did by itself: stops, targets, a hand; whole or in part.

        Return the positions that this was concluded from: a later reading is of another moment.
        What its deals do not explain for `DIFFERENCE_S` is a doubt: no entries until an operator
        resumes. What others hold is counted in the risk; a `look` reads their money anew, and sets
        levels again that the terminal has lost.

        Raises:
            BrokerError: the terminal could not be read; nothing was concluded.
        """
        found = self.read()
        self._book_closes({p.identifier: p for p in found})
        self.external = (*self.external, *self._shared(found))
        if look:
            self.levels.mend(found)
        settled = not (self._unknown or self.late or self._differing)
        self._others.count(self.core, self._symbols, self.external, settled=settled, look=look)
        return found

    def _book_closes(self, found: dict[int, BrokerPosition]) -> None:
        # Their own deals would be taken for the broker's.
        closing = {i.slot for i in self._unknown.values() if i.action == "CLOSE"}
        slots = [slot for slot in read.held_slots(self.core) if slot not in closing]
        self._others_lots = {s: lots for s, lots in self._others_lots.items() if s in slots}
        changed = [slot for slot in slots if self._lots_differ(slot, found)]
        if changed:
            earliest_ns = min(read.position(self.core, slot).entry_ns for slot in changed)
            deals = self._terminal.deals(earliest_ns - NS_PER_HOUR)
            newest_ns: dict[int, int] = {}
            for deal in deals:
                before_ns = newest_ns.get(deal.position_id, 0)
                newest_ns[deal.position_id] = max(before_ns, deal.time_ns)
            tickets = read.tickets(self.core)
            # In the order in which the broker closed them.
            for slot in sorted(changed, key=lambda s: (newest_ns.get(tickets[s], 0), s)):
                self._book_broker_close(slot, self._lots_left(slot, found), deals)
        differing = {slot for slot in slots if self.difference(slot, found)}
        for slot in self._differing.keys() - differing:
            del self._differing[slot]
        for slot in sorted(differing):
            self._report_difference(slot, self.difference(slot, found))

    def _lots_left(self, slot: int, found: dict[int, BrokerPosition]) -> float:
        """Return what the terminal holds of a slot, in the slot's direction."""
        held = read.position(self.core, slot)
        there = found.get(held.ticket)
        return 0.0 if there is None else there.lots * there.direction * held.direction

    def _lots_differ(self, slot: int, found: dict[int, BrokerPosition]) -> bool:
        ours = read.position(self.core, slot).lots + self._others_lots.get(slot, 0.0)
        return not abs(self._lots_left(slot, found) - ours) <= LOTS_EPS

    def difference(self, slot: int, found: dict[int, BrokerPosition]) -> str:
        """Return in what a held slot and the terminal do not agree, "" where they do."""
        held = read.position(self.core, slot)
        if held.direction == 0:
            return ""
        if self._lots_differ(slot, found):
            left = self._lots_left(slot, found)
            return f"{held.lots:g} lots here, {left:g} at the terminal, no deal says why"
        there = found[held.ticket]
        near = 0.5 * read.point(self.core, read.symbol_of(self.core, slot))
        apart = 0.0 if slot in self._others_lots else abs(there.entry_price - held.entry_price)
        if not apart <= near:
            here, other = price_text(held.entry_price), price_text(there.entry_price)
            return f"entry {here} here, {other} at the terminal"
        return ""

    def _book_broker_close(self, slot: int, left_lots: float, deals: list[BrokerDeal]) -> None:
        """Book the deals that took a slot to `left_lots`, as far as they explain it."""
        held = read.position(self.core, slot)
        trade = self.ledger.open[self.slots[slot]]
        own = [deal for deal in deals if deal.position_id == held.ticket]
        known = {trade.order, *trade.parts.orders}
        told = explain(held.lots, left_lots, known, own)
        if told is None:
            return
        if told.others_lots != self._others_lots.get(slot, 0.0):
            # Kept at 0 too: the position's entry price is a mean of theirs and ours from now on.
            self._others_lots[slot] = told.others_lots
            text = f"{told.others_lots:g} lots beyond its own are EXTERNAL"
            self._events.add("warning", self.slots[slot], text)
        if not told.closing:
            return
        last = told.closing[-1]
        outcome = Outcome(
            intent_id=0,
            state=IntentState.DONE,
            order=last.order,
            deal=last.ticket,
            position=last.position_id,
            lots=float(round_lots(held.lots - told.ours_lots)),
            price=last.price,
            profit_ccy=self._part(told.closed_frac, (d.profit_ccy for d in told.closing)),
            commission_ccy=self._part(told.closed_frac, (d.commission_ccy for d in told.closing)),
            swap_ccy=self._part(told.closed_frac, (d.swap_ccy for d in told.closing)),
            time_ns=last.time_ns,
        )
        reason = _DEAL_REASONS.get(last.reason, ExitReason.EXTERNAL)
        self._close_slot(slot, reason, outcome, list(told.orders))

    def _part(self, part: float, amounts_ccy: Iterable[float]) -> float:
        """Return a part of deals' money, in whole cents."""
        return float(round_ccy(part * sum(amounts_ccy), read.currency_digits(self.core)))

    def _report_difference(self, slot: int, text: str) -> None:
        now_s = self._monotonic_s()
        since_s = self._differing.setdefault(slot, now_s)
        if now_s - since_s < DIFFERENCE_S:
            return
        self._differing[slot] = math.inf  # said once
        self._events.add("critical", self.slots[slot], f"{text}; no new entries")
        self.on_doubt(f"{self.slots[slot]}: {text}")
        self._recorder.audit("POSITION", {"slot": self.slots[slot], "difference": text})

    def _shared(self, found: Iterable[BrokerPosition]) -> Iterator[BrokerPosition]:
        """Yield what others hold in positions of ours, as positions of theirs."""
        by_ticket = {read.position(self.core, s).ticket: s for s in self._others_lots}
        for there in found:
            slot = by_ticket.get(there.identifier)
            if slot is not None and self._others_lots[slot] > 0.0:
                part = self._others_lots[slot] / there.lots
                yield msgspec.structs.replace(
                    there,
                    magic=0,
                    lots=self._others_lots[slot],
                    profit_ccy=part * there.profit_ccy,
                    swap_ccy=part * there.swap_ccy,
                )

    def settle_unknown(self) -> list[Outcome]:
        """Look again for the intents whose outcome is unknown; return those that are settled.

        Raises:
            BrokerError: the terminal could not be read.
        """
        # After a restart a slot may hold what the broker closed before its entry was sent: that
        # close is booked first.
        held = read.held_slots(self.core)
        unknown = [i for i in self._unknown.values() if i.action == "CLOSE" or i.slot not in held]
        if not unknown:
            return []
        outcomes = self._reconciler.settle(unknown)
        for outcome in outcomes:
            intent = self._unknown[outcome.intent_id]
            self._say("warning", intent, f"outcome settled: {outcome.state.name}")
            self.apply(intent, outcome)
        return outcomes

    def mark_unknown(self, intent: Intent) -> None:
        """Have an intent without a certain outcome looked for; its slot sends nothing meanwhile."""
        self._unknown[intent.id] = intent
        await_outcome(
            self.core,
            intent.slot,
            entry=intent.action == "OPEN",
            direction=intent.direction,
            lots=intent.lots,
        )

    def unknown_in(self, symbol: str) -> bool:
        """Tell whether an intent of any book in a symbol is being looked for."""
        return any(intent.symbol == symbol for intent in self._unknown.values())

    def is_unknown(self, magic: int) -> bool:
        """Tell whether a magic belongs to an intent that is still being looked for."""
        return any(intent.magic == magic for intent in self._unknown.values())

    def read(self) -> list[BrokerPosition]:
        """Return the terminal's positions; those no slot owns become `external`."""
        found = self._terminal.positions()
        ours = set(read.tickets(self.core))
        self.external = tuple(p for p in found if p.identifier not in ours)
        self._find_late()
        return found

    def _find_late(self) -> None:
        """Find positions whose order had been declared not executed: they belong to it."""
        tickets = {p.identifier for p in self.external}
        self._judged &= tickets
        for ticket in self.late.keys() - tickets:
            del self.late[ticket]
        for position in self.external:
            if position.identifier in self._judged or self.is_unknown(position.magic):
                continue
            self._judged.add(position.identifier)
            intent = self._recorder.declared_not_executed(position.magic)
            if intent is not None:
                self.late[position.identifier] = (intent, position)
                name = f"{intent.book}/{intent.symbol}"
                if name in self.slots:
                    count_entry(self.core, self.slots.index(name), intent.direction)
                self._say("critical", intent, "was executed after all: closing it")

    def _late_closed(self, intent: Intent, outcome: Outcome) -> None:
        """Book a late order with its closing: all its deals, and what became of its intent.

        What was closed in part goes on being late.
        """
        opened, position = self.late.pop(intent.position, (None, None))
        amounts = [outcome.profit_ccy, outcome.commission_ccy, outcome.swap_ccy]
        left_lots = 0.0 if position is None else position.lots - outcome.lots
        if opened is not None and position is not None and left_lots > LOTS_EPS:
            rest = msgspec.structs.replace(position, lots=float(round_lots(left_lots)))
            self.late[intent.position] = (opened, rest)
        elif opened is not None:
            try:
                deals = self._terminal.deals(opened.created_ns - NS_PER_HOUR)
            except BrokerError as e:
                self._events.add("error", opened.book, f"entry of {intent.position} unread: {e}")
            else:
                if own := deals_of(opened, 0, deals):
                    entry = done(opened, own)
                    self._recorder.add(order_row(opened, entry, self._now_ns()))
                    self._recorder.settle(entry)
                    amounts.append(entry.commission_ccy)
        book_cash(self.core, sum(amounts))
        self._say("warning", intent, f"late order closed: {sum(amounts):+z,.2f}")

    def may_retry(self, ticket: int) -> bool:
        """Tell whether a refused close of a position may be renewed by now."""
        return self._backoffs.may_try(ticket)

    def goal(self, slot: int) -> str:
        """Return what becomes of a slot's position; "" while it is to stay."""
        position = read.position(self.core, slot)
        if position.unsettled:
            return "UNKNOWN: looking for the order's outcome"
        if not position.close_reason:
            return ""
        refused = self._backoffs.of(position.ticket)
        if refused is not None:
            return f"WAITING till {to_datetime(refused.until_ns):%H:%M:%S} UTC: {refused.why}"
        return f"CLOSING: {ExitReason(position.close_reason).name.lower()}"

    def retry_now(self) -> None:
        """Have every goal tried again at once: an operator asks for it."""
        self._backoffs.clear()

    def any_open(self) -> bool:
        """Tell whether anything is held or may be."""
        return bool(read.held_slots(self.core)) or bool(self._unknown) or bool(self.late)

    def open_profits_ccy(self) -> dict[str, float]:
        """Return each open slot's profit at the last quotes, swap included."""
        return {
            self.slots[slot]: open_profit_ccy(self.core, slot)
            + read.position(self.core, slot).swap_ccy
            for slot in read.held_slots(self.core)
        }

    def _say(self, level: str, intent: Intent, text: str) -> None:
        self._events.add(level, intent.book, f"{intent.symbol} {text}")


def _distance(price: float, level: float) -> float:
    return abs(price - level) if level else math.nan
