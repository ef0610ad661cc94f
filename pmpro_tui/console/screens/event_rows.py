"""The event log: its columns, and the merging of what each snapshot brings."""

from collections import deque
from typing import Final

from engine.model.views.snapshot import EventView
from pmpro_tui.console.draw.columns import Column
from pmpro_tui.console.draw.text import Span
from pmpro_tui.console.draw.zone import Zone

KEPT: Final = 1000

# A word each, so that levels are told apart without colour.
LEVELS: Final = {
    "debug": Span("debug", "muted"),
    "info": Span("info", "muted"),
    "warning": Span("WARN", "warn"),
    "error": Span("ERROR", "bad"),
    "critical": Span("CRIT!", "bad"),
}

_View = Column[EventView]


def _tone(event: EventView) -> str:
    return {"warning": "warn", "error": "bad", "critical": "bad", "debug": "muted"}.get(
        event.level, ""
    )


def columns(zone: Zone) -> tuple[_View, ...]:
    """Return the columns, times in `zone`."""
    return (
        _View(
            header="Time",
            cell=lambda e: Span(zone.stamp(e.time_ns), "muted"),
            least=14,
            most=14,
            rank=0,
        ),
        _View(
            header="Level",
            cell=lambda e: LEVELS.get(e.level, Span(e.level)),
            least=5,
            most=5,
            rank=2,
        ),
        _View(
            header="Source",
            cell=lambda e: Span(e.source, "muted"),
            least=8,
            most=18,
            roomy=30,
            rank=3,
            measured=True,
        ),
        _View(header="Event", cell=lambda e: Span(e.text, _tone(e)), least=24, most=1000, rank=1),
    )


def matching(rows: list[EventView], words: str) -> list[EventView]:
    """Return the events in which every word occurs, whatever the case."""
    terms = words.casefold().split()
    if not terms:
        return rows
    return [e for e in rows if all(t in f"{e.level} {e.source} {e.text}".casefold() for t in terms)]


class EventList:
    """The last events by sequence number; an engine that starts over clears it."""

    def __init__(self) -> None:
        self._events: deque[EventView] = deque(maxlen=KEPT)

    @property
    def rows(self) -> list[EventView]:
        """All kept events, oldest first."""
        return list(self._events)

    @property
    def last_seq(self) -> int:
        """The newest sequence number seen."""
        return self._events[-1].seq if self._events else 0

    def add(self, events: tuple[EventView, ...], *, restarted: bool) -> None:
        """Append what is new."""
        if restarted:
            self._events.clear()
        self._events.extend(event for event in events if event.seq > self.last_seq)
