"""What is held: outcomes and the broker's own closes taken into core, ledger and records."""

import math
from collections.abc import Callable

import numpy as np

from engine.decision.account import open_profit_ccy
from engine.decision.entries import apply_open, cancel_entry
from engine.decision.exits import apply_close
from engine.decision.state import Core
from engine.execution.ledger import ClosedTrade, Ledger
from engine.execution.reconcile import Reconciler
from engine.execution.terminal import Terminal
from engine.model.broker import BrokerDeal, BrokerPosition
from engine.model.errors import BrokerError
from engine.model.orders import Intent, IntentState, Outcome
from engine.model.reasons import ExitReason
from engine.model.times import NS_PER_HOUR, NS_PER_S
from engine.portfolio.compile import CompiledPortfolio
from engine.runtime.events import EventLog
from engine.runtime.recorder import Recorder
from engine.runtime.records import order_row

# DEAL_REASON_* of MetaTrader's deals.
_DEAL_REASONS = {4: ExitReason.STOP, 5: ExitReason.TARGET, 6: ExitReason.STOP_OUT}
_LOTS_EPS = 1e-9
RETRY_S = 1.0


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
    ) -> None:
        self.core = core
        self.slots = [f"{slot.book.name}/{slot.symbol}" for slot in compiled.slots]
        self.ledger = Ledger(account=account)
        self.external: tuple[BrokerPosition, ...] = ()
        self.on_closed: Callable[[ClosedTrade], None] = lambda trade: None
        self._compiled = compiled
        self._terminal = terminal
        self._recorder = recorder
        self._events = events
        self._now_ns = now_ns
        self._reconciler = Reconciler(terminal)
        self._unknown: dict[int, Intent] = {}
        self._retry_ns: dict[int, int] = {}

    def apply(self, intent: Intent, outcome: Outcome) -> None:
        """Take an intent's outcome into core, ledger and records."""
        position = self.core.positions[intent.slot]
        self._recorder.add(order_row(intent, outcome, self._now_ns()))
        position["unsettled"] = int(outcome.state == IntentState.UNKNOWN)
        if outcome.state == IntentState.UNKNOWN:
            self._unknown[intent.id] = intent
            self._say("error", intent, f"outcome unknown, reconciling: {outcome.detail}")
            return
        self._unknown.pop(intent.id, None)
        if intent.action == "OPEN":
            self._apply_open(intent, outcome)
        elif outcome.state == IntentState.DONE:
            self._close_slot(intent.slot, ExitReason(intent.reason), outcome)
        else:
            self._retry_ns[intent.slot] = self._now_ns() + int(RETRY_S * NS_PER_S)
            self._say("warning", intent, f"close refused, will be renewed: {outcome.detail}")

    def _apply_open(self, intent: Intent, outcome: Outcome) -> None:
        slot = intent.slot
        if outcome.state != IntentState.DONE:
            cancel_entry(self.core, slot)
            self._say("warning", intent, f"entry not filled: {outcome.detail}")
            return
        position = self.core.positions[slot]
        position["pending_direction"] = intent.direction
        position["pending_stop_distance"] = _distance(intent.price, intent.stop)
        position["pending_target_distance"] = _distance(intent.price, intent.target)
        apply_open(
            self.core, slot, outcome.price, outcome.lots, outcome.time_ns, outcome.commission_ccy
        )
        position["ticket"] = outcome.position
        position["intent"] = intent.id
        stop, target = float(position["stop"]), float(position["target"])
        row = self.ledger.opened(self.slots[slot], intent, outcome, stop, target)
        self._recorder.add(row)
        if (or_zero(stop), or_zero(target)) != (intent.stop, intent.target):
            self._move_levels(slot)
        self._say("info", intent, f"{row.direction} {outcome.lots:g} at {outcome.price:g}")

    def _move_levels(self, slot: int) -> None:
        """Set stop and target anew from a fill that was not at the expected price."""
        position = self.core.positions[slot]
        stop, target = or_zero(position["stop"]), or_zero(position["target"])
        try:
            for held in self._terminal.positions():
                if held.identifier == position["ticket"]:
                    self._terminal.modify(held, stop, target)
        except BrokerError as e:
            self._events.add("error", self.slots[slot], f"levels not moved to the fill: {e}")

    def _close_slot(self, slot: int, reason: ExitReason, outcome: Outcome) -> None:
        position = self.core.positions[slot]
        missing = float(position["lots"]) - outcome.lots
        if missing > _LOTS_EPS:
            self._events.add(
                "error",
                self.slots[slot],
                f"partly closed, {missing:g} lots left: the goal to close stays",
            )
            position["lots"] = round(missing, 8)
            self.core.account[0]["balance_ccy"] += (
                outcome.profit_ccy + outcome.commission_ccy + outcome.swap_ccy
            )
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
            f"{trade.opened.symbol} closed by {reason.name.lower()} at {trade.exit_price:g}: "
            f"{trade.profit_ccy:+,.2f}",
        )

    def book_broker_closes(self) -> None:
        """Book positions that the broker closed: stops, targets, a hand at the terminal."""
        held = self.core.positions["direction"] != 0
        if not held.any():
            return
        present = {p.identifier for p in self.read()}
        gone = [
            int(slot)
            for slot in np.flatnonzero(held)
            if int(self.core.positions[slot]["ticket"]) not in present
            and not self.core.positions[slot]["unsettled"]
        ]
        if not gone:
            return
        earliest_ns = min(int(self.core.positions[slot]["entry_ns"]) for slot in gone)
        deals = self._terminal.deals(earliest_ns - NS_PER_HOUR)
        for slot in gone:
            self._book_broker_close(slot, deals)

    def _book_broker_close(self, slot: int, deals: list[BrokerDeal]) -> None:
        ticket = int(self.core.positions[slot]["ticket"])
        own = [d for d in deals if d.position_id == ticket and d.entry in (1, 3)]
        if not own:
            self._events.add("warning", self.slots[slot], "gone at the terminal, no deal yet")
            return
        last = own[-1]
        self._close_slot(
            slot,
            _DEAL_REASONS.get(last.reason, ExitReason.EXTERNAL),
            Outcome(
                intent_id=0,
                state=IntentState.DONE,
                order=last.order,
                deal=last.ticket,
                position=ticket,
                lots=float(self.core.positions[slot]["lots"]),
                price=last.price,
                profit_ccy=sum(d.profit_ccy for d in own),
                commission_ccy=sum(d.commission_ccy for d in own),
                swap_ccy=sum(d.swap_ccy for d in own),
                time_ns=last.time_ns,
            ),
        )

    def settle_unknown(self) -> list[Outcome]:
        """Look again for the intents whose outcome is unknown; return those that are settled.

        Raises:
            BrokerError: the terminal could not be read.
        """
        if not self._unknown:
            return []
        outcomes = self._reconciler.settle(list(self._unknown.values()))
        for outcome in outcomes:
            intent = self._unknown[outcome.intent_id]
            self._say("warning", intent, f"outcome settled: {outcome.state.name}")
            self.apply(intent, outcome)
        return outcomes

    def mark_unknown(self, intent: Intent) -> None:
        """Have an intent without a certain outcome looked for; its slot sends nothing meanwhile."""
        self._unknown[intent.id] = intent
        self.core.positions[intent.slot]["unsettled"] = 1

    def is_unknown(self, magic: int) -> bool:
        """Tell whether a magic belongs to an intent that is still being looked for."""
        return any(intent.magic == magic for intent in self._unknown.values())

    def read(self) -> list[BrokerPosition]:
        """Return the terminal's positions; those no slot owns become `external`."""
        found = self._terminal.positions()
        ours = {int(ticket) for ticket in self.core.positions["ticket"]}
        self.external = tuple(p for p in found if p.identifier not in ours)
        return found

    def may_retry(self, slot: int) -> bool:
        """Tell whether a refused close may be renewed by now."""
        return self._now_ns() >= self._retry_ns.get(slot, 0)

    def any_open(self) -> bool:
        """Tell whether anything is held or may be."""
        return bool((self.core.positions["direction"] != 0).any()) or bool(self._unknown)

    def open_profits_ccy(self) -> dict[str, float]:
        """Return each open slot's profit at the last quotes, swap included."""
        return {
            self.slots[slot]: open_profit_ccy(self.core, int(slot))
            + float(self.core.positions[slot]["swap_ccy"])
            for slot in np.flatnonzero(self.core.positions["direction"] != 0)
        }

    def _say(self, level: str, intent: Intent, text: str) -> None:
        self._events.add(level, intent.book, f"{intent.symbol} {text}")


def or_zero(level: float) -> float:
    """Return a level as MetaTrader writes it: 0.0 for none."""
    return 0.0 if math.isnan(level) else float(level)


def _distance(price: float, level: float) -> float:
    return abs(price - level) if level else math.nan
