"""The live decision loop: the same phases as the backtest, with a broker behind them.

One thread owns a Trader. Other threads may set kill, halt and flatten flags directly
(`engine.decision.switches`): they are plain stores that the next decision reads.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np

from engine.decision.account import guard, open_profit_ccy, roll_day, set_quote, update_conversions
from engine.decision.batch import N_REFUSALS, begin_batch, decide_entries, decide_exits
from engine.decision.entries import apply_open, cancel_entry, entry_levels
from engine.decision.exits import apply_close, exit_price
from engine.decision.saved import Names, dump_core, load_core
from engine.decision.signals import combine, take_signal
from engine.decision.switches import flatten, quarantine
from engine.execution.journal import CoreState, Journal
from engine.execution.ledger import ClosedTrade, Ledger
from engine.execution.reconcile import Reconciler
from engine.execution.router import Router
from engine.execution.terminal import Terminal
from engine.model.bars import BAR_DTYPE, Bars
from engine.model.broker import BrokerDeal, BrokerPosition, MarketUpdate
from engine.model.errors import BrokerError, JournalError
from engine.model.orders import Intent, IntentState, Outcome, magic_of
from engine.model.reasons import ExitReason
from engine.model.records import AuditRow, Record
from engine.model.server_clock import ServerClock
from engine.model.signals import HOLD, StrategySignal
from engine.model.times import NS_PER_HOUR, NS_PER_S
from engine.portfolio.compile import CompiledPortfolio
from engine.runtime.events import EventLog
from engine.runtime.hosts import Hosts
from engine.runtime.records import bars_row, order_row, signal_row

# DEAL_REASON_* of MetaTrader's deals.
_DEAL_REASONS = {4: ExitReason.STOP, 5: ExitReason.TARGET, 6: ExitReason.STOP_OUT}
RETRY_S = 1.0


class Saved(msgspec.Struct):
    """What the engine saves beside the core."""

    ledger: Ledger
    equity_points: list[tuple[int, float]] = []


class Trader:
    """Core, hosts, journal and terminal of one account."""

    def __init__(
        self,
        compiled: CompiledPortfolio,
        *,
        terminal: Terminal,
        hosts: Hosts,
        journal: Journal,
        clock: ServerClock,
        events: EventLog,
        account: int,
        balance_ccy: float,
        book_numbers: Mapping[str, int],
        now_ns: Callable[[], int],
        record_bars: bool = True,
    ) -> None:
        self.compiled = compiled
        self.core = compiled.core(balance_ccy)
        self.names = Names(
            [s.name for s in compiled.symbols],
            [f"{s.book.name}/{s.symbol}" for s in compiled.slots],
            [s.name for s in compiled.strategies],
        )
        self.ledger = Ledger(account=account)
        self.equity_points: list[tuple[int, float]] = []
        self.external: tuple[BrokerPosition, ...] = ()
        self.on_closed: Callable[[ClosedTrade], None] = lambda trade: None
        self.on_mark: Callable[[int], None] = lambda batch_ns: None
        self.flattening: ExitReason | None = None
        self.quarantined: dict[str, str] = {}
        self._terminal = terminal
        self._hosts = hosts
        self._journal = journal
        self._router = Router(terminal, journal)
        self._reconciler = Reconciler(terminal)
        self._clock = clock
        self._events = events
        self._book_numbers = book_numbers
        self._now_ns = now_ns
        self._record_bars = record_bars
        self._symbol_index = compiled.symbol_index
        self._member_index = {name: i for i, name in enumerate(self.names.members)}
        self._chosen = np.zeros(len(compiled.slots), np.int64)
        self.refused = np.zeros(N_REFUSALS, np.int64)
        self._unknown: dict[int, Intent] = {}
        self._retry_ns: dict[int, int] = {}
        self._records: list[Record] = []
        self._save_seq = 0

    # ---- batches

    def on_batch(self, update: MarketUpdate) -> None:
        """Run one batch: everything that closes at `update.batch_ns`."""
        batch_ns = update.batch_ns
        closed = {name: np.frombuffer(raw, BAR_DTYPE) for name, raw in update.bars.items()}
        self.book_broker_closes()
        self._roll_day(batch_ns, closed)
        self.take_quotes(update, fresh_from_ns=batch_ns)
        tier = int(self.core.account[0]["tier"])
        begin_batch(self.core, batch_ns)
        self.on_mark(batch_ns)
        self._report_tier(tier)
        self.take_signals(batch_ns, closed)
        self._exit(batch_ns, decide_exits(self.core, self._chosen))
        self._enter(batch_ns)
        if self._record_bars:
            self._records += [bars_row(name, bars) for name, bars in closed.items() if len(bars)]
        self.save()

    def _roll_day(self, batch_ns: int, closed: Mapping[str, Bars]) -> None:
        """Take the closes, then charge swaps at them if the server's day has changed."""
        for name, bars in closed.items():
            if len(bars):
                quote = self.core.quotes[self._symbol_index[name]]
                quote["bid"] = bars[-1]["close"]
        update_conversions(self.core)
        if roll_day(self.core, self._clock.day(batch_ns)):
            self.ledger.new_day()

    def take_quotes(self, update: MarketUpdate, *, fresh_from_ns: int) -> None:
        """Take quotes; those older than `fresh_from_ns` are good for marking only."""
        for quote in update.quotes:
            index = self._symbol_index.get(quote.symbol)
            if index is not None and quote.bid > 0.0:
                fresh = int(quote.time_ns >= fresh_from_ns)
                set_quote(self.core, index, quote.bid, quote.ask, fresh)

    def take_signals(self, batch_ns: int, closed: Mapping[str, Bars]) -> None:
        """Have the due strategies evaluated and take their outputs, in file order."""
        answer = self._hosts.evaluate(batch_ns, closed)
        for name, fault in answer.faults.items():
            self.quarantine_member(name, fault)
        for index, name in enumerate(self.names.members):
            signal = answer.signals.get(name)
            if signal is not None:
                self._take_signal(index, signal, batch_ns)

    def _take_signal(self, index: int, signal: StrategySignal, batch_ns: int) -> None:
        output = self.core.outputs[index]
        before = int(output["direction"])
        take_signal(
            self.core,
            index,
            signal.direction,
            signal.confidence,
            signal.stop_distance,
            signal.target_distance,
            int(signal.warming),
        )
        after = int(output["direction"])
        if signal.direction != HOLD and after != before:
            strategy = self.compiled.strategies[index]
            self._records.append(signal_row(strategy, signal, after, batch_ns))

    def quarantine_member(self, name: str, fault: str) -> None:
        """Disable a member that failed and treat this bar as HOLD."""
        index = self._member_index[name]
        quarantine(self.core, index)
        self.quarantined[name] = fault
        self._events.add("error", name, f"quarantined: {fault}")
        self.audit("STRATEGY", {"strategy": name, "quarantined": fault}, status="FAILED")

    # ---- orders

    def _exit(self, batch_ns: int, n_chosen: int) -> None:
        slots = [int(slot) for slot in self._chosen[:n_chosen] if self._may_retry(int(slot))]
        self._execute([self._closing(slot, batch_ns) for slot in slots])

    def _enter(self, batch_ns: int) -> None:
        n_chosen = decide_entries(self.core, self._chosen, self.refused)
        self._execute([self._opening(int(s), batch_ns) for s in self._chosen[:n_chosen]])

    def _closing(self, slot: int, batch_ns: int) -> Intent:
        position = self.core.positions[slot]
        return self._intent(
            slot,
            batch_ns,
            action="CLOSE",
            direction=int(position["direction"]),
            lots=float(position["lots"]),
            price=exit_price(self.core, slot),
            position=int(position["ticket"]),
            reason=int(position["close_reason"]),
        )

    def _opening(self, slot: int, batch_ns: int) -> Intent:
        position = self.core.positions[slot]
        price = float(position["pending_price"])
        stop, target = entry_levels(self.core, slot, price)
        members = self.compiled.slots[slot].members
        shares = {
            self.names.members[m]: float(self.core.outputs[m]["entry_share"]) for m in members
        }
        return self._intent(
            slot,
            batch_ns,
            action="OPEN",
            direction=int(position["pending_direction"]),
            lots=float(position["pending_lots"]),
            price=price,
            stop=_or_zero(stop),
            target=_or_zero(target),
            shares={name: share for name, share in shares.items() if share > 0.0},
        )

    def _intent(self, slot: int, batch_ns: int, **given: Any) -> Intent:
        which = self.compiled.slots[slot]
        intent_id = self._router.new_id()
        values: dict[str, Any] = {"stop": 0.0, "target": 0.0, "position": 0, "reason": 0}
        return Intent(
            id=intent_id,
            magic=magic_of(self._book_numbers[which.book.name], intent_id),
            book=which.book.name,
            slot=slot,
            symbol=which.symbol,
            created_ns=self._now_ns(),
            batch_ns=batch_ns,
            **(values | given),
        )

    def _allowed(self, intent: Intent) -> bool:
        """Tell whether an entry may still go out: kill, halt and flatten may have come since."""
        if intent.action == "CLOSE":
            return True
        if self.core.account[0]["entries_halted"] or self.flattening is not None:
            return False
        members = self.compiled.slots[intent.slot].members
        return any(
            self.core.outputs[m]["enabled"]
            for m in members
            if self.names.members[m] in intent.shares
        )

    def _execute(self, intents: list[Intent]) -> None:
        if not intents:
            return
        outcomes = self._router.execute(intents, allowed=self._allowed)
        for intent, outcome in zip(intents, outcomes, strict=True):
            self._apply(intent, outcome)
        self.save(outcomes)

    def _apply(self, intent: Intent, outcome: Outcome) -> None:
        """Take an intent's outcome into core, ledger and records."""
        position = self.core.positions[intent.slot]
        self._records.append(order_row(intent, outcome, self._now_ns()))
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
        row = self.ledger.opened(self.names.slots[slot], intent, outcome, stop, target)
        self._records.append(row)
        if (_or_zero(stop), _or_zero(target)) != (intent.stop, intent.target):
            self._move_levels(slot)
        self._say("info", intent, f"{row.direction} {outcome.lots:g} at {outcome.price:g}")

    def _move_levels(self, slot: int) -> None:
        """Set stop and target anew from a fill that was not at the expected price."""
        position = self.core.positions[slot]
        stop, target = _or_zero(position["stop"]), _or_zero(position["target"])
        try:
            for held in self._terminal.positions():
                if held.identifier == position["ticket"]:
                    self._terminal.modify(held, stop, target)
        except BrokerError as e:
            self._events.add("error", self.names.slots[slot], f"levels not moved to the fill: {e}")

    def _close_slot(self, slot: int, reason: ExitReason, outcome: Outcome) -> None:
        position = self.core.positions[slot]
        missing = float(position["lots"]) - outcome.lots
        if missing > 1e-9:
            self._events.add(
                "error",
                self.names.slots[slot],
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
        row, trade = self.ledger.closed(self.names.slots[slot], reason, outcome)
        self._records.append(row)
        self.on_closed(trade)
        self._events.add(
            "info",
            trade.opened.book,
            f"{trade.opened.symbol} closed by {reason.name.lower()} at {trade.exit_price:g}: "
            f"{trade.profit_ccy:+,.2f}",
        )

    # ---- what the broker did by itself, what is unknown

    def book_broker_closes(self) -> None:
        """Book positions that the broker closed: stops, targets, a hand at the terminal."""
        held = self.core.positions["direction"] != 0
        if not held.any():
            return
        present = {p.identifier for p in self.positions()}
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
            self._events.add("warning", self.names.slots[slot], "gone at the terminal, no deal yet")
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

    def settle_unknown(self) -> None:
        """Look again for the intents whose outcome is unknown."""
        if not self._unknown:
            return
        outcomes = self._reconciler.settle(list(self._unknown.values()))
        for outcome in outcomes:
            intent = self._unknown[outcome.intent_id]
            self._say("warning", intent, f"outcome settled: {outcome.state.name}")
            self._apply(intent, outcome)
        if outcomes:
            self.save(outcomes)

    # ---- between batches

    def watch(self, update: MarketUpdate) -> None:
        """Mark at the latest quotes; only tighten: tier 2 refuses, tier 3 flattens."""
        self.take_quotes(update, fresh_from_ns=update.market_ns + 1)
        tier = int(self.core.account[0]["tier"])
        guard(self.core, update.market_ns)
        self._report_tier(tier)

    def pursue(self) -> None:
        """Send what the goals ask for now: kills, flattening, exits that were refused before."""
        if self.flattening is not None:
            flatten(self.core, self.flattening)
        for slot in np.flatnonzero((self.core.positions["due"] != 0) & self._killed_slots()):
            combine(self.core, int(slot))
        goals = np.flatnonzero(
            (self.core.positions["direction"] != 0)
            & (self.core.positions["close_reason"] != 0)
            & (self.core.positions["unsettled"] == 0)
        )
        slots = [int(slot) for slot in goals if self._may_retry(int(slot))]
        batch_ns = int(self.core.account[0]["batch_ns"])
        self._execute([self._closing(slot, batch_ns) for slot in slots])
        if self.flattening is not None and not (self.core.positions["direction"] != 0).any():
            self.flattening = None
            self._events.add("warning", "engine", "flat")

    def _killed_slots(self) -> Any:
        killed = np.zeros(len(self.core.slots), bool)
        killed[self.core.members["slot"][self.core.outputs["killed"] != 0]] = True
        return killed

    def _may_retry(self, slot: int) -> bool:
        return self._now_ns() >= self._retry_ns.get(slot, 0)

    # ---- saving and restoring

    def audit(
        self,
        event_type: str,
        details: dict[str, Any],
        *,
        actor: str = "SYSTEM",
        status: str = "SUCCESS",
    ) -> None:
        """Record an audit entry with the next save."""
        self._records.append(
            AuditRow(
                time_ns=self._now_ns(),
                event_type=event_type,
                actor=actor,
                details=details,
                status=status,
            )
        )

    def add_record(self, record: Record) -> None:
        """Record a row with the next save."""
        self._records.append(record)

    def save(
        self, outcomes: list[Outcome] | None = None, *, flags: dict[str, Any] | None = None
    ) -> None:
        """Commit outcomes, records and the core's state in one transaction.

        A journal that cannot be written stops entries (the next intents cannot be written
        either) but never a close; the records are kept for the next try.
        """
        self._save_seq += 1
        extra = msgspec.msgpack.encode(Saved(self.ledger, self.equity_points[-500:]))
        state = CoreState(self._save_seq, dump_core(self.core, self.names), extra)
        try:
            self._journal.commit(
                outcomes=outcomes or (), records=self._records, core=state, flags=flags
            )
        except JournalError as e:
            self._events.add("critical", "journal", str(e))
        else:
            self._records.clear()

    def load(self, saved: CoreState) -> list[str]:
        """Take saved state; return the names of saved positions that no slot owns any more."""
        self._save_seq = saved.seq
        lost = load_core(self.core, self.names, saved.blob)
        extra = msgspec.msgpack.decode(saved.extra, type=Saved)
        extra.ledger.account = self.ledger.account
        self.ledger = extra.ledger
        self.equity_points = extra.equity_points
        return lost

    def mark_unknown(self, intent: Intent) -> None:
        """Have an intent without a certain outcome looked for; its slot sends nothing meanwhile."""
        self._unknown[intent.id] = intent
        self.core.positions[intent.slot]["unsettled"] = 1

    def is_unknown(self, magic: int) -> bool:
        """Tell whether a magic belongs to an intent that is still being looked for."""
        return any(intent.magic == magic for intent in self._unknown.values())

    def known_books(self) -> set[int]:
        """Return the numbers of all books there ever were."""
        return set(self._book_numbers.values())

    def positions(self) -> list[BrokerPosition]:
        """Return the terminal's positions; those no slot owns become `external`."""
        positions = self._terminal.positions()
        ours = {int(ticket) for ticket in self.core.positions["ticket"]}
        self.external = tuple(p for p in positions if p.identifier not in ours)
        return positions

    def catch_up(self, batch_ns: int, closed: Mapping[str, Bars]) -> None:
        """Take a missed batch's signals with orders off."""
        self.take_signals(batch_ns, closed)
        for slot in np.flatnonzero(self.core.positions["due"] != 0):
            combine(self.core, int(slot))
            self.core.positions[slot]["due"] = 0

    # ---- views

    def open_profits_ccy(self) -> dict[str, float]:
        """Return each open slot's profit at the last quotes, swap included."""
        return {
            self.names.slots[slot]: open_profit_ccy(self.core, int(slot))
            + float(self.core.positions[slot]["swap_ccy"])
            for slot in np.flatnonzero(self.core.positions["direction"] != 0)
        }

    def _report_tier(self, before: int) -> None:
        tier = int(self.core.account[0]["tier"])
        if tier == before:
            return
        drawdown = float(self.core.account[0]["drawdown_frac"])
        level = ("info", "warning", "critical", "critical")[tier]
        words = ("released", "sizes halved", "no new entries", "flattening, halted")[tier]
        self._events.add(level, "risk", f"drawdown {drawdown:.2%}: tier {tier}, {words}")
        self.audit("RISK_CHECK", {"tier": tier, "before": before, "drawdown_frac": drawdown})

    def _say(self, level: str, intent: Intent, text: str) -> None:
        self._events.add(level, intent.book, f"{intent.symbol} {text}")


def _or_zero(level: float) -> float:
    return 0.0 if math.isnan(level) else float(level)


def _distance(price: float, level: float) -> float:
    return abs(price - level) if level else math.nan
