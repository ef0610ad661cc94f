"""A step of the engine's thread that fails is never trading as usual.

Each step of a turn has a border of its own, so that what fails keeps no other step from running: a
snapshot that cannot be made holds up no close. The first failure sets REDUCING; a step that fails
`FAILED_MAX` times in a row halts entries. Both are critical events, audited and saved; an operator
alone lifts them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import structlog

from engine.model.printable import described
from engine.trading.events import EventLog

if TYPE_CHECKING:
    from engine.trading.trader import Trader

FAILED_MAX: Final = 3

_log = structlog.get_logger(__name__)


class Failures:
    """Counts the engine thread's failed steps and keeps entries out after them.

    `n_total` since the start, `last` in words; `unsaved`: why the state after the last one is not
    saved, "" where it is.
    """

    def __init__(self, events: EventLog, trader: "Callable[[], Trader | None]") -> None:
        self._events = events
        self._trader = trader
        self._in_a_row: dict[str, int] = {}
        self.n_total = 0
        self.last = ""
        self.unsaved = ""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Run a step inside; what it raises ends here."""
        try:
            yield
        except Exception as error:  # border: the engine's thread outlives a failed step
            self.note(name, error)
        else:
            self._in_a_row.pop(name, None)

    def note(self, name: str, error: Exception) -> None:
        """Take the failure of a step: no entries, and the state saved."""
        n = self._in_a_row[name] = self._in_a_row.get(name, 0) + 1
        self.n_total += 1
        self.last = f"{name} failed: {described(error)}"
        trader = self._trader()
        if trader is None:
            self._events.add("critical", "engine", self.last)
            return
        if n >= FAILED_MAX:
            news = trader.give_up(f"{self.last}, {n} times in a row")
        else:
            news = trader.active and trader.doubt(self.last)
        if news or self.n_total & (self.n_total - 1) == 0:  # else as often as it doubles
            _log.error("engine_step_failed", step=name, n_in_a_row=n, exc_info=error)
            words = "entries halted" if n >= FAILED_MAX else "no new entries"
            times = f" ({n} times in a row)" if n > 1 else ""
            self._events.add("critical", "engine", f"{self.last}{times}; {words}")
        if news:
            self._save(trader)

    def _save(self, trader: "Trader") -> None:
        try:
            trader.save()
            self.unsaved = ""
        except Exception as error:  # border: what failed may be the save itself
            self.unsaved = described(error)
            self._events.add("critical", "engine", f"the state is not saved: {self.unsaved}")
