"""Orders: durable before they are sent, one at the venue at most, settled by their deals.

A phase's intents are committed in one transaction before the first is sent. The caller applies
the outcomes and commits them together with its own state.
"""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
import structlog

from engine.execution.outcomes import LOTS_EPS, deals_of, done, lots_of
from engine.execution.steps import ROUNDS_MAX, Attempt
from engine.execution.terminal import Terminal
from engine.model.broker import OrderRequest, OrderResult
from engine.model.errors import BrokerError, NotSent, OutcomeUnknown
from engine.model.orders import Intent, IntentState, Outcome
from engine.model.printable import described
from engine.model.times import NS_PER_HOUR, NS_PER_MINUTE
from engine.terminal.retcodes import PARTIAL, Action, Verdict, classify

log = structlog.get_logger(__name__)

# A terminal shows a deal hundreds of milliseconds after it answered DONE.
DEAL_WAIT_S = 3.0
_DEAL_POLL_S = 0.05
# An entry is good until the next bar closes: nothing is opened on old quotes.
ENTRY_VALID_NS = NS_PER_MINUTE
# A call that fails after so long means that nobody is there: the rest of the phase waits.
LOST_S = 2.0
COMMENT_PREFIX = "pm"
# Between two orders while the broker says that they are too many.
BUSY_GAP_S = 0.05


def request_of(intent: Intent, filling: int = 0) -> OrderRequest:
    """Return the market deal that carries out an intent."""
    opening = intent.action == "OPEN"
    return OrderRequest(
        symbol=intent.symbol,
        direction=intent.direction if opening else -intent.direction,
        lots=intent.lots,
        price=intent.price,
        magic=intent.magic,
        comment=f"{COMMENT_PREFIX}{intent.id}",
        stop=intent.stop if opening else 0.0,
        target=intent.target if opening else 0.0,
        position=0 if opening else intent.position,
        valid_until_ns=intent.batch_ns + ENTRY_VALID_NS if opening else 0,
        filling=filling,
    )


class OrderPolicy(Protocol):
    """Who asks for a phase's orders, and is asked about them while they are under way."""

    def allowed(self, intent: Intent) -> bool:
        """Tell, right before each sending, whether it may still go out."""

    def again(self, intent: Intent) -> Intent | str:
        """Return an intent at the price of now, or why the rules no longer allow it."""

    def refused(self, intent: Intent, verdict: Verdict) -> None:
        """Hear that the broker refused an intent, before the next is sent."""

    def wait(self, seconds: float) -> None:
        """Wait, or shorter where something urgent comes."""


