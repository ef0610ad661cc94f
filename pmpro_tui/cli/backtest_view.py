"""A backtest for people: figures, an equity line with its drawdowns, the books."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

_BLOCKS = "▁▂▃▄▅▆▇█"
_BOOKS_SHOWN = 20


class Advance(Protocol):
    """Takes how much is done, 0..1."""

    def __call__(self, done_frac: float, /) -> None:
        """Show it."""


@contextmanager
def progress_bar(title: str, *, quiet: bool) -> Iterator[Advance]:
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
    console = Console()
    s = document["summary"]
    table = Table(title=f"Backtest {s['from']} to {s['to']}", title_justify="left")
    for _ in range(2):
        table.add_column("", no_wrap=True)
        table.add_column("", justify="right", no_wrap=True)
    cells = list(_figures(s))
    half = (len(cells) + 1) // 2
    for i in range(half):
        right = cells[half + i] if half + i < len(cells) else ("", "")
        table.add_row(*cells[i], *right)
    console.print(table)
    if equity_ccy:
        low, high = min(equity_ccy), max(equity_ccy)
        console.print(Text(f"equity {low:,.2f} to {high:,.2f} {s['currency']}, lows shown"))
        console.print(Text(sparkline(equity_ccy, max(20, min(console.width - 2, 100)))))
    _show_halts(console, s)
    _show_books(console, document["books"])
    _show_strategies(console, document.get("strategies", ()))
    for note in document["notes"]:
        sys.stderr.write(f"pmpro: {note}\n")


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
    yield "entries refused", f"{refused:,}"
    yield "allocation changes", f"{s.get('changes_count', 0):,}"


def _show_halts(console: Console, s: Mapping[str, Any]) -> None:
    if s["halted_at"]:
        console.print(Text(f"HALTED by drawdown at {s['halted_at']}: flat from then on"))
    elif s["entries_stopped_at"]:
        console.print(Text(f"entries first stopped by drawdown at {s['entries_stopped_at']}"))
    if s["refused"]:
        reasons = ", ".join(f"{name} {n:,}" for name, n in s["refused"].items())
        console.print(Text(f"refused: {reasons}"))


def _show_books(console: Console, books: Sequence[Mapping[str, Any]]) -> None:
    table = Table(title="Books", title_justify="left")
    table.add_column("book", overflow="ellipsis", no_wrap=True)
    table.add_column("symbols", overflow="ellipsis", no_wrap=True)
    for column in ("trades", "win rate", "profit factor", "net profit"):
        table.add_column(column, justify="right", no_wrap=True)
    ranked = sorted(books, key=lambda b: -abs(b["net_profit_ccy"]))[:_BOOKS_SHOWN]
    for b in ranked:
        table.add_row(
            Text(b["book"]),
            Text(" ".join(b["symbols"])),
            f"{b['trades_count']:,}",
            _percent(b["win_rate_frac"]),
            _plain(b["profit_factor"]),
            f"{b['net_profit_ccy']:z,.2f}",
        )
    console.print(table)
    if len(books) > len(ranked):
        console.print(Text(f"{len(books) - len(ranked)} more books: --json lists all"))


def _show_strategies(console: Console, strategies: Sequence[Mapping[str, Any]]) -> None:
    """Write what each member earned of its books' trades, and alone: its shadow record."""
    table = Table(
        title="Strategies, beside what each would have earned alone", title_justify="left"
    )
    table.add_column("strategy", overflow="ellipsis", no_wrap=True)
    table.add_column("book", overflow="ellipsis", no_wrap=True)
    for column in ("trades", "net profit", "alone: trades", "R", "drawdown R"):
        table.add_column(column, justify="right", no_wrap=True)
    ranked = sorted(strategies, key=lambda s: -abs(s["net_profit_ccy"]))[:_BOOKS_SHOWN]
    for s in ranked:
        shadow = s["shadow"]
        table.add_row(
            Text(s["strategy"]),
            Text(s["book"]),
            f"{s['trades_count']:,}",
            f"{s['net_profit_ccy']:z,.2f}",
            f"{shadow['trades_count']:,}",
            f"{shadow['total_r']:+z,.1f}",
            f"{shadow['max_drawdown_r']:,.1f}",
        )
    console.print(table)
    if len(strategies) > len(ranked):
        console.print(Text(f"{len(strategies) - len(ranked)} more strategies: --json lists all"))


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value * 100:z,.2f} %"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:z,.2f}"
