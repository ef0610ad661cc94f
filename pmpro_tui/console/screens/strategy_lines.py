"""What the screen of one strategy says about it: facts, its book's votes, its trades. Pure."""

import math
from collections.abc import Callable
from itertools import zip_longest
from textwrap import wrap
from typing import Final

from engine.model.parity import Gap
from engine.model.views.details import SignalView, StrategyDetail, TradeView, VoteView
from engine.model.views.snapshot import PositionView, Snapshot, StrategyView
from pmpro_tui.console.draw.columns import Column
from pmpro_tui.console.draw.curve import curve_lines
from pmpro_tui.console.draw.table import title_line
from pmpro_tui.console.draw.text import (
    NONE,
    Line,
    Span,
    figure,
    fit,
    full_price,
    gain,
    line,
    percent,
    price,
    spread,
)
from pmpro_tui.console.draw.zone import Zone
from pmpro_tui.console.screens.position_rows import SIDES
from pmpro_tui.console.screens.strategy_rows import SIGNALS, STATE_TONES

# Wider, a value stands too far from its name.
ABOUT_WIDTH: Final = 46


def about(
    now: Snapshot,
    me: StrategyView,
    told: StrategyDetail | None,
    zone: Zone,
    width: int,
    *,
    titled: bool,
) -> list[Line]:
    """Return its facts: what it is, its word, its results live and in the shadow, what it holds."""
    width = min(width, ABOUT_WIDTH)
    held = [p for p in now.positions if p.owner == me.book and p.symbol == me.symbol]
    title = [title_line(me.name, "", width, active=False)] if titled else [_head(me.name)]

    def row(name: str, value: Span) -> Line:
        return spread(line(Span(f" {name}", "muted")), line(value, " "), width)

    return [
        *title,
        row("Kind", Span(me.kind)),
        row("Symbol", Span(f"{me.symbol} {me.timeframe}")),
        row("State", Span(me.state, STATE_TONES[me.state])),
        *(line(Span(f" {part}", "warn")) for part in wrap(me.detail, width - 2)),
        row("Signal", SIGNALS[me.signal]),
        row("Confidence", Span(percent(me.confidence, 0))),
        row("Weight", Span(percent(me.weight_frac))),
        Line(),
        row("Today", _money(me.pnl_today_ccy, now.currency)),
        row("Trades today", Span(f"{me.trades_today:,}")),
        row("Made, closed", _money(me.realised_ccy, now.currency)),
        row("Made, open", _money(me.open_ccy, now.currency)),
        row("Score", Span(figure(me.score))),
        row("Shadow trades", Span(f"{me.shadow_trades:,}")),
        row("Shadow result", _in_r(me.shadow_r)),
        row("Shadow mean", _in_r(me.shadow_mean_r)),
        row("Parity", _parity(told, zone)),
        Line(),
        *(line for p in held for line in _position(p, width)),
    ]


def _parity(told: StrategyDetail | None, zone: Zone) -> Span:
    """Return how alike live and a backtest were, on the last day with a trade."""
    days = [day for day in told.parity if day.n_trades] if told is not None else []
    if not days:
        return Span(NONE, "muted")
    last = days[-1]
    tone = "good" if not last.gaps else "" if all(g.explained for g in last.gaps) else "warn"
    text = f"{percent(last.score, 0)} of {last.n_trades:,} to {zone.stamp(last.to_ns)[:5]}"
    return Span(text, tone)


def gaps(told: StrategyDetail) -> list[Gap]:
    """Return where live and its backtest were not alike, the newest first."""
    return [gap for day in reversed(told.parity) for gap in reversed(day.gaps)]


def gap_columns(zone: Zone) -> tuple[Column[Gap], ...]:
    """Return the columns of what was not alike."""
    view = Column[Gap]
    return (
        view(header="Time", cell=lambda g: Span(zone.stamp(g.time_ns), "muted"), least=14, most=14),
        view(header="Gap", cell=lambda g: Span(g.what), least=14, most=44, rank=2, measured=True),
        view(
            header="Why",
            cell=lambda g: Span(g.why, "" if g.explained else "warn"),
            least=14,
            most=90,
            need=40,
            rank=1,
            measured=True,
        ),
    )


