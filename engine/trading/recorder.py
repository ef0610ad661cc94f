"""Everything of a step in one journal transaction: intents, outcomes, rows, the core's state."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from engine.execution.journal import CoreState, Journal
from engine.model.bars import BAR_DTYPE, Bars
from engine.model.errors import JournalError
from engine.model.orders import Intent, IntentState, Outcome, intent_of
from engine.model.portfolio import StrategySpec
from engine.model.records import (
    AuditRow,
    BarsRow,
    MetricsRow,
    OrderRow,
    PositionsRow,
    Record,
    SignalRow,
)
from engine.model.signals import DIRECTION_NAMES, StrategySignal
from engine.model.times import NS_PER_DAY
from engine.trading.events import EventLog

_SIGNAL_NAMES = {1: "BUY", -1: "SELL", 0: "HOLD"}


def signal_row(
    strategy: StrategySpec, signal: StrategySignal, direction: int, time_ns: int
) -> SignalRow:
    """Return the row of a change of a strategy's latched direction."""
    return SignalRow(
        strategy=strategy.name,
        time_ns=time_ns,
        symbol=strategy.symbol,
        signal=_SIGNAL_NAMES[direction],
        confidence=signal.confidence,
        details={
            "direction": DIRECTION_NAMES[direction],
            "stop_distance": _finite(signal.stop_distance),
            "target_distance": _finite(signal.target_distance),
        },
    )


def order_row(intent: Intent, outcome: Outcome, now_ns: int) -> OrderRow:
    """Return an intent with what became of it."""
    unknown = outcome.state == IntentState.UNKNOWN
    return OrderRow(
        magic=intent.magic,
        intent_id=intent.id,
        book=intent.book,
        symbol=intent.symbol,
        action=intent.action,
        direction="BUY" if intent.direction > 0 else "SELL",
        lots=intent.lots,
        stop=intent.stop or None,
        target=intent.target or None,
        state=outcome.state.name,
        retcode=outcome.retcode,
        order_ticket=outcome.order,
        deal_ticket=outcome.deal,
        price=outcome.price or None,
        created_ns=intent.created_ns,
        settled_ns=None if unknown else now_ns,
        detail=outcome.detail,
        decision=intent.decision,
        code=intent.code,
    )


def bars_row(name: str, bars: Bars) -> BarsRow:
    """Return closed M1 bars as a row."""
    columns: dict[str, Any] = {field: bars[field].tolist() for field in BAR_DTYPE.names or ()}
    return BarsRow(symbol=name, timeframe_minutes=1, source="terminal", **columns)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


# Beyond so many rows that wait for the journal, those that can be had again are dropped.
WAITING_MAX = 5_000
INTENTS_KEPT_NS = 60 * NS_PER_DAY


