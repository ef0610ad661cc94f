"""The strategy table: its columns, its orders and its filter."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from engine.model.snapshot import StrategyView
from pmpro_tui.console.columns import Column
from pmpro_tui.console.text import Span, figure, gain, percent

_STATE_TONES: Final = {
    "ON": "good",
    "OFF": "muted",
    "KILLED": "bad",
    "WARMING": "muted",
    "QUARANTINED": "bad",
    "SPENT": "warn",
    "WAITING": "muted",
}
_STATE_ORDER: Final = ("QUARANTINED", "KILLED", "OFF", "SPENT", "WAITING", "WARMING", "ON")
_SIGNALS: Final = {
    "LONG": Span("▲ LONG", "good"),
    "SHORT": Span("▼ SHORT", "bad"),
    "FLAT": Span("· FLAT", "muted"),
}

_View = Column[StrategyView]

COLUMNS: Final[tuple[_View, ...]] = (
    _View(header="Name", cell=lambda s: Span(s.name), least=14, most=28, rank=0, measured=True),
    _View(
        header="Kind",
        cell=lambda s: Span(s.kind, "muted"),
        least=10,
        most=20,
        rank=9,
        measured=True,
    ),
    _View(header="Symbol", cell=lambda s: Span(s.symbol), least=6, most=8, rank=4),
    _View(header="TF", cell=lambda s: Span(s.timeframe, "muted"), least=3, most=3, rank=10),
    _View(
        header="Book",
        cell=lambda s: Span(s.book, "muted"),
        least=10,
        most=20,
        rank=12,
        measured=True,
    ),
    _View(
        header="State",
        cell=lambda s: Span(s.state, _STATE_TONES[s.state]),
        least=8,
        most=11,
        rank=1,
        measured=True,
    ),
    _View(header="Signal", cell=lambda s: _SIGNALS[s.signal], least=7, most=7, rank=3),
    _View(
        header="Conf",
        cell=lambda s: Span(percent(s.confidence, 0)),
        least=4,
        most=4,
        rank=11,
        align="right",
    ),
    _View(
        header="Weight",
        cell=lambda s: Span(percent(s.weight_frac)),
        least=6,
        most=6,
        rank=7,
        align="right",
    ),
    _View(
        header="P&L today",
        cell=lambda s: gain(s.pnl_today_ccy),
        least=10,
        most=12,
        rank=2,
        align="right",
    ),
    _View(
        header="Trd",
        cell=lambda s: Span(str(s.trades_today), "" if s.trades_today else "muted"),
        least=4,
        most=4,
        rank=6,
        align="right",
    ),
    _View(
        header="Score",
        cell=lambda s: Span(figure(s.score)),
        least=5,
        most=6,
        rank=8,
        align="right",
    ),
    _View(header="Detail", cell=lambda s: Span(s.detail, "muted"), least=16, most=60, rank=13),
)

ORDERS: Final[dict[str, Callable[[StrategyView], Any] | None]] = {
    "file": None,
    "P&L": lambda s: -s.pnl_today_ccy,
    "score": lambda s: -s.score if s.score == s.score else float("inf"),
    "state": lambda s: _STATE_ORDER.index(s.state),
    "name": lambda s: s.name,
}


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


class Ordering:
    """The order of rows, held still while the operator's hands are on the keys."""

    def __init__(self) -> None:
        self.name = "file"
        self._ranks: dict[int, int] = {}

    def cycle(self) -> None:
        """Take the next order, at once."""
        names = list(ORDERS)
        self.name = names[(names.index(self.name) + 1) % len(names)]
        self._ranks.clear()

    def apply(self, rows: Sequence[StrategyView], *, hold: bool) -> list[StrategyView]:
        """Return rows in order; `hold` keeps the places they have, new rows go last."""
        key = ORDERS[self.name]
        if key is None:
            return list(rows)
        if hold and self._ranks:
            return sorted(rows, key=lambda s: self._ranks.get(s.id, len(self._ranks)))
        ordered = sorted(rows, key=key)
        self._ranks = {row.id: rank for rank, row in enumerate(ordered)}
        return ordered
