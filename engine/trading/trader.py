"""The live decision loop: the same phases as the backtest, with a broker behind them.

One thread owns a Trader. Other threads may set kill, halt and flatten flags directly
(`engine.decision.switches`): they are plain stores that the next decision reads.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np

from engine.decision import read
from engine.decision.account import (
    guard,
    mark,
    roll_day,
    take_past,
    take_quote,
    update_conversions,
)
from engine.decision.allocation.shadow import pursue_shadows
from engine.decision.batch import (
    begin_batch,
    decide_entries,
    decide_exits,
    end_batch,
    skip_batch,
    take_bar,
)
from engine.decision.covariance import sample_returns
from engine.decision.entries import cancel_entry, count_message
from engine.decision.exits import wants_exit
from engine.decision.moving_stops import choose_stops
from engine.decision.plausible import is_price
from engine.decision.release import Release, released
from engine.decision.saved import Names, dump_core, load_core
from engine.decision.signals import take_events
from engine.decision.state import EVENT, N_REFUSALS, Core
from engine.decision.switches import (
    decide_anew,
    flatten,
    halt_entries,
    kill_held,
    quarantine,
    reduce_only,
    take_file_shares,
)
from engine.execution.journal import CoreState, Journal
from engine.execution.ledger import Ledger
from engine.execution.router import Router
from engine.execution.terminal import Terminal
from engine.hosts.contract import Hosts
from engine.hosts.protocol import Evaluations
from engine.metrics.days import DayReturns
from engine.model.bars import BAR_DTYPE, Bars
from engine.model.broker import MarketUpdate
from engine.model.errors import BrokerError, Refused
from engine.model.orders import Intent, Outcome
from engine.model.reasons import ExitReason, Refusal, TradingState
from engine.model.server_clock import ServerClock
from engine.model.signals import HOLD, StrategySignal
from engine.portfolio.allocator import Allocator, Change
from engine.portfolio.compile import CompiledPortfolio
from engine.portfolio.explain import refused_by
from engine.trading.account import ExplainedBalance
from engine.trading.desk import TraderPolicy
from engine.trading.doubts import Doubts
from engine.trading.events import EventLog
from engine.trading.limits import Limits, SetLimit
from engine.trading.orders import Intents
from engine.trading.pauses import Pause, Pauses, Refusals
from engine.trading.positions import Positions
from engine.trading.recorder import Recorder, bars_row, signal_row

EQUITY_POINTS_KEPT = 2000
# How soon a kill is obeyed while strategies are being evaluated.
_URGENT_LOOK_S = 0.05


class Saved(msgspec.Struct):
    """What the engine saves beside the core."""

    ledger: Ledger
    equity_points: list[tuple[int, float]] = []
    reason: str = ""
    limits: dict[str, SetLimit] = {}
    balance: ExplainedBalance | None = None
    paused: dict[str, Pause] = {}
    returns: DayReturns | None = None


def _renamed(names: Names, moved: Mapping[str, str]) -> Names:
    """Return names under which a moved slot's state is found where it goes, and only there."""
    taken = set(moved.values())
    slots = [moved.get(name, "" if name in taken else name) for name in names.slots]
    return msgspec.structs.replace(names, slots=slots)


def _take_manual_shares(compiled: CompiledPortfolio, core: Core) -> None:
    """Set the file's shares where they are manual: saved ones are of an older file."""
    if compiled.portfolio.allocation.method != "manual":
        return
    take_file_shares(core, compiled.allocations())


