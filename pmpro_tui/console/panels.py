"""What the panels say about a snapshot, as lines. Pure.

What is unknown is said to be unknown: a starting engine's empty list is not "no positions".
"""

from collections.abc import Sequence
from typing import Final

from engine.model.snapshot import EventView, Snapshot
from pmpro_tui.console import eventlog
from pmpro_tui.console.columns import fitted
from pmpro_tui.console.context import known
from pmpro_tui.console.curve import change_text, curve_lines
from pmpro_tui.console.gauges import gauge_lines, risk_line
from pmpro_tui.console.table import title_line
from pmpro_tui.console.text import Line, Span, line

UNKNOWN: Final = "not known yet"

_NOT_KNOWN: Final = line(Span(f"  {UNKNOWN}", "muted"))


def counted(title: str, now: Snapshot, n_shown: int, total: int) -> str:
    """Return a table's title with its counts."""
    if not known(now):
        return title
    return f"{title} {total}" if n_shown == total else f"{title} {n_shown}/{total}"


def why_no_strategies(now: Snapshot, words: str, events: Sequence[EventView]) -> str:
    """Return what an empty strategy table says."""
    if words.strip():
        return f"nothing matches /{words}: esc shows all"
    if not known(now):
        return f"the engine is {now.state}: {events[-1].text if events else now.state_reason}"
    return "no strategies: the portfolio file names what trades"


def why_no_positions(now: Snapshot, words: str) -> str:
    """Return what an empty position table says."""
    if words.strip():
        return f"nothing matches /{words}: esc shows all"
    return "no open positions" if known(now) else UNKNOWN


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
