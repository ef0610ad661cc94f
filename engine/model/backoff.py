"""What was refused is tried again after a second, then twice as long each time, up to a minute."""

from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from engine.model.times import NS_PER_MINUTE, NS_PER_S

FIRST_NS: Final = NS_PER_S
MOST_NS: Final = NS_PER_MINUTE


class Wait(NamedTuple):
    """Not before `until_ns`, `wait_ns` after the last refusal, which said `why`."""

    until_ns: int = 0
    wait_ns: int = 0
    why: str = ""


class Backoff:
    """When each of several things, by its ticket, may be tried again."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._waits: dict[int, Wait] = {}

    def may_try(self, ticket: int) -> bool:
        """Tell whether it may be tried by now."""
        return self._now_ns() >= self.wait(ticket).until_ns

    def wait(self, ticket: int) -> Wait:
        """Return what it waits for; an empty one where nothing was refused."""
        return self._waits.get(ticket, Wait())

    def refused(self, ticket: int, why: str = "") -> None:
        """Wait, or longer than the last time."""
        wait_ns = min(max(FIRST_NS, 2 * self.wait(ticket).wait_ns), MOST_NS)
        self._waits[ticket] = Wait(self._now_ns() + wait_ns, wait_ns, why)

    def done(self, ticket: int) -> None:
        """Forget what was done."""
        self._waits.pop(ticket, None)

    def keep(self, tickets: Collection[int]) -> None:
        """Forget all but these."""
        self._waits = {ticket: wait for ticket, wait in self._waits.items() if ticket in tickets}

    def clear(self) -> None:
        """Let everything be tried at once."""
        self._waits.clear()
