"""What comes after a broker's answer: a pure table, and what is known of one intent meanwhile.

An intent is sent again only where the broker has certainly not taken it: the answer's verdict
says how often. Everything else is settled by evidence.
"""

import enum
from typing import Final

import msgspec

from engine.model.orders import Intent, Outcome
from engine.terminal.retcodes import Action, Verdict

# Answers may take turns; an intent is not sent more often than this, and a phase ends.
ROUNDS_MAX: Final = 4


class Step(enum.StrEnum):
    """What to do with an intent that was answered."""

    FOLLOW = "FOLLOW"
    """Taken: its deals say what it did."""
    AGAIN = "AGAIN"
    """Certainly not taken: the same intent once more, at the price and by the rules of then."""
    REFUSED = "REFUSED"
    """Certainly not taken, and not again."""
    UNKNOWN = "UNKNOWN"
    """Perhaps taken: never again; the terminal's evidence settles it."""


def next_step(verdict: Verdict, n_sent: int, *, closing: bool) -> Step:
    """Return what follows the answer to an intent's `n_sent`-th sending."""
    if verdict.name == "POSITION_CLOSED" and closing:
        return Step.REFUSED  # the broker was faster: its own deal is booked at the next look
    if verdict.action is Action.OK:
        return Step.FOLLOW
    if verdict.action is Action.RECONCILE:
        return Step.UNKNOWN
    return Step.AGAIN if n_sent < verdict.n_sends else Step.REFUSED


class Attempt(msgspec.Struct):
    """An intent on its way. `wait_s`: how long before it may be sent again."""

    intent: Intent
    filling: int = 0
    n_sent: int = 0
    wait_s: float = 0.0
    detail: str = ""
    outcome: Outcome | None = None

    def answered(self, verdict: Verdict, detail: str) -> Step:
        """Take an answer and return what follows."""
        closing = self.intent.action == "CLOSE"
        step = next_step(verdict, self.n_sent, closing=closing)
        self.detail = detail
        self.wait_s = verdict.wait_s * 2 ** (self.n_sent - 1)
        self.filling += verdict.name == "INVALID_FILL"
        return step
