"""Alerts: the line on every screen while a critical one waits, and the table's columns."""

from typing import Final

from engine.model.views.snapshot import AlertView, ChannelView, Snapshot
from pmpro_tui.console.draw.columns import Column
from pmpro_tui.console.draw.text import Line, Span, fit
from pmpro_tui.console.draw.zone import Zone
from pmpro_tui.console.screens.event_rows import LEVELS

CRITICAL: Final = "critical"
_ORDER: Final = ("critical", "error", "warning", "info", "debug")

_View = Column[AlertView]


def waiting(now: Snapshot | None) -> bool:
    """Return whether a critical alert has not been acknowledged."""
    return now is not None and now.n_unacked_critical > 0


def alarm(now: Snapshot, zone: Zone, width: int) -> Line:
    """Return the line that no screen is without until somebody acknowledges."""
    n = now.n_unacked_critical
    newest = next((a for a in now.alerts if a.level == CRITICAL and not a.acked_ns), None)
    what = f"{zone.stamp(newest.time_ns)[:-3]} {newest.source}: {newest.text}" if newest else ""
    head, tail = f" ! {n} CRITICAL ", " 7 a: acknowledge "
    room = max(0, width - len(head) - len(tail))
    return Line((Span(head), Span(fit(what, room)), Span(tail)), "alarm")


def columns(zone: Zone) -> tuple[_View, ...]:
    """Return the columns, times in `zone`."""

    def seen(alert: AlertView) -> Span:
        if alert.acked_ns:
            # Not when: that is the box's clock, and the list has the market's. The record has both.
            return Span(alert.acked_by, "muted")
        return Span("NOT SEEN" if alert.level == CRITICAL else "–", _tone(alert))

    return (
        _View(
            header="Time", cell=lambda a: Span(zone.stamp(a.time_ns), "muted"), least=14, most=14
        ),
        _View(
            header="Level",
            cell=lambda a: (
                Span("crit", "muted") if _done(a) else LEVELS.get(a.level, Span(a.level))
            ),
            least=5,
            most=5,
            rank=1,
            order=lambda a: _ORDER.index(a.level) if a.level in _ORDER else len(_ORDER),
        ),
        _View(
            header="Source",
            cell=lambda a: Span(a.source, "muted"),
            least=8,
            most=16,
            rank=4,
            measured=True,
            order=lambda a: a.source,
        ),
        _View(header="Alert", cell=lambda a: Span(a.text, _tone(a)), least=34, most=1000, rank=2),
        _View(
            header="N",
            cell=lambda a: Span(f"{a.n:,}", "" if a.n > 1 else "muted"),
            least=3,
            most=6,
            rank=6,
            align="right",
            order=lambda a: -a.n,
        ),
        _View(
            header="Delivery",
            cell=lambda a: Span(a.delivery or "–", _DELIVERY.get(a.delivery.partition(" ")[0], "")),
            least=8,
            most=30,
            rank=5,
            measured=True,
            order=lambda a: a.delivery,
        ),
        _View(header="Seen by", cell=seen, least=8, most=22, rank=3, measured=True),
    )


_DELIVERY: Final = {
    "FAILED": "bad",
    "PENDING": "warn",
    "HELD": "warn",
    "": "muted",
    "NONE": "muted",
}


_Channel = Column[ChannelView]

_STATES: Final = {"OK": "good", "QUIET": "muted"}

CHANNELS: Final[tuple[_Channel, ...]] = (
    _Channel(header="Channel", cell=lambda c: Span(c.name), least=8, most=30, measured=True),
    _Channel(
        header="State",
        cell=lambda c: Span(c.state, _STATES.get(c.state, "bad")),
        least=8,
        most=8,
        rank=1,
    ),
    _Channel(
        header="Waiting",
        cell=lambda c: Span(f"{c.n_waiting:,}", "" if c.n_waiting else "muted"),
        least=7,
        most=7,
        rank=3,
        align="right",
    ),
    _Channel(header="Why", cell=lambda c: Span(c.detail), least=20, most=1000, rank=2),
)


def _done(alert: AlertView) -> bool:
    return alert.level == CRITICAL and alert.acked_ns > 0


def _tone(alert: AlertView) -> str:
    if alert.acked_ns:
        return "muted"
    return {"critical": "bad", "error": "bad", "warning": "warn"}.get(alert.level, "")


def matching(rows: tuple[AlertView, ...], words: str) -> list[AlertView]:
    """Return the alerts in which every word occurs, whatever the case."""
    terms = words.casefold().split()

    def text(a: AlertView) -> str:
        return f"{a.level} {a.source} {a.text} {a.delivery} {a.acked_by}".casefold()

    return [row for row in rows if all(term in text(row) for term in terms)]
