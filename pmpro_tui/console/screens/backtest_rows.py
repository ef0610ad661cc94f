"""The tables of backtests: those that run, those that are stored, and two side by side."""

import math
from collections.abc import Callable, Sequence
from textwrap import wrap
from typing import Any, Final

from engine.model.jobs import JobView
from engine.model.times import NS_PER_MINUTE, iso_utc
from engine.model.views.details import Backtest, BacktestView
from pmpro_tui.console.draw.columns import Column
from pmpro_tui.console.draw.curve import braille
from pmpro_tui.console.draw.text import (
    NONE,
    Line,
    Span,
    age,
    figure,
    fit,
    full_price,
    gain,
    line,
    money,
    percent,
)

_Job = Column[JobView]
_Result = Column[BacktestView]

Clock = Callable[[int], str]

_STATES: Final = {
    "WAITING": Span("WAITING", "muted"),
    "RUNNING": Span("RUNNING", "accent"),
    "DONE": Span("✓ DONE", "good"),
    "FAILED": Span("✗ FAILED", "bad"),
    "CANCELLED": Span("CANCELLED", "muted"),
}
_BAR: Final = 12


def _progress(job: JobView) -> Span:
    if job.state != "RUNNING":
        return Span(job.text, "bad" if job.state == "FAILED" else "")
    filled = round(job.progress_frac * _BAR)
    left = f"{age(job.eta_s)} left" if not math.isnan(job.eta_s) else "starting"
    bar = "█" * filled + "░" * (_BAR - filled)
    return Span(f"{bar} {100.0 * job.progress_frac:3.0f}% {left}", "plot")


JOBS: Final[tuple[_Job, ...]] = (
    _Job(header="Job", cell=lambda j: Span(str(j.id), "muted"), least=3, most=4, align="right"),
    _Job(header="State", cell=lambda j: _STATES[j.state], least=9, most=9, rank=1),
    _Job(
        header="What",
        cell=lambda j: Span(j.title),
        least=20,
        most=44,
        roomy=80,
        rank=2,
        measured=True,
    ),
    _Job(header="Progress, result", cell=_progress, least=24, most=1000, rank=3),
    _Job(header="By", cell=lambda j: Span(j.by, "muted"), least=6, most=12, rank=4, measured=True),
)


def job_lines(job: JobView, width: int) -> list[Line]:
    """Return everything about a job: what it was to test, and what became of it."""
    state = _STATES[job.state]
    facts = (("What", Span(job.title)), ("By", Span(job.by)), ("State", state))
    lines = [line(Span(f"  {name:<8}{value.text}", value.tone)) for name, value in facts]
    said = wrap(job.text, max(20, width - 4))
    return [*lines, Line(), *(line(Span(f"  {part}", state.tone)) for part in said)]


def result_columns(day: Clock, is_base: Callable[[BacktestView], bool]) -> tuple[_Result, ...]:
    """Return the columns of stored results; `is_base` marks the one that others are set beside."""

    def number(
        header: str, cell: Callable[[BacktestView], Span], least: int, rank: int, order: Any
    ) -> _Result:
        return _Result(
            header=header,
            cell=cell,
            least=least,
            most=least + 2,
            rank=rank,
            align="right",
            order=order,
        )

    return (
        _Result(
            header="Id",
            cell=lambda b: Span(
                f"{'◆' if is_base(b) else ''}{b.id}", "accent" if is_base(b) else ""
            ),
            least=4,
            most=6,
            align="right",
        ),
        _Result(
            header="Portfolio",
            cell=lambda b: Span(b.name or b.portfolio or NONE),
            least=9,
            most=24,
            rank=5,
            measured=True,
            order=lambda b: b.name or b.portfolio,
        ),
        _Result(
            header="Period",
            cell=lambda b: Span(f"{day(b.from_ns)} → {day(b.to_ns)}", "muted"),
            least=23,
            most=23,
            rank=6,
        ),
        number(
            "Return",
            lambda b: signed(b.total_return_frac),
            8,
            1,
            lambda b: -_or_least(b.total_return_frac),
        ),
        number(
            "Sharpe",
            lambda b: Span(figure(b.sharpe_ratio)),
            6,
            2,
            lambda b: -_or_least(b.sharpe_ratio),
        ),
        number(
            "Drawdown",
            lambda b: Span(percent(b.max_drawdown_frac, 2)),
            8,
            3,
            lambda b: b.max_drawdown_frac,
        ),
        number("Trades", lambda b: Span(f"{b.n_trades:,}"), 7, 4, lambda b: -b.n_trades),
        _Result(
            header="Symbols",
            cell=lambda b: Span(" ".join(b.symbols), "muted"),
            least=8,
            most=40,
            rank=7,
            measured=True,
        ),
    )


def _or_least(value: float) -> float:
    return -math.inf if math.isnan(value) else value


