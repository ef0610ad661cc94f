"""What comes after a broker's answer: a pure table, and what is known of one intent meanwhile.

An intent is sent again only where the broker has certainly not taken it: the answer's verdict
says how often. Everything else is settled by evidence.
"""

from typing import Final

import msgspec

from engine.model.orders import Intent, Outcome
from engine.terminal.retcodes import Action, Verdict

# Answers may take turns; an intent is not sent more often than this, and a phase ends.
ROUNDS_MAX: Final = 4


def next_step(verdict: Verdict, n_sent: int, *, closing: bool) -> Action:
    """Return what follows the answer to an intent's `n_sent`-th sending.

    TAKEN: its deals are waited for. LATER: the same intent goes out once more, at the price and by
    the rules of then. REFUSED: it does not. UNKNOWN: the terminal's evidence settles it.
    """
    if verdict.name == "POSITION_CLOSED" and closing:
        return Action.REFUSED  # the broker was faster: its own deal is booked at the next look
    if verdict.action in (Action.TAKEN, Action.UNKNOWN):
        return verdict.action
    return Action.LATER if n_sent < verdict.n_sends else Action.REFUSED


class Attempt(msgspec.Struct):
    """An intent on its way. `wait_s`: how long before it may be sent again."""

    intent: Intent
    filling: int = 0
    n_sent: int = 0
    wait_s: float = 0.0
    detail: str = ""
    outcome: Outcome | None = None

    def answered(self, verdict: Verdict, detail: str) -> Action:
        """Take an answer and return what follows."""
        closing = self.intent.action == "CLOSE"
        step = next_step(verdict, self.n_sent, closing=closing)
        self.detail = detail
        self.wait_s = verdict.wait_s * 2 ** (self.n_sent - 1)
        self.filling += verdict.name == "INVALID_FILL"
        return step
