"""Unknown outcomes: proved by the terminal's evidence, or disproved by three looks over 30 s.

An absence is believed only when orders, deals and positions were read successfully three times
over at least 30 s and show nothing (MetaTrader may lag; an order may be under way).
"""

import time
from collections.abc import Callable, Sequence

from engine.execution.outcomes import deals_of, done
from engine.execution.terminal import Terminal
from engine.model.orders import Intent, IntentState, Outcome
from engine.model.times import NS_PER_HOUR

ABSENCE_READS = 3
ABSENCE_S = 30.0
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
        from_ns = min(intent.created_ns for intent in intents) - NS_PER_HOUR
        deals = self._terminal.deals(from_ns)
        orders = self._terminal.orders()
        positions = self._terminal.positions()
        present = {order.magic for order in orders} | {p.magic for p in positions}
        outcomes = []
        for intent in intents:
            if own := deals_of(intent, 0, deals):
                outcomes.append(done(intent, own))
                self._looks.pop(intent.id, None)
            elif intent.magic in present:
                self._looks.pop(intent.id, None)
            elif self._absent(intent):
                del self._looks[intent.id]
                outcomes.append(
                    Outcome(
                        intent_id=intent.id,
                        state=IntentState.NOT_SENT,
                        detail=f"absent in {ABSENCE_READS} reads over {ABSENCE_S:.0f} s",
                    )
                )
        return outcomes

    def _absent(self, intent: Intent) -> bool:
        now_s = self._monotonic_s()
        looks = self._looks.setdefault(intent.id, [])
        if not looks or now_s - looks[-1] >= _READ_EVERY_S:
            looks.append(now_s)
        return len(looks) >= ABSENCE_READS and looks[-1] - looks[0] >= ABSENCE_S
