"""A backtest for people: figures, an equity line with its drawdowns, the books."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from shutil import get_terminal_size
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from pmpro_tui.cli.output import print_line, print_note
from pmpro_tui.cli.tables import print_table

_BLOCKS = "▁▂▃▄▅▆▇█"
_ROWS_SHOWN = 20


class OnProgress(Protocol):
    """Takes how much is done, 0..1."""

    def __call__(self, done_frac: float, /) -> None:
        """Show it."""


@contextmanager
def progress_bar(title: str, *, quiet: bool) -> Iterator[OnProgress]:
    """Show progress on stderr where it is a terminal."""
    columns = (TextColumn(title), BarColumn(40), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(
        *columns,
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=quiet or not sys.stderr.isatty(),
    ) as progress:
        task = progress.add_task("", total=1.0)
        yield lambda done_frac: progress.update(task, completed=done_frac)


def sparkline(values: Sequence[float], width: int) -> str:
    """Return a line of blocks; each shows its stretch's lowest value, so that no fall is hidden."""
    if not values:
        return ""
    n = min(width, len(values))
    edges = [len(values) * i // n for i in range(n + 1)]
    lows = [min(values[a:b]) for a, b in pairwise(edges)]
    low, high = min(lows), max(lows)
    step = (high - low) / (len(_BLOCKS) - 1)
    return "".join(_BLOCKS[round((v - low) / step) if step > 0 else 0] for v in lows)


def show(document: Mapping[str, Any], equity_ccy: Sequence[float]) -> None:
    """Write the tables of a result."""
    s = document["summary"]
    _show_stop(s)
    for key in ("name", "note"):
        if document.get(key):
            print_line(f"{key}: {document[key]}")
    cells: list[tuple[str, ...]] = list(_figures(s))
    half = (len(cells) + 1) // 2
    if sys.stdout.isatty():
        beside = [*cells[half:], *([("", "")] * (len(cells) % 2))]
        cells = [(*left, *right) for left, right in zip(cells[:half], beside, strict=True)]
    print_table(f"Backtest {s['from']} to {s['to']}", [""] * len(cells[0]), cells)
    if equity_ccy:
        low, high = min(equity_ccy), max(equity_ccy)
        print_line(f"equity {low:,.2f} to {high:,.2f} {s['currency']}, lows shown")
        print_line(sparkline(equity_ccy, max(20, min(get_terminal_size().columns - 2, 100))))
    _show_halts(s)
    _show_books(document["books"])
    _show_strategies(document.get("strategies", ()))
    _show_made_of(document.get("made_of", {}))
    for own in document.get("own_strategies", ()):
        print_line(f"own strategy {own['kind']}: {own['file']}, sha256 {own['sha256']}")
    for note in document["notes"]:
        if note != s.get("no_entry"):  # said first of all
            print_note(note)


def _show_stop(s: Mapping[str, Any]) -> None:
    """Begin with what kept entries out until the end, and the figures up to there."""
    if not s.get("no_entry"):
        return
    print_line(s["no_entry"])
    rows = [
        ("return", "total_return_frac", _percent),
        ("annual return", "annual_return_frac", _percent),
        ("max drawdown", "max_drawdown_frac", _percent),
        ("Sharpe", "sharpe_ratio", _plain),
        ("exposure", "exposure_frac", _percent),
    ]
    print_table(
        "Up to there, beside the whole period",
        ("figure", f"to {s['no_entry_after'][:10]}", f"to {s['to'][:10]}"),
        [(name, text(s[f"at_stop_{key}"]), text(s[key])) for name, key, text in rows],
    )


def _figures(s: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "return", _percent(s["total_return_frac"])
    yield "annual return", _percent(s["annual_return_frac"])
    yield "max drawdown", _percent(s["max_drawdown_frac"])
    yield "Sharpe", _plain(s["sharpe_ratio"])
    yield "Sortino", _plain(s["sortino_ratio"])
    yield "Calmar", _plain(s["calmar_ratio"])
    yield "exposure", _percent(s["exposure_frac"])
    yield f"balance {s['currency']}", f"{s['final_balance_ccy']:z,.2f}"
    yield f"net profit {s['currency']}", f"{s['net_profit_ccy']:z,.2f}"
    yield "trades", f"{s['trades_count']:,}"
    yield "win rate", _percent(s["win_rate_frac"])
    yield "profit factor", _plain(s["profit_factor"])
    yield "commission", f"{s['commission_ccy']:z,.2f}"
    yield "swap", f"{s['swap_ccy']:z,.2f}"
    refused = sum(s["refused"].values())
    yield "refusals of wishes", f"{refused:,}"
    yield "allocation changes", f"{s.get('changes_count', 0):,}"


def _show_halts(s: Mapping[str, Any]) -> None:
    if s["halted_at"]:
        print_line(f"HALTED by drawdown at {s['halted_at']}: flat from then on")
    elif s["entries_stopped_at"]:
        print_line(f"entries first stopped by drawdown at {s['entries_stopped_at']}")
    if s["refused"]:
        reasons = ", ".join(f"{name} {n:,}" for name, n in s["refused"].items())
        print_line(f"wishes to enter that a rule refused, each once a rule: {reasons}")


def _show_made_of(made_of: Mapping[str, Any]) -> None:
    """Write what a result comes from; one of an earlier version says less."""
    if "costs" not in made_of:
        return
    source = f" of source {made_of['source']}" if made_of["source"] else ""
    print_line(f"portfolio {made_of['portfolio']}, bars of {made_of['data']}{source}")
    print_table(
        "Costs",
        ("symbol", "spread points", "commission per lot and side", "swap long", "swap short"),
        [
            [f"{value:g}" if isinstance(value, float) else value for value in cost.values()]
            for cost in made_of["costs"]
        ],
    )
    files = made_of["files"]
    if sys.stdout.isatty() and len(files) > _ROWS_SHOWN:
        print_line(f"{len(files)} bar files: --json lists them with their hashes")
    else:
        print_table("Bars", ("file", "sha256"), [(f["name"], f["sha256"]) for f in files])


def _show_books(books: Sequence[Mapping[str, Any]]) -> None:
    print_table(
        "Books",
        ("book", "symbols", "trades", "win rate", "profit factor", "net profit"),
        [
            (
                b["book"],
                " ".join(b["symbols"]),
                f"{b['trades_count']:,}",
                _percent(b["win_rate_frac"]),
                _plain(b["profit_factor"]),
                f"{b['net_profit_ccy']:z,.2f}",
            )
            for b in _largest(books, "books")
        ],
        least=("profit factor", "win rate"),
        texts=("symbols",),
    )


def _show_strategies(strategies: Sequence[Mapping[str, Any]]) -> None:
    """Write what each member earned of its books' trades, and alone: its shadow record."""
    print_table(
        "Strategies, beside what each would have earned alone",
        ("strategy", "book", "trades", "net profit", "alone: trades", "R", "drawdown R"),
        [
            (
                s["strategy"],
                s["book"],
                f"{s['trades_count']:,}",
                f"{s['net_profit_ccy']:z,.2f}",
                f"{s['shadow']['trades_count']:,}",
                f"{s['shadow']['total_r']:+z,.1f}",
                f"{s['shadow']['max_drawdown_r']:,.1f}",
            )
            for s in _largest(strategies, "strategies")
        ],
        least=("alone: trades", "drawdown R", "book"),
    )


def _largest(rows: Sequence[Mapping[str, Any]], what: str) -> list[Mapping[str, Any]]:
    """Return rows by their net profits' size: on a terminal the first of them, the rest counted."""
    ranked = sorted(rows, key=lambda row: -abs(row["net_profit_ccy"]))
    if not sys.stdout.isatty() or len(ranked) <= _ROWS_SHOWN:
        return ranked
    print_line(f"{len(ranked) - _ROWS_SHOWN} more {what} have smaller results: --json lists all")
    return ranked[:_ROWS_SHOWN]


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value * 100:z,.2f} %"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:z,.2f}"