def signed(fraction: float) -> Span:
    """Return a gain or loss as per cent, with its sign as glyph and colour."""
    if math.isnan(fraction):
        return Span(NONE, "muted")
    tone = "good" if fraction > 0.0 else "bad" if fraction < 0.0 else "muted"
    return Span(f"{100.0 * fraction:+z.2f}%".replace("-", "−"), tone)


def curve(told: Backtest, day: Clock, width: int, height: int) -> list[Line]:
    """Return a result's equity curve with its bounds."""
    return _plot(told, day, width, height)


def told_lines(told: Sequence[Backtest], day: Clock, width: int, height: int) -> list[Line]:
    """Return one result in full, or two side by side, their curves on one scale.

    Where they do not fit `height`, the curves are below it.
    """
    lines = [*_stops(told, width), *_figures(told)]
    room = max(_PLOT_LEAST, (height - len(lines)) // len(told))
    values = [value for one in told for _, value in one.equity]
    for one in told if values else ():
        lines.append(line(Span(f"{one.view.id} {one.view.name or one.view.portfolio}", "title")))
        lines += _plot(one, day, width, room - 1, bounds=(min(values), max(values)))
    for one in told:
        lines += _refusals(one, len(told) > 1)
    if len(told) == 1:
        lines += [*_months(told[0]), *_strategies(told[0]), *_trades(told[0], width)]
    return lines


def _stops(told: Sequence[Backtest], width: int) -> list[Line]:
    """Return what kept entries out until a period's end: first of all, and in full."""
    said = [(one.view.id, one.summary.get("no_entry")) for one in told]
    texts = [f"{number}: {text}" if len(told) > 1 else str(text) for number, text in said if text]
    return [line(Span(part, "bad")) for text in texts for part in wrap(f"⚠ {text}", max(20, width))]


def _section(title: str, rows: Sequence[Line], nothing: str) -> list[Line]:
    return [Line(), line(Span(title, "title")), *(rows or [line(Span(f"  {nothing}", "muted"))])]


def _refusals(told: Backtest, named: bool) -> list[Line]:
    """Return how often each rule refused an entry, the most frequent first."""
    refused = told.summary.get("refused") or {}
    ranked = sorted(refused.items(), key=lambda item: -item[1])
    rows = [line(f"  {name.replace('_', ' '):<24}{n:>12,}") for name, n in ranked]
    of = f" of {told.view.id}" if named else ""
    return _section(f"Entries refused{of}, by rule", rows, "none")


def _months(told: Backtest) -> list[Line]:
    head = f"  {'month':<10}{'return':>12}{'trades':>10}{'closed':>16}"
    rows = [
        line(
            f"  {m.month:<10}",
            Span(fit(signed(m.return_frac).text, 12, "right"), signed(m.return_frac).tone),
            f"{m.trades_count:>10,}",
            fit(gain(m.net_profit_ccy).text, 16, "right"),
        )
        for m in told.months
    ]
    return _section("Months", [line(Span(head, "header")), *rows] if rows else [], _NOT_STORED)


def _strategies(told: Backtest) -> list[Line]:
    wide = max([8, *(len(s.strategy) for s in told.strategies)])
    head = f"  {'strategy':<{wide}}{'trades':>10}{'net':>16}  book"
    ranked = sorted(told.strategies, key=lambda s: -s.net_profit_ccy)
    rows = [
        line(
            f"  {s.strategy:<{wide}}{s.trades_count:>10,}",
            Span(fit(gain(s.net_profit_ccy).text, 16, "right"), gain(s.net_profit_ccy).tone),
            f"  {s.book}",
        )
        for s in ranked
    ]
    return _section("Strategies", [line(Span(head, "header")), *rows] if rows else [], _NOT_STORED)


def _trades(told: Backtest, width: int) -> list[Line]:
    """Return the trades, the last one first, in lines that are not cut."""
    kept, n = len(told.trades), told.view.n_trades
    title = f"Trades, the last {kept:,} of {n:,}" if kept < n else f"Trades {n:,}"
    rows = [
        part
        for t in reversed(told.trades)
        for part in (
            line(
                f"  {_time(t.exit_time)}  {t.direction:<4} {t.lots:>7.2f} {t.symbol:<8}",
                Span(fit(gain(t.profit_ccy).text, 13, "right"), gain(t.profit_ccy).tone),
                f"  {t.exit_reason}",
            ),
            *(
                line(Span(f"    {more}", "muted"))
                for more in wrap(
                    f"in {_time(t.entry_time)} at {full_price(t.entry_price).strip()}, "
                    f"out at {full_price(t.exit_price).strip()}, {t.strategy}",
                    max(20, width - 4),
                )
            ),
        )
    ]
    return _section(title, rows, _NOT_STORED if n else "none")


def _time(time_ns: int) -> str:
    return iso_utc(time_ns - time_ns % NS_PER_MINUTE)[:16].replace("T", " ")


def _figures(told: Sequence[Backtest]) -> list[Line]:
    """Return every figure, of two with the difference."""
    two = len(told) > 1
    heads = [str(one.view.id) for one in told] + ["difference"] * two
    lines = [line(Span(_row("", heads), "header"))]
    if any(one.view.name for one in told):
        lines.append(line(_row("name", [one.view.name or NONE for one in told])))
    lines.append(line(_row("portfolio", [one.view.portfolio or NONE for one in told])))
    lines.append(line(_row("symbols", [" ".join(one.view.symbols) for one in told])))
    stopped = any(one.summary.get("no_entry") for one in told)
    given = [
        name
        for name, value in told[0].summary.items()
        if not isinstance(value, dict | list)
        and name != "no_entry"
        and (stopped or not name.startswith(("no_entry", "at_stop")))
    ]
    names = sorted(given, key=lambda n: (_FIGURES.index(n) if n in _FIGURES else len(_FIGURES), n))
    lines += [_figure(n, [one.summary.get(n) for one in told]) for n in names]
    books = dict.fromkeys(name for one in told for name in one.books)
    lines += [_figure(f"book {b}_ccy", [one.books.get(b) for one in told]) for b in books]
    if two:
        first, last = (one.made_of for one in told)
        differing = [_MADE_OF[n] for n in _MADE_OF if first.get(n) != last.get(n)]
        words = ", ".join(differing) or "nothing"
        lines.append(line(Span(f"differing: {words}", "warn" if differing else "muted")))
    return lines


# A database keeps no order: what one looks for first comes first.
_FIGURES: Final = (
    "from",
    "to",
    "initial_balance_ccy",
    "final_balance_ccy",
    "net_profit_ccy",
    "no_entry_after",
    "total_return_frac",
    "at_stop_total_return_frac",
    "annual_return_frac",
    "at_stop_annual_return_frac",
    "max_drawdown_frac",
    "at_stop_max_drawdown_frac",
    "sharpe_ratio",
    "at_stop_sharpe_ratio",
    "sortino_ratio",
    "calmar_ratio",
    "trades_count",
    "win_rate_frac",
    "profit_factor",
    "exposure_frac",
    "at_stop_exposure_frac",
    "commission_ccy",
    "swap_ccy",
    "entries_stopped_at",
    "halted_at",
    "drawdown_tier_at_end",
)
_PLOT_LEAST: Final = 7
_NOT_STORED: Final = "not stored with it: launch it again"
_CELL_WIDTH: Final = 18

_MADE_OF: Final = {
    "code_version": "code",
    "config_hash": "portfolio",
    "data_hash": "data",
    "digest": "result",
}


def _figure(name: str, values: Sequence[Any]) -> Line:
    """Return a figure's line; a name's last word is its unit."""
    stem, _, unit = name.rpartition("_")
    unit = unit if unit in ("frac", "ccy") else ""
    cells = [_cell(value, unit) for value in values]
    if len(values) > 1 and all(isinstance(value, int | float) for value in values):
        cells.append(_cell(values[1] - values[0], unit, sign="+"))
    return line(_row((stem if unit else name).replace("_", " "), cells))


def _row(name: str, cells: Sequence[str]) -> str:
    shown = (f" {fit(cell, _CELL_WIDTH - 1, 'right')}" for cell in cells)
    return f"{fit(name, 22)}{''.join(shown)}"


def _cell(value: Any, unit: str, sign: str = "") -> str:
    if value is None:
        return NONE
    if not isinstance(value, int | float):
        # A time to the minute, a day without one.
        return str(value).removesuffix(":00Z").removesuffix("T00:00").replace("T", " ")
    if unit == "frac":
        text = f"{100.0 * value:{sign}z,.2f}%"
    elif unit == "ccy":
        text = f"{value:{sign}z,.2f}"
    else:
        text = f"{value:{sign},.4g}" if isinstance(value, float) else f"{value:{sign},}"
    return text.replace("-", "−")


def _plot(
    told: Backtest,
    day: Clock,
    width: int,
    height: int,
    bounds: tuple[float, float] | None = None,
) -> list[Line]:
    points = told.equity
    if len(points) < 2 or height < 3:
        return [line(Span("  no equity curve is stored with it", "muted"))]
    values = [value for _, value in points]
    low, high = bounds or (min(values), max(values))
    labels = (money(high), money(low))
    label = max(map(len, labels))
    room = max(4, width - label - 2)
    rows = braille(points, room, height - 1, low, high)
    lines = [
        line(" ", Span(row, "plot"), Span(f" {fit(said, label, 'right')}", "muted"))
        for row, said in zip(rows, [labels[0], *[""] * (len(rows) - 2), labels[1]], strict=True)
    ]
    first, last = day(points[0][0]), day(points[-1][0])
    return [*lines, line(Span(f" {first}{last:>{max(0, room - len(first))}}", "muted"))]
