"""The tables of risk: account-wide limits, and slots' last decisions."""

import math
from typing import Final, NamedTuple

from engine.model.views.details import SlotView
from engine.model.views.snapshot import RiskView, measured_by_limit
from pmpro_tui.console.draw.columns import Column
from pmpro_tui.console.draw.text import NONE, Span
from pmpro_tui.console.limit_words import LIMIT_WORDS

# What is not a part of equity but a multiple of it, although its name ends alike.
_MULTIPLES: Final = ("exposure", "order_max_value", "diversify_above")
# A smaller value of these lets more through; of all others a larger one does.
LOOSER_BELOW: Final = frozenset({"repeated_minutes", "samples_min"})


class LimitRow(NamedTuple):
    """A limit: its value now, what it is compared with, the file's. NaN for not measured."""

    name: str
    now: float
    limit: float
    of_file: float

    @property
    def used_frac(self) -> float:
        """The part of the limit that is used up."""
        return self.now / self.limit if self.limit > 0.0 else math.nan


def limit_rows(risk: RiskView) -> list[LimitRow]:
    """Return all limits; those with a measured value first, the fullest at the top."""
    now = measured_by_limit(risk)
    rows = [
        LimitRow(name, now.get(name, math.nan), limit, risk.limits_of_file.get(name, math.nan))
        for name, limit in risk.limits.items()
    ]
    return sorted(rows, key=lambda row: math.isnan(row.now))


def limit_text(name: str, value: float) -> str:
    """Return a limit's value in its unit."""
    if math.isnan(value):
        return NONE
    if math.isinf(value):
        return "none"
    if not name.endswith("_frac"):
        return f"{value:,g}"
    if any(part in name for part in _MULTIPLES):
        return f"{value:,.2f}×"
    return f"{100.0 * value:.2f}%"


def loosens(name: str, before: float, after: float) -> bool:
    """Tell whether a new value lets more risk through."""
    return after < before if name in LOOSER_BELOW else after > before


def used(fraction: float) -> Span:
    """Return how full something is: five glyphs, and a word of how full in its colour."""
    if math.isnan(fraction):
        return Span(NONE, "muted")
    filled = min(5, max(0, math.ceil(min(fraction, 1.0) * 5 - 1e-9)))
    tone = "bad" if fraction >= 0.9 else "warn" if fraction >= 0.7 else "plot"
    percent = f"{100.0 * min(fraction, 9.99):.0f}%"
    return Span(f"{'▰' * filled}{'▱' * (5 - filled)} {percent:>4}", tone)


def _in_force(row: LimitRow) -> Span:
    # Set by an operator, it carries a mark.
    mark = "" if row.limit == row.of_file else "*"
    return Span(f"{mark}{limit_text(row.name, row.limit)}", "accent" if mark else "")


_Limit = Column[LimitRow]

LIMITS: Final[tuple[_Limit, ...]] = (
    _Limit(
        header="Limit",
        cell=lambda r: Span(LIMIT_WORDS.get(r.name, r.name)),
        least=26,
        most=32,
        need=32,
        rank=0,
        measured=True,
        order=lambda r: LIMIT_WORDS.get(r.name, r.name),
    ),
    _Limit(
        header="Now",
        cell=lambda r: Span(limit_text(r.name, r.now)),
        least=7,
        most=9,
        rank=2,
        align="right",
    ),
    _Limit(
        header="Limit at",
        cell=_in_force,
        least=8,
        most=9,
        rank=1,
        align="right",
    ),
    _Limit(
        header="Used",
        cell=lambda r: used(r.used_frac),
        least=10,
        most=10,
        rank=3,
        align="right",
        order=lambda r: -r.used_frac if not math.isnan(r.used_frac) else math.inf,
    ),
    _Limit(
        header="Room",
        cell=lambda r: Span(limit_text(r.name, r.limit - r.now), "muted"),
        least=7,
        most=9,
        rank=4,
        align="right",
    ),
    _Limit(
        header="File",
        cell=lambda r: Span("" if r.limit == r.of_file else limit_text(r.name, r.of_file), "muted"),
        least=6,
        most=9,
        rank=6,
        align="right",
    ),
    _Limit(
        header="Option",
        cell=lambda r: Span(r.name, "muted"),
        least=28,
        most=32,
        rank=5,
        measured=True,
        order=lambda r: r.name,
    ),
)

_Slot = Column[SlotView]


def _answer(slot: SlotView) -> Span:
    if not slot.decided_ns:
        return Span("not asked yet", "muted")
    return Span(f"✗ {slot.refusal}", "warn") if slot.refusal else Span("✓ accepted", "good")


SLOTS: Final[tuple[_Slot, ...]] = (
    _Slot(
        header="Book/symbol",
        cell=lambda s: Span(s.name),
        least=14,
        most=30,
        need=22,
        rank=0,
        measured=True,
        order=lambda s: s.name,
    ),
    _Slot(
        header="Last answer",
        cell=_answer,
        least=15,
        most=24,
        need=24,
        rank=1,
        measured=True,
        order=lambda s: s.refusal,
    ),
    _Slot(
        header="Nearest",
        cell=lambda s: Span(s.nearest, "muted"),
        least=10,
        most=18,
        rank=3,
    ),
    _Slot(
        header="Used",
        cell=lambda s: used(s.used_frac),
        least=10,
        most=10,
        rank=2,
        align="right",
        order=lambda s: -s.used_frac if not math.isnan(s.used_frac) else math.inf,
    ),
)
