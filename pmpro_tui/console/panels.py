"""What the panels say about a snapshot, as lines. Pure.

What is unknown is said to be unknown: a starting engine's empty list is not "no positions".
"""

from collections.abc import Sequence
from typing import Final

from engine.model.snapshot import EventView, Snapshot
from pmpro_tui.console import eventlog
from pmpro_tui.console.actions import known
from pmpro_tui.console.columns import fitted
from pmpro_tui.console.curve import change_text, curve_lines
from pmpro_tui.console.gauges import gauge_lines, risk_line
from pmpro_tui.console.table import title_line
from pmpro_tui.console.text import Line, Span, fit, line, line_width, spread

PANELS: Final = ("strategies", "positions", "risk", "equity", "events")
UNKNOWN: Final = "not known yet"

_NOT_KNOWN: Final = line(Span(f"  {UNKNOWN}", "muted"))


def note(now: Snapshot | None, words: str, order: str) -> str:
    """Return why the engine does not trade freely, the filter and the order, as they apply."""
    why = now.state_reason if now is not None and now.state != "ACTIVE" else ""
    filtered = f"/{words}" if words.strip() else ""
    ordered = "" if order == "file" else f"by {order}"
    return " ".join(part for part in (why, filtered, ordered) if part)


def strategies_title(now: Snapshot, n_shown: int) -> str:
    """Return the strategy table's title with its counts."""
    if not known(now):
        return "Strategies"
    total = len(now.strategies)
    return f"Strategies {total}" if n_shown == total else f"Strategies {n_shown}/{total}"


def why_no_strategies(now: Snapshot, words: str, events: Sequence[EventView]) -> str:
    """Return what an empty strategy table says."""
    if words.strip():
        return f"nothing matches /{words}: esc shows all"
    if not known(now):
        return f"the engine is {now.state}: {events[-1].text if events else now.state_reason}"
    return "no strategies: the portfolio file names what trades"


def tabs(now: Snapshot | None, active: str, remark: str, width: int) -> Line:
    """Return the small screen's panel names; brackets mark the one that is shown."""
    counts = {}
    if now is not None and known(now):
        counts = {"strategies": len(now.strategies), "positions": len(now.positions)}
    parts = []
    for name in PANELS:
        text = f"{name.capitalize()} {counts.get(name, '')}".strip()
        on = name == active
        parts.append(Span(f"[{text}]" if on else f" {text} ", "tab" if on else "muted"))
    names = Line(tuple(parts))
    room = width - line_width(names) - 2
    right = fit(remark, room, "right") if room > 0 else ""
    return spread(names, line(Span(f"{right} ", "accent")), width)


def brief(now: Snapshot | None, width: int) -> list[Line]:
    """Return the small screen's line of money and risk."""
    return [risk_line(now.risk, width)] if now is not None and known(now) else [_NOT_KNOWN]


def risk(now: Snapshot | None, width: int, *, titled: bool) -> list[Line]:
    """Return the risk panel."""
    title = [title_line("Risk", "", width, active=False)] if titled else []
    if now is None or not known(now):
        return [*title, _NOT_KNOWN]
    return [*title, *gauge_lines(now.risk, now.currency, width)]


def equity(now: Snapshot | None, width: int, height: int, *, titled: bool) -> list[Line]:
    """Return the equity panel."""
    remark = change_text(now.equity_points) if now is not None else ""
    title = [title_line("Equity", remark, width, active=False)] if titled else []
    if now is None or not known(now):
        return [*title, _NOT_KNOWN]
    return [*title, *curve_lines(now.equity_points, width, height - len(title))]


def recent(events: Sequence[EventView], width: int, height: int) -> list[Line]:
    """Return the small screen's last events, under a title."""
    rows = events[-max(1, height - 1) :]
    shape = fitted(eventlog.COLUMNS, width, rows)
    title = title_line("Events", "", width, active=False)
    return [title, *(shape.row(row, marked=False, active=False) for row in rows)]