class Router:
    """Sends intents through the terminal; one intent makes one venue order at most.

    `begin` makes a phase's intents durable and tells whether it could; `last_id` is the highest
    intent id ever used.
    """

    def __init__(
        self,
        terminal: Terminal,
        begin: Callable[[Sequence[Intent]], bool],
        last_id: int,
        *,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._terminal = terminal
        self._begin = begin
        self._pause = pause
        self._last_id = last_id
        # What the broker said that forbids all entries, "" for nothing; the caller acts on it.
        self.barred = ""
        # Filling modes to pass over, by symbol: the broker refused them.
        self._filling: dict[str, int] = {}
        self._gap_s = 0.0
        self._failed: list[Exception] = []
        self._lost = self._no_entries = False

    def new_id(self) -> int:
        """Return the next intent id; ids are never used again."""
        self._last_id += 1
        return self._last_id

    def skip_ids(self, used_id: int) -> None:
        """Go on above an id that the terminal shows, whatever the journal knows."""
        self._last_id = max(self._last_id, used_id)

    def execute(
        self, intents: Sequence[Intent], *, policy: OrderPolicy
    ) -> list[tuple[Intent, Outcome]]:
        """Journal the intents, send each in turn; return them as sent, and what became of them.

        What the broker certainly did not take goes out again after the others, at the price of
        then, while it may. After an unknown outcome no further entry of the phase is sent, and
        nothing at all once the terminal does not answer. Where the journal cannot be written
        nothing is opened, but closing goes on: the position, not the journal, is the danger.
        """
        if not intents:
            return []
        self._no_entries, self._lost = not self._begin(intents), False
        attempts = [Attempt(i, filling=self._filling.get(i.symbol, 0)) for i in intents]
        waiting, busy = attempts, False
        for _ in range(ROUNDS_MAX):
            busy |= self._round(waiting, policy)
            waiting = [a for a in waiting if a.outcome is None]
            if not waiting:
                break
            policy.wait(max(a.wait_s for a in waiting))
        for a in waiting:
            a.outcome = _outcome(a.intent, IntentState.NOT_SENT, detail=a.detail or "no time left")
        self._gap_s = BUSY_GAP_S if busy else 0.0
        return self._with_deals(attempts)

    def _round(self, waiting: Sequence[Attempt], policy: OrderPolicy) -> bool:
        """Send what waits once more; True where the broker takes no more requests now."""
        for a in waiting:
            if self._gap_s:
                policy.wait(self._gap_s)
            if self._send_safely(a, policy) == "TOO_MANY_REQUESTS":
                self._gap_s = BUSY_GAP_S
                return True
        return False

    def take_failed(self) -> list[Exception]:
        """Return what was raised while orders were under way, since the last call."""
        failed, self._failed = self._failed, []
        return failed

    def _send_safely(self, a: Attempt, policy: OrderPolicy) -> str:
        try:
            return self._send(a, policy)
        except Exception as e:  # border: the phase's other orders go their way
            self._failed.append(e)
            self._no_entries = True
            a.outcome = _outcome(a.intent, IntentState.UNKNOWN, detail=described(e))
            return ""

    def _send(self, a: Attempt, policy: OrderPolicy) -> str:
        """Send one intent if it may go out; return the name of the answer."""
        changed = policy.again(a.intent) if a.n_sent and not self._lost else a.intent
        if isinstance(changed, str):
            detail = f"{a.detail}, then {changed}"
            a.outcome = _outcome(a.intent, IntentState.REJECTED, detail=detail)
            return ""
        a.intent = changed
        opening = a.intent.action == "OPEN"
        if self._lost:
            a.outcome = _outcome(a.intent, IntentState.NOT_SENT, detail="no answer from terminal")
        elif (opening and self._no_entries) or not policy.allowed(a.intent):
            detail = "withdrawn before sending"
            a.outcome = _outcome(a.intent, IntentState.NOT_SENT, detail=detail)
        else:
            began_s = time.monotonic()
            name = self._ask(a, policy)
            silent = a.outcome is not None and not a.outcome.retcode
            self._lost = silent and time.monotonic() - began_s >= LOST_S
            unknown = a.outcome is not None and a.outcome.state == IntentState.UNKNOWN
            self._no_entries |= unknown or bool(self.barred)
            return name
        return ""

    def _ask(self, a: Attempt, policy: OrderPolicy) -> str:
        a.n_sent += 1
        try:
            result = self._terminal.send(request_of(a.intent, a.filling))
        except NotSent as e:
            a.outcome = _outcome(a.intent, IntentState.NOT_SENT, detail=str(e))
            return ""
        except OutcomeUnknown as e:
            log.error("order_outcome_unknown", intent=a.intent.id, symbol=a.intent.symbol)
            a.outcome = _outcome(a.intent, IntentState.UNKNOWN, detail=str(e))
            return ""
        verdict = classify(result)
        self._judge(a, result, verdict)
        if verdict.halts_entries:
            self.barred = f"{verdict.name}: {verdict.note or result.comment or result.error_text}"
        elif a.outcome is not None and a.outcome.state in (
            IntentState.REJECTED,
            IntentState.NOT_SENT,
        ):
            policy.refused(a.intent, verdict)
        return verdict.name

    def _judge(self, a: Attempt, result: OrderResult, verdict: Verdict) -> None:
        """Take an answer: the outcome as far as it is told, none where it is sent again."""
        reason = "" if verdict.filled else f"{verdict.name} {result.comment or result.error_text}"
        step = a.answered(verdict, reason.strip())
        if step is Action.LATER:
            log.warning("order_refused", intent=a.intent.id, answer=verdict.name, n_sent=a.n_sent)
            return
        if step is Action.TAKEN and a.filling:
            self._filling[a.intent.symbol] = a.filling
        state = {Action.TAKEN: IntentState.DONE, Action.UNKNOWN: IntentState.UNKNOWN}.get(step)
        if state is None:  # a None result that certainly left nothing has no code
            state = IntentState.REJECTED if result.retcode else IntentState.NOT_SENT
        a.outcome = _outcome(
            a.intent,
            state,
            retcode=result.retcode,
            order=result.order,
            lots=result.lots or a.intent.lots,
            detail=a.detail,
        )

    def _with_deals(self, attempts: Sequence[Attempt]) -> list[tuple[Intent, Outcome]]:
        """Replace each DONE by what its deals say; without all of them in time it is unknown."""
        settled = [(a.intent, a.outcome) for a in attempts if a.outcome is not None]
        waiting = [i for i, (_, o) in enumerate(settled) if o.state == IntentState.DONE]
        from_ns = min(intent.created_ns for intent, _ in settled) - NS_PER_HOUR
        for attempt in range(int(DEAL_WAIT_S / _DEAL_POLL_S)):
            if not waiting:
                return settled
            if attempt:
                self._pause(_DEAL_POLL_S)
            try:
                deals = self._terminal.deals(from_ns)
                parts = any(settled[i][1].retcode == PARTIAL for i in waiting)
                working = {o.magic for o in self._terminal.orders()} if parts else set()
            except BrokerError as e:
                log.warning("deals_unread", error=str(e))
                break
            for i in list(waiting):
                intent, answer = settled[i]
                own = deals_of(intent, answer.order, deals)
                if intent.magic not in working and lots_of(own) >= answer.lots - LOTS_EPS:
                    settled[i] = intent, done(intent, own, answer.retcode)
                    waiting.remove(i)
        for i in waiting:
            intent, answer = settled[i]
            detail = f"{answer.detail or 'done'}, but not all its deals have appeared"
            settled[i] = (
                intent,
                msgspec.structs.replace(answer, state=IntentState.UNKNOWN, lots=0.0, detail=detail),
            )
        return settled


def _outcome(
    intent: Intent,
    state: IntentState,
    *,
    retcode: int = 0,
    order: int = 0,
    lots: float = 0.0,
    detail: str = "",
) -> Outcome:
    kept = lots if state == IntentState.DONE else 0.0
    return Outcome(
        intent_id=intent.id, state=state, retcode=retcode, order=order, lots=kept, detail=detail
    )