def events_of(signals: Sequence[tuple[int, StrategySignal]]) -> Any:
    """Return members' signals as the core takes them, (n,) EVENT."""
    rows = [
        (s.confidence, s.stop_distance, s.target_distance, member, s.direction, s.warming)
        for member, s in signals
    ]
    return np.array(rows, EVENT)


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
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._book_numbers = dict(book_numbers)
        self.recorder = Recorder(journal, events, now_ns)
        core = compiled.core(balance_ccy)
        self.positions = Positions(
            compiled,
            core,
            terminal=terminal,
            recorder=self.recorder,
            events=events,
            account=account,
            now_ns=now_ns,
            monotonic_s=monotonic_s,
        )
        self.positions.on_doubt = self.positions.balance.on_doubt = self.doubt
        self.recorder.on_doubt = self.doubt
        self.equity_points: list[tuple[int, float]] = []
        self.day_returns = DayReturns(base_ccy=balance_ccy)
        self.positions.balance.on_cash = self._move_cash
        # Why entries are halted or refused; an operator's resume clears it.
        self.reason = ""
        # Why the terminal's positions and balance could not be read at the last look, "" for read.
        self.unseen = ""
        self.limits = Limits()
        self.pauses = Pauses(events, now_ns)
        self.doubts = Doubts(terminal, events, self.recorder, now_ns)
        self.on_mark: Callable[[int], None] = lambda batch_ns: None
        self.on_change: Callable[[Change], None] = lambda change: None
        self.on_release: Callable[[Release], None] = lambda release: None
        self.flattening: ExitReason | None = None
        self._saved_flattening: bool | None = None
        self.quarantined: dict[str, str] = {}
        self._left_out: frozenset[str] = frozenset()
        # Names what runs, with every order (`engine.hosts.running_code`).
        self.code = ""
        # Held while flags are set by member, and while the portfolio is exchanged.
        self.exchange = threading.Lock()
        # Set beside a flag that asks for orders now, whatever the engine thread waits for.
        self.urgent = threading.Event()
        self._hosts = hosts
        self._evaluator = futures.ThreadPoolExecutor(1, thread_name_prefix="strategies")
        self._router = Router(terminal, self.recorder.begin, journal.last_intent_id())
        self._policy = TraderPolicy(self)
        self._clock = clock
        self.events = events
        self.now_ns = now_ns
        self.terminal = terminal
        self._record_bars = record_bars
        self.refused = np.zeros(N_REFUSALS, np.int64)
        self.refusals = Refusals()
        # What went wrong with orders of the phase under way.
        self._failed_orders: list[Exception] = []
        # What members last said of themselves; the core knows a vote's as 1.
        self.confidences: dict[str, float] = {}
        # Every member's number, the same as long as the engine lives.
        self.ids: dict[str, int] = {}
        self._take_portfolio(compiled, core)

    def _take_portfolio(self, compiled: CompiledPortfolio, core: Core) -> None:
        self.compiled, self.core, self.names = compiled, core, compiled.names
        self._intents = Intents(
            compiled,
            core,
            book_numbers=self._book_numbers,
            new_id=self._router.new_id,
            now_ns=self.now_ns,
            code=lambda: self.code,
        )
        self.symbol_index = compiled.symbol_index
        self.member_index = {name: i for i, name in enumerate(self.names.members)}
        self._allocator = Allocator(compiled)
        self._chosen = np.zeros(len(compiled.slots), np.int64)
        self._stops = np.zeros(len(compiled.slots))
        for name in self.names.members:
            self.ids.setdefault(name, len(self.ids))

    def reconfigure(
        self,
        compiled: CompiledPortfolio,
        book_numbers: Mapping[str, int],
        moved: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Go on with another portfolio, between batches: what both have keeps every bit of state.

        `moved` are slots whose position another slot takes over, by name.

        Raises:
            Refused: a slot that is no longer there holds a position; nothing was changed.
        """
        core, names = compiled.core(0.0), compiled.names
        with self.exchange:
            core.limits[:] = self.core.limits
            if lost := load_core(core, names, dump_core(self.core, _renamed(self.names, moved))):
                raise Refused(f"{', '.join(lost)}: holds a position")
            self._keep_decisions(core, names, moved)
            _take_manual_shares(compiled, core)
            before = self.compiled.members_by_slot
            for slot, members in enumerate(compiled.members_by_slot.items()):
                if members not in before.items() or members[0] in moved.values():
                    decide_anew(core, slot)  # others speak for what it holds
            self._book_numbers = dict(book_numbers)
            self.positions.reconfigure(compiled, core, moved)
            self._take_portfolio(compiled, core)
        for known in (self.quarantined, self.confidences):
            for name in known.keys() - set(self.names.members):
                del known[name]

    def _keep_decisions(self, core: Core, names: Names, moved: Mapping[str, str]) -> None:
        """Keep what the rules last said of the slots that go on, under their new names."""
        before = _renamed(self.names, moved).slots
        for slot, name in enumerate(names.slots):
            if name in before:
                core.checks[slot] = self.core.checks[before.index(name)]

    # ---- batches

    def on_batch(self, update: MarketUpdate) -> None:
        """Run one batch: everything that closes at `update.batch_ns`."""
        batch_ns = update.batch_ns
        closed = self._real_bars(
            {name: np.frombuffer(raw, BAR_DTYPE) for name, raw in update.bars.items()}
        )
        # First, and whatever fails beside it: no strategy misses a bar.
        evaluated = self._evaluate(batch_ns, closed)
        fault = self._book_closes()
        answer = self._obey_until(evaluated)
        if fault:
            self.events.add("error", "terminal", f"no orders at this batch: {fault}")
            self._note_missed(batch_ns, batch_ns)
            self._take_missed(batch_ns, closed, answer)
            return
        try:
            self._run_batch(update, closed, answer)
        finally:  # what failed must not be due, or count as an entry, at the next batch
            self._forget_pending()
            end_batch(self.core)
        self._record_closed(closed)
        self.recorder.tidy()
        self.save()

    def _run_batch(
        self, update: MarketUpdate, closed: Mapping[str, Bars], answer: Evaluations
    ) -> None:
        batch_ns = update.batch_ns
        self._begin_days_of(closed)
        self._take_bars(closed)
        self._roll_day(batch_ns, opens=self._opens(update))
        self.take_quotes(update, fresh_from_ns=batch_ns)
        tier = read.account(self.core).tier
        begin_batch(self.core, batch_ns)
        self._mark_day()
        self.on_mark(batch_ns)
        self._report_tier(tier)
        self._take_answer(batch_ns, answer)
        self._exit(batch_ns, decide_exits(self.core, self._chosen))
        self._enter(batch_ns)
        self._move_stops()
        self.refusals.note(batch_ns, self._refused_now())

    def _forget_pending(self) -> None:
        """Forget entries that were decided and of which nothing has left."""
        for slot in read.pending_slots(self.core):
            cancel_entry(self.core, slot)

    def _refused_now(self) -> Iterator[tuple[str, str]]:
        """Yield the slots whose entries were refused at this batch, each with the rule."""
        for slot in read.refused_slots(self.core):
            if rule := refused_by(self.core, slot):
                yield self.names.slots[slot], rule

    def _record_closed(self, closed: Mapping[str, Bars]) -> None:
        if self._record_bars:
            self.recorder.add(*(bars_row(name, bars) for name, bars in closed.items()))

    def take_history(self, history: Mapping[str, Bars]) -> None:
        """Give symbols without a price the last one of their history, for marking only."""
        for name, bars in history.items():
            index = self.symbol_index.get(name)
            if index is None or not len(bars) or read.quote(self.core, index).close > 0.0:
                continue
            take_past(self.core, index, bars)

    def _real_bars(self, closed: Mapping[str, Bars]) -> dict[str, Bars]:
        return self.doubts.real_bars(self.core, self.symbol_index, closed)

    def _take_bars(self, closed: Mapping[str, Bars]) -> None:
        """Take the closed bars' ranges and closes."""
        for name, bars in closed.items():
            index = self.symbol_index.get(name)
            if index is None:  # it was taken out a moment ago
                continue
            for bar in bars.tolist():
                open_ns, opened, high, low, close, _, spread = bar
                if not take_bar(self.core, index, open_ns, opened, high, low, close, spread):
                    self.doubts.bar(name, bar)

    def _opens(self, update: MarketUpdate) -> bool:
        """Tell whether a bar opens at the batch: whether a symbol has a price of then or later."""
        return any(
            quote.time_ns >= update.batch_ns
            and quote.symbol in self.symbol_index
            and is_price(quote.bid, quote.ask)
            for quote in update.quotes
        )

    def _begin_days_of(self, closed: Mapping[str, Bars]) -> None:
        """Begin the day of bars that opened in one of which no opening price was seen."""
        known_day = read.account(self.core).server_day
        opens_ns = [
            int(bars["time_ns"][0])
            for name, bars in closed.items()
            if name in self.symbol_index and len(bars)
        ]
        if known_day >= 0 and opens_ns and self._clock.day(min(opens_ns)) > known_day:
            self._roll_day(min(opens_ns), opens=True)

    def _mark_day(self) -> None:
        account = read.account(self.core)
        self.day_returns.take(account.server_ns, account.equity_ccy)

    def _move_cash(self, cash_ccy: float) -> None:
        self.day_returns.move_cash(cash_ccy)

    def _roll_day(self, batch_ns: int, *, opens: bool) -> None:
        """Charge swaps at the closes, and decide allocation where a day of the market has ended."""
        before_ccy = read.account(self.core).high_water_ccy
        if not roll_day(self.core, self._clock.to_server_ns(batch_ns), opens):
            return
        if release := released(self.core, batch_ns, before_ccy):
            self._report_release(release)
        self.positions.ledger.new_day()
        self.recorder.prune(batch_ns)
        for change in self._allocator.decide(self.core):
            self.on_change(change)
            self.recorder.audit("ALLOCATION", msgspec.to_builtins(change))
            text = f"{change.what} {change.before:.4g} → {change.after:.4g}"
            self.events.add("info", change.unit, text)

    def _report_release(self, release: Release) -> None:
        """Say that `drawdown_release` has lowered the high-water mark: entries come back."""
        days = self.compiled.portfolio.risk.drawdown_release
        currency = self.compiled.portfolio.account.currency
        text = (
            f"drawdown released after {days} server day(s) flat in tier 2: the high-water mark is "
            f"{release.after_ccy:,.2f} {currency}, it was {release.before_ccy:,.2f}; entries again"
        )
        self.events.add("critical", "risk", text)
        self.recorder.audit(
            "RISK_CHECK",
            {
                "drawdown_release": days,
                "high_water_before_ccy": release.before_ccy,
                "high_water_ccy": release.after_ccy,
            },
        )
        self.on_release(release)

    def take_quotes(self, update: MarketUpdate, *, fresh_from_ns: int) -> None:
        """Take quotes; those older than `fresh_from_ns` are good for marking only.

        What is not believed leaves the last believed quote, and is said.
        """
        for quote in update.quotes:
            index = self.symbol_index.get(quote.symbol)
            if index is None:
                continue
            fresh = int(quote.time_ns >= fresh_from_ns)
            if not take_quote(self.core, index, quote.bid, quote.ask, fresh, quote.time_ns):
                self.doubts.quote(self.core, index, quote)
            elif quote.symbol in self.doubts.open:
                self.doubts.believed(quote)

    def _book_closes(self) -> str:
        """Take what the broker closed by itself; return why that could not be told, "" for told."""
        try:
            if self.positions.any_open():
                self.positions.book_broker_closes(look=False)
        except BrokerError as e:
            return str(e)
        return ""

    def _evaluate(self, batch_ns: int, closed: Mapping[str, Bars]) -> futures.Future[Evaluations]:
        return self._evaluator.submit(self._hosts.begin(batch_ns, closed))

    def _obey_until(self, evaluated: futures.Future[Evaluations]) -> Evaluations:
        """Wait for the strategies; a kill meanwhile has its orders sent meanwhile."""
        while not evaluated.done():
            with contextlib.suppress(TimeoutError):
                evaluated.result(_URGENT_LOOK_S)
            if self.urgent.is_set():
                self.pursue()
        return evaluated.result()

    def _take_answer(self, batch_ns: int, answer: Evaluations) -> None:
        """Take the strategies' outputs, in file order."""
        for name, fault in answer.faults.items():
            self.quarantine_member(name, fault)
        self._say_left_out(answer.left_out)
        taken: list[tuple[int, StrategySignal]] = []
        for index, name in enumerate(self.names.members):
            taken += ((index, earlier) for earlier in answer.earlier.get(name, ()))
            signal = answer.signals.get(name)
            if signal is not None:
                taken.append((index, signal))
        before = read.directions(self.core)
        take_events(self.core, events_of(taken))
        pursue_shadows(self.core)
        for index, signal in taken:
            if signal.direction != HOLD:
                self.confidences[self.names.members[index]] = signal.confidence
            if signal.direction not in (HOLD, before[index]):
                before[index] = signal.direction
                strategy = self.compiled.strategies[index]
                self.recorder.add(signal_row(strategy, signal, signal.direction, batch_ns))

    def _say_left_out(self, names: Sequence[str]) -> None:
        """Say which strategies no host evaluates, and when they are evaluated again."""
        before, self._left_out = self._left_out, frozenset(names)
        if more := sorted(self._left_out - before):
            text = f"not evaluated, no strategy host in time: {', '.join(more)}"
            self.events.add("critical", "engine", f"{text}; what they said last stands")
        if again := sorted(before - self._left_out):
            self.events.add("warning", "engine", f"evaluated again: {', '.join(again)}")

    def quarantine_member(self, name: str, fault: str) -> None:
        """Disable a member that failed and treat this bar as HOLD."""
        index = self.member_index[name]
        quarantine(self.core, index)
        self.quarantined[name] = fault
        self.events.add("error", name, f"quarantined: {fault}")
        self.recorder.audit("STRATEGY", {"strategy": name, "quarantined": fault}, status="FAILED")

    @property
    def active(self) -> bool:
        """Whether neither a halt nor a doubt keeps entries out."""
        return read.account(self.core).trading == TradingState.ACTIVE

    def doubt(self, reason: str) -> bool:
        """Refuse entries until an operator resumes: something is not as it must be.

        Return whether entries were allowed until now.
        """
        news = self.active
        reduce_only(self.core)
        if read.account(self.core).trading == TradingState.REDUCING:
            self.reason = self.reason or reason
        self.recorder.audit("RISK_CHECK", {"state": "REDUCING", "reason": reason}, status="FAILED")
        return news

    def give_up(self, reason: str) -> bool:
        """Halt entries until an operator resumes; return whether they were not halted until now."""
        if read.account(self.core).trading == TradingState.HALTED:
            return False
        halt_entries(self.core)
        self.reason = reason
        self.recorder.audit("RISK_CHECK", {"state": "HALTED", "reason": reason}, status="FAILED")
        return True

    # ---- orders

    def _exit(self, batch_ns: int, n_chosen: int) -> None:
        self._close(self._chosen[:n_chosen].tolist(), batch_ns)

    @property
    def withheld(self) -> str:
        """Why no entry is decided for now, "" where nothing keeps them; it passes by itself."""
        if fault := self.recorder.fault:
            return f"no entries while the journal cannot be written: {fault}"
        if self.unseen:
            return f"no entries while the account cannot be read: {self.unseen}"
        return ""

    def _enter(self, batch_ns: int) -> None:
        if self.withheld:
            if self.unseen:  # as of a batch that could not book what the broker closed
                self._note_missed(batch_ns, batch_ns)
            return
        self.pauses.expire()
        if self.compiled.portfolio.account.margin_mode == "netting":
            self.pauses.taken = frozenset(p.symbol for p in self.positions.external)
        symbols = [slot.symbol for slot in self.compiled.slots]
        barred = read.barred(self.core)
        with self.pauses.held_back(self.core, symbols, self.members_of):
            n_chosen = decide_entries(self.core, self._chosen, self.refused)
        now = read.barred(self.core)
        if now != barred:
            self._say_barred([slot for slot, rule in enumerate(now) if rule != barred[slot]])
        self._execute([self._intents.opening(int(s), batch_ns) for s in self._chosen[:n_chosen]])

    def members_of(self, slot: int) -> Iterator[str]:
        """Yield the names of a slot's members."""
        return (self.names.members[m] for m in self.compiled.slots[slot].members)

    def _say_barred(self, slots: Sequence[int]) -> None:
        """Say which books a rule has taken the entries of, and why; once a book."""
        positions = read.positions(self.core)
        for book in dict.fromkeys(self.compiled.slots[slot].book.name for slot in slots):
            own = [s for s in slots if self.compiled.slots[s].book.name == book]
            # The one whose order was refused; the others are barred with it.
            slot = next((s for s in own if positions[s].refusal == positions[s].barred), own[0])
            rule = Refusal(positions[slot].barred)
            value, limit = self.core.checks[slot, int(rule)].tolist()
            text = (
                f"no more entries: {rule.name} in {self.compiled.slots[slot].symbol}, {value:g} "
                f"where {limit:g} is the most; `enable {book}` lifts it"
            )
            self.events.add("critical", book, text)
            self.recorder.audit(
                "RISK_CHECK",
                {
                    "book": book,
                    "barred": rule.name,
                    "slot": self.names.slots[slot],
                    "value": value,
                    "limit": limit,
                },
                status="FAILED",
            )

    def count_messages(self, intents: Sequence[Intent]) -> None:
        """Count orders that are about to be sent in the throttle."""
        now_ns = max(read.account(self.core).batch_ns, self.now_ns())
        for intent in intents:
            count_message(self.core, self.symbol_index[intent.symbol], now_ns)

    def _move_stops(self) -> None:
        n_moved = choose_stops(self.core, self._chosen, self._stops)
        if n_moved:
            moved = zip(
                self._chosen[:n_moved].tolist(), self._stops[:n_moved].tolist(), strict=True
            )
            self.positions.levels.move(dict(moved))

    def _close(self, slots: list[int], batch_ns: int) -> None:
        tickets = read.tickets(self.core)
        if self._policy.oldest_first:
            slots = sorted(slots, key=lambda slot: read.position(self.core, slot).entry_ns)
        intents, failed = [], []
        for slot in slots:
            if self.positions.may_retry(tickets[slot]):
                try:
                    intents.append(self._priced(self._intents.closing(slot, batch_ns)))
                except Exception as e:  # border: one that cannot be closed keeps no other open
                    failed.append(e)
        self._execute(intents)
        if failed:
            raise failed[0]

    def _priced(self, intent: Intent) -> Intent:
        """Give a close the terminal's own price where the engine has none: it must go out."""
        if 0.0 < intent.price < np.inf:
            return intent
        price = self.positions.ledger.open[self.names.slots[intent.slot]].entry_price
        try:
            for quote in self.terminal.quotes([intent.symbol]):
                price = quote.closing(intent.direction)
        except BrokerError as e:
            self.events.add("error", intent.symbol, f"no price for a close: {e}")
        return msgspec.structs.replace(intent, price=price)

    def _execute(self, intents: list[Intent]) -> None:
        if not intents:
            return
        # An entry was counted when it was accepted: by then the next one had to know.
        self.count_messages([intent for intent in intents if intent.action == "CLOSE"])
        try:
            answered = self._router.execute(intents, policy=self._policy)
        except BaseException:
            # Whatever it was, the broker knows what became of them.
            for intent in intents:
                self.positions.mark_unknown(intent)
            raise
        taken = [outcome for intent, outcome in answered if self._take_outcome(intent, outcome)]
        if barred := self._router.barred or self._policy.barred:
            halt_entries(self.core)
            self.reason = f"the terminal forbids trading: {barred}"
            self.events.add("critical", "terminal", f"entries halted: {barred}")
            self._router.barred = self._policy.barred = ""
        self.save(taken)
        failed, self._failed_orders = self._failed_orders, []
        if failed := failed + self._router.take_failed():
            raise failed[0]

    def _take_outcome(self, intent: Intent, outcome: Outcome) -> bool:
        """Apply what became of an intent; what cannot be is looked for anew, as if unknown."""
        try:
            self.positions.apply(intent, outcome)
        except Exception as e:  # border: the other orders of the phase are booked all the same
            self.positions.mark_unknown(intent)
            self._failed_orders.append(e)
            return False
        return True

    # ---- between batches

    def watch(self, update: MarketUpdate) -> None:
        """Mark at the latest quotes; only tighten: tier 2 refuses, tier 3 flattens."""
        self.take_quotes(update, fresh_from_ns=update.market_ns + 1)
        self.doubts.weigh(self.core, self.names.symbols, self.positions.external)
        tier = read.account(self.core).tier
        guard(self.core, update.market_ns)
        self._report_tier(tier)

    def pursue(self) -> None:
        """Send what the goals ask for now: kills, flattening, exits that were refused before."""
        self.urgent.clear()
        if self.flattening is not None:
            flatten(self.core, self.flattening)
        kill_held(self.core)
        for slot in read.killed_slots_due(self.core):
            wants_exit(self.core, slot)
        self._close(read.closing_slots(self.core), read.account(self.core).batch_ns)
        self._close_late()
        if self.flattening is not None and not self.positions.any_open():
            self.flattening = None
            self.reason = f"FLAT: {self.reason or 'everything is closed'}"
            self.events.add("warning", "engine", "FLAT: everything is closed")

    def _close_late(self) -> None:
        """Close what was executed after it had been declared not executed."""
        batch_ns = read.account(self.core).batch_ns
        self._execute(
            [
                self._intents.closing_late(self.names.slots.index(name), position, batch_ns)
                for opened, position in list(self.positions.late.values())
                if (name := f"{opened.book}/{opened.symbol}") in self.names.slots
                and not read.position(self.core, self.names.slots.index(name)).unsettled
                and self.positions.may_retry(position.identifier)
            ]
        )

    def settle_unknown(self) -> None:
        """Look again for the intents whose outcome is unknown, and save what was found."""
        if outcomes := self.positions.settle_unknown():
            self.save(outcomes)

    # ---- saving and restoring

    def save(self, outcomes: Sequence[Outcome] = ()) -> None:
        """Commit outcomes, records, goals and the core's state in one transaction."""
        accepted = self.recorder.last_accepted
        if self._saved_flattening != (self.flattening is not None):
            self._saved_flattening = self.flattening is not None
            self.recorder.flag(flattening=self._saved_flattening)
        extra = msgspec.msgpack.encode(
            Saved(
                self.positions.ledger,
                self.equity_points[-EQUITY_POINTS_KEPT:],
                self.reason,
                self.limits.set,
                self.positions.balance.explained,
                self.pauses.paused,
                self.day_returns,
            )
        )
        core = dump_core(self.core, self.names)
        self.recorder.save(core, extra, outcomes, accepted_up_to=accepted)

    def load(self, saved: CoreState) -> list[str]:
        """Take saved state; return the names of saved positions that no slot owns any more."""
        self.recorder.start_after(saved.seq)
        lost = load_core(self.core, self.names, saved.blob)
        extra = msgspec.msgpack.decode(saved.extra, type=Saved)
        extra.ledger.account = self.positions.ledger.account
        self.positions.ledger = extra.ledger
        self.equity_points = extra.equity_points
        self.day_returns, self.reason = extra.returns or self.day_returns, extra.reason
        self.positions.balance.explained = extra.balance
        self.pauses.paused = extra.paused
        for remark in self.limits.load(self.core, self.compiled.portfolio, extra.limits):
            self.events.add("warning", "limit", remark)
        _take_manual_shares(self.compiled, self.core)
        return lost

    def skip_ids(self, used_id: int) -> None:
        """Never use an intent id again that the terminal shows."""
        self._router.skip_ids(used_id)

    def known_books(self) -> set[int]:
        """Return the numbers of all books there ever were."""
        return set(self._book_numbers.values())

    def catch_up(self, batch_ns: int, closed: Mapping[str, Bars]) -> None:
        """Take a missed batch's signals with orders off; an exit becomes a goal."""
        closed = self._real_bars(closed)
        answer = self._obey_until(self._evaluate(batch_ns, closed))
        self._take_missed(batch_ns, closed, answer)

    def say_missed(self, batches_ns: Sequence[int]) -> None:
        """Say which batches were taken with orders off."""
        self.events.add("warning", "engine", f"{len(batches_ns)} batch(es) taken with orders off")
        self._note_missed(batches_ns[0], batches_ns[-1])

    def _note_missed(self, first_ns: int, last_ns: int) -> None:
        self.recorder.audit("MARKET", {"orders_off_from_ns": first_ns, "orders_off_to_ns": last_ns})

    def _take_missed(self, batch_ns: int, closed: Mapping[str, Bars], answer: Evaluations) -> None:
        try:
            self._begin_days_of(closed)
            self._take_bars(closed)
            update_conversions(self.core)
            mark(self.core)
            self._roll_day(batch_ns, opens=False)
            self._mark_day()
            sample_returns(self.core, batch_ns)
            self._take_answer(batch_ns, answer)
            decide_exits(self.core, self._chosen)
        finally:
            end_batch(self.core)
        skip_batch(self.core, batch_ns)
        self._record_closed(closed)

    def _report_tier(self, before: int) -> None:
        tier = read.account(self.core).tier
        if tier == before:
            return
        drawdown = read.account(self.core).drawdown_frac
        level = ("info", "warning", "critical", "critical")[tier]
        words = ("released", "sizes halved", "no new entries", "flattening, halted")[tier]
        self.events.add(level, "risk", f"drawdown {drawdown:.2%}: tier {tier}, {words}")
        self.recorder.audit(
            "RISK_CHECK", {"tier": tier, "before": before, "drawdown_frac": drawdown}
        )
