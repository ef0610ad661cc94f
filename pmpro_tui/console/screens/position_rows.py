"""The position table: its columns, their orders and its filter."""

from collections.abc import Callable, Sequence
from typing import Final

from engine.model.times import NS_PER_S
from engine.model.views.snapshot import PositionView
from pmpro_tui.console.draw.columns import Column
from pmpro_tui.console.draw.text import Span, age, gain, price

SIDES: Final = {"BUY": Span("▲ BUY", "good"), "SELL": Span("▼ SELL", "bad")}

EXTERNAL: Final = "EXTERNAL"

_View = Column[PositionView]


def columns(market_ns: Callable[[], int]) -> tuple[_View, ...]:
    """Return the columns; `market_ns` dates a position's age."""

    def owner(p: PositionView) -> Span:
        return Span(p.owner, "warn" if p.owner == EXTERNAL else "")

    def held(p: PositionView) -> Span:
        return Span(age((market_ns() - p.opened_ns) / NS_PER_S), "muted")

    def number(
        header: str,
        cell: Callable[[PositionView], Span],
        least: int,
        most: int,
        rank: int,
        order: Callable[[PositionView], float] | None = None,
    ) -> _View:
        return _View(
            header=header, cell=cell, least=least, most=most, rank=rank, align="right", order=order
        )

    return (
        _View(
            header="Owner",
            cell=owner,
            least=10,
            most=26,
            need=26,
            rank=0,
            measured=True,
            order=lambda p: p.owner,
        ),
        _View(
            header="Symbol",
            cell=lambda p: Span(p.symbol),
            least=6,
            most=8,
            rank=1,
            order=lambda p: p.symbol,
        ),
        _View(header="Side", cell=lambda p: SIDES[p.direction], least=6, most=6, rank=2),
        number("Lots", lambda p: Span(f"{p.lots:.2f}"), 5, 7, 5, lambda p: -p.lots),
        number("Entry", lambda p: Span(price(p.entry_price, p.digits)), 11, 14, 10),
        number("Price", lambda p: Span(price(p.price, p.digits)), 11, 14, 6),
        number("Stop", lambda p: Span(price(p.stop, p.digits), "muted"), 11, 14, 7),
        number("Target", lambda p: Span(price(p.target, p.digits), "muted"), 11, 14, 8),
        number("P&L", lambda p: gain(p.profit_ccy), 9, 12, 4, lambda p: -p.profit_ccy),
        _View(
            header="Goal",
            cell=lambda p: Span(p.goal, "warn"),
            least=0,
            most=60,
            need=30,
            rank=3,
            measured=True,
            order=lambda p: (not p.goal, p.goal),
        ),
        number("Held", held, 4, 5, 9, lambda p: p.opened_ns),
        number("Ticket", lambda p: Span(str(p.ticket), "muted"), 9, 12, 11),
    )


def matching(rows: Sequence[PositionView], words: str) -> list[PositionView]:
    """Return the rows in which every word occurs, whatever the case."""
    terms = words.casefold().split()

    def text(p: PositionView) -> str:
        return f"{p.owner} {p.symbol} {p.direction} {p.ticket}".casefold()

    return [row for row in rows if all(term in text(row) for term in terms)]
