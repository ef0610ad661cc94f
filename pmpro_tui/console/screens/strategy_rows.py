"""The strategy table: its columns, their orders and its filter."""

import math
from collections.abc import Sequence
from typing import Final

from engine.model.views.snapshot import StrategyView
from pmpro_tui.console.draw.columns import Column
from pmpro_tui.console.draw.text import Span, figure, gain, percent

STATE_TONES: Final = {
    "ON": "good",
    "OFF": "muted",
    "KILLED": "bad",
    "WARMING": "muted",
    "QUARANTINED": "bad",
    "SPENT": "warn",
    "WAITING": "muted",
}
_STATE_ORDER: Final = ("QUARANTINED", "KILLED", "OFF", "SPENT", "WAITING", "WARMING", "ON")
SIGNALS: Final = {
    "LONG": Span("▲ LONG", "good"),
    "SHORT": Span("▼ SHORT", "bad"),
    "FLAT": Span("· FLAT", "muted"),
}

_View = Column[StrategyView]


def _first(value: float) -> float:
    # The largest first, what is not known last.
    return math.inf if math.isnan(value) else -value


# What moves stands left of what does not: a row is sent up to its last change.
COLUMNS: Final[tuple[_View, ...]] = (
    _View(
        header="Name",
        cell=lambda s: Span(s.name),
        least=14,
        most=28,
        need=28,
        rank=0,
        measured=True,
        order=lambda s: s.name,
    ),
    _View(
        header="Symbol",
        cell=lambda s: Span(s.symbol),
        least=6,
        most=10,
        rank=4,
        measured=True,
        order=lambda s: s.symbol,
    ),
    _View(
        header="State",
        cell=lambda s: Span(s.state, STATE_TONES[s.state]),
        least=8,
        most=11,
        rank=1,
        measured=True,
        order=lambda s: _STATE_ORDER.index(s.state),
    ),
    _View(
        header="Signal",
        cell=lambda s: SIGNALS[s.signal],
        least=7,
        most=7,
        rank=3,
        order=lambda s: ("LONG", "SHORT", "FLAT").index(s.signal),
    ),
    _View(
        header="P&L today",
        cell=lambda s: gain(s.pnl_today_ccy),
        least=10,
        most=12,
        rank=2,
        align="right",
        order=lambda s: -s.pnl_today_ccy,
    ),
    _View(
        header="Made",
        cell=lambda s: gain(s.realised_ccy + s.open_ccy),
        least=10,
        most=12,
        rank=10,
        align="right",
        order=lambda s: -(s.realised_ccy + s.open_ccy),
    ),
    _View(
        header="Trd",
        cell=lambda s: Span(str(s.trades_today), "" if s.trades_today else "muted"),
        least=3,
        most=4,
        rank=6,
        align="right",
        order=lambda s: -s.trades_today,
    ),
    _View(
        header="Score",
        cell=lambda s: Span(figure(s.score)),
        least=6,
        most=7,
        rank=8,
        align="right",
        order=lambda s: _first(s.score),
    ),
    _View(
        header="Weight",
        cell=lambda s: Span(percent(s.weight_frac)),
        least=6,
        most=6,
        rank=7,
        align="right",
        order=lambda s: -s.weight_frac,
    ),
    _View(
        header="Shadow R",
        cell=lambda s: gain(s.shadow_r),
        least=8,
        most=9,
        rank=11,
        align="right",
        order=lambda s: -s.shadow_r,
    ),
    _View(
        header="Kind",
        cell=lambda s: Span(s.kind, "muted"),
        least=10,
        most=20,
        rank=9,
        need=20,
        measured=True,
        order=lambda s: s.kind,
    ),
    _View(
        header="TF",
        cell=lambda s: Span(s.timeframe, "muted"),
        least=3,
        most=3,
        rank=12,
        order=lambda s: s.timeframe,
    ),
    _View(
        header="Book",
        cell=lambda s: Span(s.book, "muted"),
        least=10,
        most=20,
        rank=14,
        need=20,
        measured=True,
        order=lambda s: s.book,
    ),
    _View(
        header="Conf",
        cell=lambda s: Span(percent(s.confidence, 0)),
        least=4,
        most=4,
        rank=13,
        align="right",
        order=lambda s: -s.confidence,
    ),
    _View(
        header="Why",
        cell=lambda s: Span(s.detail, "muted"),
        least=0,
        most=60,
        need=24,
        rank=1,
        measured=True,
    ),
)


def matching(rows: Sequence[StrategyView], words: str) -> list[StrategyView]:
    """Return the rows in which every word occurs, whatever the case."""
    terms = words.casefold().split()
    if not terms:
        return list(rows)

    def text(s: StrategyView) -> str:
        return (
            f"{s.name} {s.kind} {s.symbol} {s.timeframe} {s.book} {s.state} {s.signal}".casefold()
        )

    return [row for row in rows if all(term in text(row) for term in terms)]
