"""Growing pauses: what failed is left alone, twice as long after each failure in a row.

Everything that is tried again with growing pauses takes them from here; its figures stand beside
it. See docs/decisions/0052-one-backoff-and-four-actions.md.
"""

from collections.abc import Callable, Collection
from typing import Final

from engine.model.times import NS_PER_S

# What the broker refused to do with a position: a close, its levels.
TICKET_FIRST_S: Final = 1.0
TICKET_MOST_S: Final = 60.0
# Doublings after which any pause has long been the longest; a float ends at 1,024.
_DOUBLINGS_MOST: Final = 64


class Backoff:
    """When one thing may be tried again.

    The pause is `first_s` after the first failure in a row, twice as long after each further one,
    at most `most_s`. `clock` returns nanoseconds. A clock that was set back holds nothing up: a
    pause that seems to last longer than `most_s` is over.
    """

    def __init__(self, first_s: float, most_s: float, clock: Callable[[], int]) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._clock = clock
        self.n_failed = 0
        """Failures in a row."""
        self.until_ns = 0
        """The end of the pause on the clock; 0 before the first failure."""
        self.why = ""
        """What the last failure said."""

    def pause_s(self, n_failed: int) -> float:
        """Return the pause after so many failures in a row, in seconds; 0.0 after none."""
        if n_failed <= 0:
            return 0.0
        return min(self._first_s * 2.0 ** min(n_failed - 1, _DOUBLINGS_MOST), self._most_s)

    def failed(self, why: str = "") -> float:
        """Note a failure; return the pause after it, in seconds."""
        self.n_failed += 1
        self.why = why
        pause_s = self.pause_s(self.n_failed)
        self.until_ns = self._clock() + round(pause_s * NS_PER_S)
        return pause_s

    def succeeded(self, rest_s: float = 0.0) -> None:
        """Forget the failures; the next try may come after `rest_s` seconds."""
        self.n_failed, self.why = 0, ""
        self.until_ns = self._clock() + round(rest_s * NS_PER_S) if rest_s else 0

    def may_try(self) -> bool:
        """Return whether the pause is over."""
        return not 0 < self.until_ns - self._clock() <= round(self._most_s * NS_PER_S)


class TicketBackoffs:
    """A backoff for each position, by its ticket, while the broker refuses something of it."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._of: dict[int, Backoff] = {}

    def of(self, ticket: int) -> Backoff | None:
        """Return a ticket's backoff; None where nothing was refused."""
        return self._of.get(ticket)

    def may_try(self, ticket: int) -> bool:
        """Return whether nothing was refused, or the pause after it is over."""
        backoff = self.of(ticket)
        return backoff is None or backoff.may_try()

    def refused(self, ticket: int, why: str = "") -> None:
        """Note a refusal; the next try waits longer."""
        fresh = Backoff(TICKET_FIRST_S, TICKET_MOST_S, self._clock)
        self._of.setdefault(ticket, fresh).failed(why)

    def done(self, ticket: int) -> None:
        """Forget what was done."""
        self._of.pop(ticket, None)

    def keep(self, tickets: Collection[int]) -> None:
        """Forget all but these."""
        self._of = {ticket: kept for ticket, kept in self._of.items() if ticket in tickets}

    def clear(self) -> None:
        """Let everything be tried at once."""
        self._of.clear()
