"""Risk gauges: each value against its limit, as lines. Pure."""

import math

from engine.model.snapshot import RiskView
from pmpro_tui.console.text import Line, Span, gain, line, money, percent, spread

_TIER_TONES = ("good", "warn", "bad", "bad")
_TIER_WORDS = ("tier 0", "tier 1: half size", "tier 2: no entries", "tier 3: flatten")


def bar(fraction: float, width: int, tone: str, marks: tuple[float, ...] = ()) -> Line:
    """Return a bar of `width` cells filled to `fraction`; `marks` are limits on the track."""
    fraction = 0.0 if math.isnan(fraction) else min(1.0, max(0.0, fraction))
    filled, half = divmod(round(fraction * width * 2), 2)
    body = "━" * filled + "╸" * half
    track = ["─"] * width
    for mark in marks:
        track[min(width - 1, max(0, round(mark * width) - 1))] = "┼"
    return line(Span(body, tone), Span("".join(track[len(body) :]), "track"))


def gauge_lines(risk: RiskView, currency: str, width: int) -> list[Line]:
    """Return the risk panel's body: money first, then three gauges."""
    inner = max(10, width)
    reduce, stop, flatten = risk.drawdown_limits_frac
    drawdown_tone = _TIER_TONES[risk.tier]
    gross_frac = _share(risk.gross_exposure_frac, risk.gross_exposure_max_frac)
    level = risk.margin_level_frac
    in_use = math.isfinite(level) and level > 0.0
    margin_note = f"level {level:,.0%}" if in_use else "none in use"
    return [
        _row("Equity", Span(f"{money(risk.equity_ccy)} {currency}", "bold"), inner),
        _row("Balance", Span(f"{money(risk.balance_ccy)} {currency}"), inner),
        _row("High water", Span(f"{money(risk.high_water_ccy)} {currency}", "muted"), inner),
        _row("Today", _with_unit(gain(risk.pnl_today_ccy), currency), inner),
        Line(),
        _row("Drawdown", Span(percent(risk.drawdown_frac, 2), drawdown_tone), inner),
        _indent(
            bar(
                _share(risk.drawdown_frac, flatten),
                inner - 1,
                drawdown_tone,
                (reduce / flatten, stop / flatten, 1.0),
            )
        ),
        _row(
            _TIER_WORDS[risk.tier],
            Span(f"{100 * reduce:g} · {100 * stop:g} · {100 * flatten:g} %", "muted"),
            inner,
            "muted" if risk.tier == 0 else drawdown_tone,
        ),
        _row(
            "Gross exposure",
            Span(f"{risk.gross_exposure_frac:.2f}× of {risk.gross_exposure_max_frac:g}×"),
            inner,
        ),
        _indent(bar(gross_frac, inner - 1, _load_tone(gross_frac))),
        _row("Margin", Span(f"{percent(risk.margin_frac)}  {margin_note}"), inner),
        _indent(bar(risk.margin_frac, inner - 1, _load_tone(risk.margin_frac))),
    ]


def risk_line(risk: RiskView, width: int) -> Line:
    """Return the gauges in one line, for small screens."""
    limits = "·".join(f"{100 * limit:g}" for limit in risk.drawdown_limits_frac)
    left = line(
        Span(" Equity ", "muted"),
        Span(money(risk.equity_ccy), "bold"),
        Span("  Today ", "muted"),
        gain(risk.pnl_today_ccy),
    )
    right = line(
        Span("DD ", "muted"),
        Span(percent(risk.drawdown_frac), _TIER_TONES[risk.tier]),
        Span(f"/{limits}", "muted"),
        Span("  Gross ", "muted"),
        f"{risk.gross_exposure_frac:.1f}/{risk.gross_exposure_max_frac:g}×",
        Span("  Margin ", "muted"),
        f"{percent(risk.margin_frac)} ",
    )
    return spread(left, right, width)


def _row(name: str, value: Span, width: int, tone: str = "muted") -> Line:
    return spread(line(Span(f" {name}", tone)), line(value), width)


def _indent(of: Line) -> Line:
    return Line((Span(" "), *of.spans), of.tone)


def _with_unit(span: Span, currency: str) -> Span:
    return Span(f"{span.text} {currency}", span.tone)


def _share(value: float, limit: float) -> float:
    return value / limit if limit > 0.0 else math.nan


def _load_tone(fraction: float) -> str:
    return "bad" if fraction >= 0.9 else "warn" if fraction >= 0.7 else "plot"