def settings(told: StrategyDetail | None, fault: str, width: int, *, titled: bool) -> list[Line]:
    """Return its parameters, how its book combines and sizes, and what is missing.

    `told`: what the engine said when asked; without it `fault` is why.
    """
    width = min(width, ABOUT_WIDTH)
    title = [title_line("Parameters", "", width, active=False)] if titled else []
    if told is None:
        return [*title, line(Span(f"  {fault or 'asking the engine …'}", "muted"))]
    rows = [("combines by", told.combine), ("sized by", told.sizing)]
    pairs = [_pair(name, _value(value), width // 2) for name, value in told.params.items()]
    twos = zip_longest(pairs[::2], pairs[1::2], fillvalue=Line())
    missing = [] if told.database == "ok" else [line(Span(f" database {told.database}", "warn"))]
    return [
        *title,
        *(spread(line(Span(f" {name}", "muted")), line(text, " "), width) for name, text in rows),
        *(Line((*one.spans, *other.spans)) for one, other in twos),
        *missing,
    ]


def _pair(name: str, value: str, width: int) -> Line:
    room = max(0, width - len(value) - 3)
    return line(Span(f" {fit(name, room)} ", "muted"), f"{value} ")


def _value(value: bool | float | str) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def made(
    told: StrategyDetail | None, zone: Zone, width: int, height: int, *, titled: bool
) -> list[Line]:
    """Return the curve of what its trades have made."""
    title = [title_line("Made by its trades", "", width, active=False)] if titled else []
    if told is None or len(told.equity) < 2:
        text = "asking the engine …" if told is None else "too few trades for a curve"
        return [*title, line(Span(f"  {text}", "muted"))]
    return [*title, *curve_lines(told.equity, zone, width, height - len(title))]


def member_columns(vote: Callable[[str], VoteView | None]) -> tuple[Column[StrategyView], ...]:
    """Return the columns of a book's members: their words and whether these count."""

    def votes(s: StrategyView) -> Span:
        said = vote(s.name)
        return Span(NONE, "muted") if said is None else _yes(said.votes)

    def share(s: StrategyView) -> Span:
        said = vote(s.name)
        return Span(NONE if said is None else percent(said.share, 0))

    view = Column[StrategyView]
    return (
        view(header="Name", cell=lambda s: Span(s.name), least=14, most=28, need=28, measured=True),
        view(
            header="State",
            cell=lambda s: Span(s.state, STATE_TONES[s.state]),
            least=8,
            most=11,
            rank=1,
        ),
        view(header="Signal", cell=lambda s: SIGNALS[s.signal], least=7, most=7, rank=2),
        view(
            header="Conf",
            cell=lambda s: Span(percent(s.confidence, 0)),
            least=4,
            most=4,
            rank=5,
            align="right",
        ),
        view(header="Votes", cell=votes, least=5, most=5, rank=3),
        view(header="Share", cell=share, least=5, most=5, rank=4, align="right"),
        view(
            header="P&L today",
            cell=lambda s: gain(s.pnl_today_ccy),
            least=10,
            most=12,
            rank=6,
            align="right",
        ),
        view(
            header="Shadow R",
            cell=lambda s: gain(s.shadow_r),
            least=8,
            most=9,
            rank=7,
            align="right",
        ),
    )


def trade_columns(zone: Zone) -> tuple[Column[TradeView], ...]:
    """Return the columns of a strategy's trades."""

    def left(t: TradeView) -> Span:
        return Span(zone.stamp(t.exit_ns) if t.exit_ns else "open", "muted")

    view = Column[TradeView]
    return (
        view(header="In", cell=lambda t: Span(zone.stamp(t.entry_ns), "muted"), least=14, most=14),
        view(
            header="Side", cell=lambda t: SIDES.get(t.direction, Span("")), least=6, most=6, rank=1
        ),
        view(
            header="P&L",
            cell=lambda t: gain(t.profit_ccy if t.exit_ns else math.nan),
            least=9,
            most=12,
            rank=3,
            align="right",
            order=lambda t: -t.profit_ccy,
        ),
        view(header="Out", cell=left, least=14, most=14, rank=4),
        view(header="Why", cell=lambda t: Span(t.reason.lower()), least=10, most=16, rank=2),
        view(
            header="Lots",
            cell=lambda t: Span(f"{t.lots:.2f}"),
            least=5,
            most=7,
            rank=5,
            align="right",
        ),
        view(
            header="Part",
            cell=lambda t: Span(percent(t.share_frac, 0)),
            least=4,
            most=4,
            rank=6,
            align="right",
        ),
        view(
            header="Entry",
            cell=lambda t: Span(full_price(t.entry_price)),
            least=11,
            most=16,
            rank=7,
            align="right",
        ),
        view(
            header="Exit",
            cell=lambda t: Span(full_price(t.exit_price if t.exit_ns else math.nan)),
            least=11,
            most=16,
            rank=8,
            align="right",
        ),
    )


# As the database has them.
_STORED = {"BUY": SIGNALS["LONG"], "SELL": SIGNALS["SHORT"], "HOLD": SIGNALS["FLAT"]}


def signal_columns(zone: Zone) -> tuple[Column[SignalView], ...]:
    """Return the columns of a strategy's latest signals."""
    view = Column[SignalView]
    return (
        view(header="Time", cell=lambda s: Span(zone.stamp(s.time_ns), "muted"), least=14, most=14),
        view(
            header="Signal", cell=lambda s: _STORED.get(s.signal, Span(s.signal)), least=7, most=7
        ),
        view(
            header="Conf",
            cell=lambda s: Span(percent(s.confidence, 0)),
            least=4,
            most=4,
            rank=1,
            align="right",
        ),
    )


def _yes(value: bool) -> Span:
    return Span("✓ yes", "good") if value else Span("· no", "muted")


def _position(p: PositionView, width: int) -> list[Line]:
    head = f" Its book holds {p.direction} {p.lots:.2f}"
    levels = " ".join(
        f"{name} {price(value, p.digits).strip()}"
        for name, value in (("at", p.entry_price), ("stop", p.stop), ("target", p.target))
    )
    return [
        spread(line(head), line(gain(p.profit_ccy), " "), width),
        line(Span(f" {levels}", "muted")),
    ]


def _head(name: str) -> Line:
    return line(Span(f" {name}", "title"))


def _money(amount_ccy: float, currency: str) -> Span:
    span = gain(amount_ccy)
    return Span(f"{span.text} {currency}", span.tone)


def _in_r(value: float) -> Span:
    span = gain(value)
    return Span(f"{span.text} R", span.tone)
