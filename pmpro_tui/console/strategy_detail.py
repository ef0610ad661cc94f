"""What the screen of one strategy says about it, as lines. Pure."""

from engine.model.snapshot import PositionView, Snapshot, StrategyView
from pmpro_tui.console.strategy_table import SIGNALS, STATE_TONES
from pmpro_tui.console.table import title_line
from pmpro_tui.console.text import Line, Span, figure, gain, line, percent, price, spread


def about(now: Snapshot, me: StrategyView, width: int, *, titled: bool) -> list[Line]:
    """Return its facts: what it is, its word, its results live and in the shadow, what it holds."""
    held = [p for p in now.positions if p.owner == me.book and p.symbol == me.symbol]
    title = [title_line(me.name, "", width, active=False)] if titled else [_head(me.name)]

    def row(name: str, value: Span) -> Line:
        return spread(line(Span(f" {name}", "muted")), line(value, " "), width)

    return [
        *title,
        row("Kind", Span(me.kind)),
        row("Symbol", Span(f"{me.symbol} {me.timeframe}")),
        row("State", Span(me.state, STATE_TONES[me.state])),
        *([line(Span(f" {me.detail}", "warn"))] if me.detail else []),
        row("Signal", SIGNALS[me.signal]),
        row("Confidence", Span(percent(me.confidence, 0))),
        row("Weight", Span(percent(me.weight_frac))),
        Line(),
        row("Today", _money(me.pnl_today_ccy, now.currency)),
        row("Trades today", Span(f"{me.trades_today:,}")),
        row("Made, closed", _money(me.realised_ccy, now.currency)),
        row("Made, open", _money(me.open_ccy, now.currency)),
        row("Score", Span(figure(me.score))),
        Line(),
        row("Shadow trades", Span(f"{me.shadow_trades:,}")),
        row("Shadow result", _in_r(me.shadow_r)),
        row("Shadow mean", _in_r(me.shadow_mean_r)),
        Line(),
        *(line for p in held for line in _position(p, width)),
    ]


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
