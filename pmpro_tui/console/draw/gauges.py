"""Risk gauges: each value against its limit, a line each. Pure."""

import math
from typing import Final

from engine.model.views.snapshot import ResultView, RiskView
from pmpro_tui.console.draw.text import (
    NONE,
    Line,
    Span,
    fit,
    gain,
    line,
    line_width,
    money,
    percent,
    spread,
)

_TIER_TONES: Final = ("good", "warn", "bad", "bad")
TIER_WORDS: Final = ("tier 0", "tier 1: half size", "tier 2: no entries", "tier 3: flatten")
_NAME_WIDTH: Final = 15
_VALUE_WIDTH: Final = 7
_LIMIT_WIDTH: Final = 8


def bar(fraction: float, width: int, tone: str, marks: tuple[float, ...] = ()) -> Line:
    """Return a bar of `width` cells filled to `fraction`; `marks` are limits on the track."""
    fraction = 0.0 if math.isnan(fraction) else min(1.0, max(0.0, fraction))
    filled, half = divmod(round(fraction * width * 2), 2)
    body = "━" * filled + "╸" * half
    track = ["─"] * width
    for mark in marks:
        track[min(width - 1, max(0, round(mark * width) - 1))] = "┼"
    return line(Span(body, tone), Span("".join(track[len(body) :]), "track"))


def gauge(
    name: str,
    value: Span,
    limit: str,
    fraction: float,
    width: int,
    marks: tuple[float, ...] = (),
) -> Line:
    """Return a line of name, value, bar and limit; without a limit there is no bar."""
    head = line(
        Span(f" {fit(name, _NAME_WIDTH)}", "muted"),
        Span(fit(value.text, _VALUE_WIDTH, "right"), value.tone),
    )
    room = width - line_width(head) - _LIMIT_WIDTH - 2
    if math.isnan(fraction) or room < 4:
        return spread(head, line(Span(limit, "muted")), width)
    tone = value.tone or _load_tone(fraction)
    middle = bar(fraction, room, tone, marks)
    return Line((*head.spans, Span(" "), *middle.spans, Span(f" {limit:>{_LIMIT_WIDTH}}", "muted")))


def gauge_lines(risk: RiskView, currency: str, width: int, *, roomy: bool) -> list[Line]:
    """Return the risk panel's body: money first, then each gauge against its limit."""
    reduce, stop, flatten = risk.drawdown_limits_frac
    tone = _TIER_TONES[risk.tier]
    return [
        _row("Equity", Span(f"{money(risk.equity_ccy)} {currency}", "bold"), width),
        _row("Balance", Span(f"{money(risk.balance_ccy)} {currency}"), width),
        _row("High water", Span(f"{money(risk.high_water_ccy)} {currency}", "muted"), width),
        _row("Today", _with_unit(gain(risk.pnl_today_ccy), currency), width),
        *([Line()] if roomy else []),
        gauge(
            "Drawdown",
            Span(percent(risk.drawdown_frac, 2), tone),
            "·".join(f"{100 * limit:g}" for limit in risk.drawdown_limits_frac) + " %",
            _share(risk.drawdown_frac, flatten),
            width,
            (_share(reduce, flatten), _share(stop, flatten), 1.0),
        ),
        line(Span(f" {TIER_WORDS[risk.tier]}", "muted" if risk.tier == 0 else tone)),
        *_limited(risk, width),
    ]


def _limited(risk: RiskView, width: int) -> list[Line]:
    limits = risk.limits

    def of(name: str, value: float, limit_name: str, unit: str = "%") -> Line:
        limit = limits.get(limit_name, math.nan)
        text = percent(value, 2) if unit == "%" else f"{value:z.2f}{unit}"
        text = NONE if math.isnan(value) else text
        most = f"{100 * limit:g} %" if unit == "%" else f"{limit:g}{unit}"
        most = "" if math.isnan(limit) else most
        return gauge(name, Span(text), most, _share(value, limit), width)

    gross_max = risk.gross_exposure_max_frac
    level = risk.margin_level_frac
    in_use = math.isfinite(level) and level > 0.0
    return [
        of("Lost today", risk.daily_loss_frac, "daily_loss_max_frac"),
        of("VaR 1 day 99 %", risk.var_frac, "var_max_frac"),
        gauge(
            "Gross exposure",
            Span(f"{risk.gross_exposure_frac:.2f}×"),
            f"{gross_max:g}×",
            _share(risk.gross_exposure_frac, gross_max),
            width,
        ),
        of("Net exposure", risk.net_exposure_frac, "net_exposure_max_frac", "×"),
        of("Margin", risk.margin_frac, "margin_max_frac"),
        _row("Margin level", Span(f"{level:,.0%}" if in_use else "none in use"), width),
        of("Correlation", risk.correlation_max, "correlation_threshold_frac", ""),
    ]


def exposure_lines(symbols: tuple[ResultView, ...], limit_frac: float, width: int) -> list[Line]:
    """Return a line a symbol, the largest first: net of equity, on a bar, and what is open."""
    held = sorted((s for s in symbols if s.exposure_frac), key=lambda s: -abs(s.exposure_frac))
    flat = [s.name for s in symbols if not s.exposure_frac]
    most = max((abs(s.exposure_frac) for s in held), default=0.0)
    scale = limit_frac if limit_frac >= most > 0.0 and most > 0.1 * limit_frac else most
    lines = []
    for s in held:
        glyph, tone = ("▲", "good") if s.exposure_frac > 0.0 else ("▼", "bad")
        tail = gain(s.open_ccy)
        head = line(
            f" {fit(s.name, 9)}",
            Span(f"{glyph}{abs(s.exposure_frac):6.2f}×", tone),
            " ",
        )
        room = width - line_width(head) - 12
        middle = bar(_share(abs(s.exposure_frac), scale), max(0, room), tone)
        lines.append(
            Line((*head.spans, *middle.spans, Span(fit(tail.text, 12, "right"), tail.tone)))
        )
    if flat:
        lines.append(line(Span(fit(f" flat: {', '.join(flat)}", width), "muted")))
    return lines


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


def _row(name: str, value: Span, width: int) -> Line:
    return spread(line(Span(f" {name}", "muted")), line(value, " "), width)


def _with_unit(span: Span, currency: str) -> Span:
    return Span(f"{span.text} {currency}", span.tone)


def _share(value: float, limit: float) -> float:
    return value / limit if limit > 0.0 else math.nan


def _load_tone(fraction: float) -> str:
    return "bad" if fraction >= 0.9 else "warn" if fraction >= 0.7 else "plot"
