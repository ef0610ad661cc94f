"""Orders: durable before they are sent, sent once, settled by the deals they made.

A phase's intents are committed in one transaction before the first is sent. The caller applies
the outcomes and commits them together with its own state.
"""

import time
from collections.abc import Callable, Sequence

import structlog

from engine.execution.outcomes import deals_of, done
from engine.execution.terminal import Terminal
from engine.model.broker import OrderRequest, OrderResult
from engine.model.errors import BrokerError, NotSent, OutcomeUnknown
from engine.model.orders import Intent, IntentState, Outcome
from engine.model.times import NS_PER_HOUR, NS_PER_MINUTE
from engine.terminal.retcodes import Action, Verdict, classify

log = structlog.get_logger(__name__)

# A terminal shows a deal hundreds of milliseconds after it answered DONE.
DEAL_WAIT_S = 3.0
_DEAL_POLL_S = 0.05
# An entry is good until the next bar closes: nothing is opened on old quotes.
ENTRY_VALID_NS = NS_PER_MINUTE
# A call that fails after so long means that nobody is there: the rest of the phase waits.
_LOST_S = 2.0
COMMENT_PREFIX = "pm"


def request_of(intent: Intent) -> OrderRequest:
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
    )


class Router:
    """Sends intents through the terminal, never one twice.

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

    def new_id(self) -> int:
        """Return the next intent id; ids are never used again."""
        self._last_id += 1
        return self._last_id

    def skip_ids(self, used_id: int) -> None:
        """Go on above an id that the terminal shows, whatever the journal knows."""
        self._last_id = max(self._last_id, used_id)

    def execute(
        self, intents: Sequence[Intent], *, allowed: Callable[[Intent], bool]
    ) -> list[Outcome]:
        """Journal the intents, send each in turn and return what became of them, in order.

        `allowed` is asked again right before each send: a kill may have come in between. After an
        unknown outcome no further entry of the phase is sent, and nothing at all once the terminal
        does not answer. Where the journal cannot be written nothing is opened, but closing goes
        on: the position, not the journal, is the danger.
        """
        if not intents:
            return []
        no_entries = not self._begin(intents)
        lost = False
        outcomes: list[Outcome] = []
        for intent in intents:
            if lost:
                outcome = _outcome(intent, IntentState.NOT_SENT, detail="no answer from terminal")
            elif not allowed(intent) or (no_entries and intent.action == "OPEN"):
                outcome = _outcome(intent, IntentState.NOT_SENT, detail="withdrawn before sending")
            else:
                began_s = time.monotonic()
                outcome = self._send(intent)
                failed = outcome.state != IntentState.DONE and not outcome.retcode
                lost = failed and time.monotonic() - began_s >= _LOST_S
            no_entries = no_entries or outcome.state == IntentState.UNKNOWN or bool(self.barred)
            outcomes.append(outcome)
        return self._with_deals(intents, outcomes)

    def _send(self, intent: Intent) -> Outcome:
        try:
            result = self._terminal.send(request_of(intent))
        except NotSent as e:
            return _outcome(intent, IntentState.NOT_SENT, detail=str(e))
        except OutcomeUnknown as e:
            log.error("order_outcome_unknown", intent=intent.id, symbol=intent.symbol)
            return _outcome(intent, IntentState.UNKNOWN, detail=str(e))
        verdict = classify(result)
        if verdict.block_entries:
            self.barred = f"{verdict.name}: {verdict.note or result.comment or result.error_text}"
        return _judged(intent, result, verdict)

    def _with_deals(self, intents: Sequence[Intent], outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Replace each DONE by what its deals say; without a deal in time it is unknown."""
        settled = list(outcomes)
        waiting = [i for i, o in enumerate(settled) if o.state == IntentState.DONE]
        from_ns = min(intent.created_ns for intent in intents) - NS_PER_HOUR
        for attempt in range(int(DEAL_WAIT_S / _DEAL_POLL_S)):
            if not waiting:
                return settled
            if attempt:
                self._pause(_DEAL_POLL_S)
            try:
                deals = self._terminal.deals(from_ns)
            except BrokerError as e:
                log.warning("deals_unread", error=str(e))
                break
            for i in list(waiting):
                own = deals_of(intents[i], settled[i].order, deals)
                if own:
                    settled[i] = done(intents[i], own, settled[i].retcode)
                    waiting.remove(i)
        for i in waiting:
            settled[i] = _outcome(
                intents[i],
                IntentState.UNKNOWN,
                retcode=settled[i].retcode,
                order=settled[i].order,
                detail="done, but its deal has not appeared",
            )
        return settled


def _judged(intent: Intent, result: OrderResult, verdict: Verdict) -> Outcome:
    if verdict.name == "POSITION_CLOSED" and intent.action == "CLOSE":
        # The broker was faster (a stop, a hand): its own deal is booked at the next look.
        detail = "already closed at the broker"
        return _outcome(intent, IntentState.REJECTED, retcode=result.retcode, detail=detail)
    state = {
        Action.OK: IntentState.DONE,
        Action.RECONCILE: IntentState.UNKNOWN,
    }.get(verdict.action, IntentState.REJECTED)
    return _outcome(
        intent,
        state,
        retcode=result.retcode,
        order=result.order,
        detail="" if verdict.filled else f"{verdict.name} {result.comment or result.error_text}",
    )


def _outcome(
    intent: Intent, state: IntentState, *, retcode: int = 0, order: int = 0, detail: str = ""
) -> Outcome:
    return Outcome(
        intent_id=intent.id, state=state, retcode=retcode, order=order, detail=detail.strip()
    )
