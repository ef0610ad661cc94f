"""What the panels say about a snapshot, as lines. Pure.

What is unknown is said to be unknown: a starting engine's empty list is not "no positions".
"""

from collections.abc import Sequence
from typing import Final

from engine.model.views.snapshot import EventView, Snapshot
from pmpro_tui.console.context import known
from pmpro_tui.console.draw.columns import fitted
from pmpro_tui.console.draw.curve import change_text, curve_lines, drawdown_lines, drawdowns
from pmpro_tui.console.draw.gauges import exposure_lines, gauge_lines, risk_line
from pmpro_tui.console.draw.health import health_lines, worries
from pmpro_tui.console.draw.table import title_line
from pmpro_tui.console.draw.text import Line, Span, fit, line
from pmpro_tui.console.draw.zone import Zone
from pmpro_tui.console.screens import event_rows

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


def brief(now: Snapshot | None, data_age_s: float, width: int, *, silence: str = "") -> list[Line]:
    """Return the small screen's lines of money and risk, and of what is not well."""
    if now is None or not known(now):
        return [_NOT_KNOWN]
    bad = worries(now, data_age_s, silence=silence)
    second = (
        line(Span(" ! ", "warn"), Span(fit(" · ".join(bad), width - 3), "warn"))
        if bad
        else line(Span(" all well: feed, terminal, database, hosts, alerts", "good"))
    )
    return [risk_line(now.risk, width), second]


def risk(now: Snapshot | None, width: int, *, titled: bool) -> list[Line]:
    """Return the risk panel."""
    title = [title_line("Risk", "", width, active=False)] if titled else []
    if now is None or not known(now):
        return [*title, _NOT_KNOWN]
    return [*title, *gauge_lines(now.risk, now.currency, width, roomy=titled)]


def exposure(now: Snapshot | None, width: int, *, titled: bool) -> list[Line]:
    """Return the panel of exposure by symbol."""
    title = [title_line("Exposure", "net of equity, open", width, active=False)] if titled else []
    if now is None or not known(now):
        return [*title, _NOT_KNOWN]
    limit_frac = now.risk.limits.get("symbol_exposure_max_frac", 0.0)
    lines = exposure_lines(now.symbols, limit_frac, width)
    return [*title, *(lines or [line(Span("  nothing is held", "muted"))])]


def health(
    now: Snapshot | None, data_age_s: float, width: int, *, titled: bool, silence: str = ""
) -> list[Line]:
    """Return the panel of what the engine depends on."""
    title = [title_line("Health", "", width, active=False)] if titled else []
    if now is None or not known(now):
        return [*title, _NOT_KNOWN]
    return [*title, *health_lines(now, data_age_s, width, silence=silence)]


def equity(
    now: Snapshot | None, zone: Zone, width: int, height: int, *, titled: bool
) -> list[Line]:
    """Return the equity panel: the curve, and the drawdown against its tiers."""
    remark = change_text(now.equity_points) if now is not None else ""
    title = [title_line("Equity and drawdown", remark, width, active=False)] if titled else []
    if now is None or not known(now):
        return [*title, _NOT_KNOWN]
    room = height - len(title)
    lower = max(0, room // 3) if room >= 9 else 0
    below = drawdowns(now.equity_points, now.risk.high_water_ccy)
    return [
        *title,
        *curve_lines(now.equity_points, zone, width, room - lower),
        *drawdown_lines(below, now.risk.drawdown_limits_frac, width, lower),
    ]


def recent(events: Sequence[EventView], zone: Zone, width: int, height: int) -> list[Line]:
    """Return the small screen's last events, under a title."""
    rows = events[-max(1, height - 1) :]
    shape = fitted(event_rows.columns(zone), width, rows)
    title = title_line("Events", "", width, active=False)
    return [title, *(shape.row(row, marked=False, active=False) for row in rows)]
