"""Unknown outcomes: proved by the terminal's evidence, or disproved by three looks over 30 s.

An absence is believed only when a connected terminal's orders, positions and deals were read
successfully three times over at least 30 s and show nothing (MetaTrader may lag; an order may be
under way). An order that the terminal's history says was rejected, cancelled or expired unfilled is
disproved at once, and a closing order where the broker itself closed its position.
"""

import time
from collections.abc import Callable, Sequence

from engine.execution.outcomes import CLOSING, LOTS_EPS, deals_of, done, lots_of
from engine.execution.terminal import Terminal
from engine.model.broker import BrokerDeal, BrokerOrder
from engine.model.orders import Intent, IntentState, Outcome
from engine.model.times import NS_PER_HOUR

ABSENCE_READS = 3
ABSENCE_S = 30.0
# ORDER_STATE_*: cancelled, rejected, expired; partly and wholly filled.
_UNFILLED = (2, 5, 6)
_FILLED = (3, 4)
_READ_EVERY_S = ABSENCE_S / (ABSENCE_READS - 1)


class Reconciler:
    """Remembers how often each unknown intent was looked for in vain."""

    def __init__(
        self, terminal: Terminal, *, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._terminal = terminal
        self._monotonic_s = monotonic_s
        self._looks: dict[int, list[float]] = {}

    def settle(self, intents: Sequence[Intent]) -> list[Outcome]:
        """Return the outcomes that are certain by now; the others stay unknown.

        Raises:
            BrokerError: the terminal could not be read; nothing was concluded.
        """
        if not intents:
            return []
        connected = bool(self._terminal.terminal()["connected"])
        working = {order.magic for order in self._terminal.orders()}
        positions = self._terminal.positions()
        held = {p.identifier for p in positions}
        from_ns = min(i.created_ns for i in intents) - NS_PER_HOUR
        ended = self._terminal.order_history(from_ns)
        visible = working | {p.magic for p in positions}
        visible |= {order.magic for order in ended if order.state in _FILLED}
        # Deals last: whatever made a position vanish before is in them.
        deals = self._terminal.deals(from_ns)
        outcomes = []
        for intent in intents:
            own = [] if intent.magic in working else deals_of(intent, 0, deals)
            if own:
                if _whole(intent, own, ended):
                    outcomes.append(done(intent, own))
            elif intent.position and intent.position not in held and _closed(intent, deals):
                outcomes.append(_not_sent(intent, "closed by the broker meanwhile"))
            elif intent.magic not in visible and _refused(intent, ended):
                detail = "the terminal's history has it as rejected, cancelled or expired"
                outcomes.append(_not_sent(intent, detail, IntentState.REJECTED))
            elif intent.magic in visible:
                self._looks.pop(intent.id, None)
            elif connected and self._absent(intent):
                detail = f"absent in {ABSENCE_READS} reads over {ABSENCE_S:.0f} s"
                outcomes.append(_not_sent(intent, detail))
        for outcome in outcomes:
            self._looks.pop(outcome.intent_id, None)
        return outcomes

    def _absent(self, intent: Intent) -> bool:
        now_s = self._monotonic_s()
        looks = self._looks.setdefault(intent.id, [])
        if not looks or now_s - looks[-1] >= _READ_EVERY_S:
            looks.append(now_s)
        return len(looks) >= ABSENCE_READS and looks[-1] - looks[0] >= ABSENCE_S


def _closed(intent: Intent, deals: Sequence[BrokerDeal]) -> bool:
    return any(d.position_id == intent.position and d.entry in CLOSING for d in deals)


def _refused(intent: Intent, ended: Sequence[BrokerOrder]) -> bool:
    own = [order for order in ended if order.magic == intent.magic]
    return bool(own) and all(
        order.state in _UNFILLED and order.lots_current >= order.lots_initial - LOTS_EPS
        for order in own
    )


def _whole(intent: Intent, own: Sequence[BrokerDeal], ended: Sequence[BrokerOrder]) -> bool:
    """Tell whether an intent's deals are all there: others of the same order may still appear."""
    lots = lots_of(own)
    if lots >= intent.lots - LOTS_EPS:
        return True
    filled = [o.lots_initial - o.lots_current for o in ended if o.ticket == own[0].order]
    return bool(filled) and lots >= filled[0] - LOTS_EPS


def _not_sent(intent: Intent, detail: str, state: IntentState = IntentState.NOT_SENT) -> Outcome:
    return Outcome(intent_id=intent.id, state=state, detail=detail)