class Recorder:
    """Collects what a step did and commits it; what cannot be written waits for the next try.

    A journal that cannot be written stops entries (their intents cannot be written either), never
    a close. `now_ns` is the market's clock, `box_ns` the box's own.
    """

    def __init__(
        self,
        journal: Journal,
        events: EventLog,
        now_ns: Callable[[], int],
        box_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._journal = journal
        self._events = events
        self._now_ns = now_ns
        self._box_ns = box_ns
        self._seq = 0
        self._intents: list[Intent] = []
        self._outcomes: list[Outcome] = []
        self._records: list[Record] = []
        self._flags: dict[str, Any] = {}
        self._failed = False
        # Why the journal takes nothing, "" while it does: no entry is decided meanwhile.
        self.fault = ""
        self._told = ""
        self.on_doubt: Callable[[str], object] = lambda reason: None

    @property
    def last_accepted(self) -> int:
        """The newest accepted command: whoever reads the core afterwards reads it in force."""
        return self._journal.last_accepted

    @property
    def waits(self) -> bool:
        """Whether a row waits for the next save."""
        return bool(self._records)

    def add(self, *records: Record) -> None:
        """Record rows with the next save."""
        self._records += records

    def audit(
        self,
        event_type: str,
        details: dict[str, Any],
        *,
        actor: str = "SYSTEM",
        status: str = "SUCCESS",
    ) -> None:
        """Record an audit entry with the next save."""
        self.add(self.audit_row(event_type, details, actor=actor, status=status))

    def audit_row(
        self, event_type: str, details: dict[str, Any], *, actor: str, status: str
    ) -> AuditRow:
        """Return an audit entry of now; any thread."""
        return AuditRow(
            time_ns=self._now_ns(),
            event_type=event_type,
            actor=actor,
            details=details,
            status=status,
            box_ns=self._box_ns(),
        )

    def flag(self, **flags: Any) -> None:
        """Persist goals with the next save."""
        self._flags |= flags

    def start_after(self, seq: int) -> None:
        """Number the next states above a restored one."""
        self._seq = seq

    def settle(self, outcome: Outcome) -> None:
        """Record an outcome with the next save."""
        self._outcomes.append(outcome)

    def begin(self, intents: Sequence[Intent]) -> bool:
        """Make intents durable before the first is sent; False where that failed.

        While an earlier save still waits nothing new may begin: its state is not on disk. Nor may
        anything in a journal that was found damaged: a restart could not read it.
        """
        if self._journal.damage:
            self._events.add("critical", "journal", self._journal.damage)
        elif not self._failed:
            try:
                self._journal.commit(intents=intents)
            except JournalError as e:
                self._note_fault(str(e))
            else:
                return True
        self._intents += intents
        return False

    def declared_not_executed(self, magic: int) -> Intent | None:
        """Return the opening intent with this magic if it was settled as not executed."""
        try:
            found = self._journal.intent(intent_of(magic))
        except JournalError as e:
            self._events.add("critical", "journal", str(e))
            return None
        if found is None or found[0].magic != magic or found[0].action != "OPEN":
            return None
        intent, outcome = found
        gone = (IntentState.NOT_SENT, IntentState.REJECTED)
        return intent if outcome is not None and outcome.state in gone else None

    def prune(self, now_ns: int) -> None:
        """Forget intents settled long ago."""
        try:
            self._journal.prune(now_ns - INTENTS_KEPT_NS)
        except JournalError as e:
            self._events.add("critical", "journal", str(e))

    def tidy(self) -> None:
        """Have the journal do what would hold up an order."""
        self._journal.tidy()

    def _tell_damage(self) -> None:
        """Say once that the journal was found damaged: no entries until it is seen to."""
        damage = self._journal.damage
        if damage and damage != self._told:
            self._told = damage
            self._events.add("critical", "journal", damage)
            self.on_doubt(damage)

    def _note_fault(self, fault: str) -> None:
        """Say once that the journal cannot be written, and that it can again."""
        before, self.fault = self.fault, fault
        if fault and fault != before:
            text = f"{fault}: no entries until it can be written; closing goes on"
            self._events.add("critical", "journal", text)
        elif before and not fault:
            self._events.add("info", "journal", "is written again; nothing of it is missing")

    def save(
        self,
        blob: bytes,
        extra: bytes,
        outcomes: Sequence[Outcome] = (),
        *,
        accepted_up_to: int = 0,
    ) -> None:
        """Commit everything collected with the core's state.

        `accepted_up_to`: `last_accepted` before that state was read.
        """
        self._tell_damage()
        self._seq += 1
        self._outcomes += outcomes
        try:
            self._journal.commit(
                intents=self._intents,
                outcomes=self._outcomes,
                records=self._records,
                core=CoreState(self._seq, blob, extra),
                flags=self._flags,
                accepted_up_to=accepted_up_to,
            )
        except JournalError as e:
            self._failed = True
            self._note_fault(str(e))
            if len(self._records) > WAITING_MAX:
                again = (BarsRow, PositionsRow, MetricsRow)
                self._records = [r for r in self._records if not isinstance(r, again)]
            return
        self._failed = False
        self._note_fault("")
        for collected in (self._intents, self._outcomes, self._records, self._flags):
            collected.clear()
