"""What was refused is tried again after a second, then twice as long each time, up to a minute."""

from collections.abc import Callable, Collection
from typing import Final

from engine.model.times import NS_PER_MINUTE, NS_PER_S

FIRST_NS: Final = NS_PER_S
MOST_NS: Final = NS_PER_MINUTE


class Backoff:
    """When each of several things, by its ticket, may be tried again."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._waits: dict[int, tuple[int, int]] = {}

    def may_try(self, ticket: int) -> bool:
        """Tell whether it may be tried by now."""
        not_before_ns, _ = self._waits.get(ticket, (0, 0))
        return self._now_ns() >= not_before_ns

    def refused(self, ticket: int) -> None:
        """Wait, or longer than the last time."""
        _, waited_ns = self._waits.get(ticket, (0, 0))
        wait_ns = min(max(FIRST_NS, 2 * waited_ns), MOST_NS)
        self._waits[ticket] = (self._now_ns() + wait_ns, wait_ns)

    def done(self, ticket: int) -> None:
        """Forget what was done."""
        self._waits.pop(ticket, None)

    def keep(self, tickets: Collection[int]) -> None:
        """Forget all but these."""
        self._waits = {ticket: wait for ticket, wait in self._waits.items() if ticket in tickets}

    def clear(self) -> None:
        """Let everything be tried at once."""
        self._waits.clear()
