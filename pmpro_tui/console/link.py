"""Is what the screen shows still true? A word and an age, from two clocks.

The words are those of `engine.model.views.freshness`; LOST is retried with growing pauses. A
clock that is set back cannot make old numbers look new: the time since they arrived
counts too, on the monotonic clock.
"""

from collections.abc import Callable

from engine.model.backoff import Backoff
from engine.model.times import NS_PER_S
from engine.model.views.freshness import Word, word_of
from pmpro_tui.console.draw.text import age

_RETRY_FIRST_S = 0.25
_RETRY_MOST_S = 4.0


class Link:
    """The state of one connection, told by what arrived and when."""

    def __init__(self, now_ns: Callable[[], int], monotonic_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._monotonic_ns = monotonic_ns
        self._taken_ns: int | None = None
        self._arrived_ns = monotonic_ns()
        self._backoff = Backoff(_RETRY_FIRST_S, _RETRY_MOST_S, monotonic_ns)
        self.reason = ""

    def arrived(self, taken_ns: int | None) -> None:
        """Note an answer; `taken_ns` of a new snapshot, None if nothing is new."""
        self._backoff.succeeded()
        self.reason = ""
        if taken_ns is not None:
            self._taken_ns = taken_ns
            self._arrived_ns = self._monotonic_ns()

    def failed(self, reason: str) -> None:
        """Note a failed attempt; the next one waits longer."""
        self._backoff.failed()
        self.reason = reason

    def may_try(self) -> bool:
        """Return whether the pause after the last failure is over."""
        return self._backoff.may_try()

    def age_s(self) -> float:
        """Return how old the numbers on the screen are."""
        by_arrival = self._monotonic_ns() - self._arrived_ns
        by_clock = 0 if self._taken_ns is None else self._now_ns() - self._taken_ns
        return max(by_arrival, by_clock, 0) / NS_PER_S

    @property
    def silence(self) -> str:
        """That the engine says nothing, and for how long; "" while it speaks."""
        return f"{self.word} {age(self.age_s())}" if self.word in ("STALE", "LOST") else ""

    @property
    def word(self) -> Word:
        """The state now."""
        age_s = None if self._taken_ns is None else self.age_s()
        return word_of(age_s, lost=self._backoff.n_failed > 0)
