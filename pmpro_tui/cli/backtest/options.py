"""What `pmpro backtest` and `pmpro replay` share: options and times."""

from pathlib import Path
from typing import Annotated

import typer

from engine.model.errors import UserError
from engine.model.times import NS_PER_DAY, to_datetime, utc_minute
from pmpro_tui.cli.output import print_note

PortfolioFile = Annotated[
    Path, typer.Option("--portfolio", metavar="FILE", help="The portfolio file.")
]
DataDir = Annotated[Path, typer.Option("--data", metavar="DIR", help="Directory of bar files.")]
From = Annotated[
    str,
    typer.Option(
        "--from", metavar="D", help="Open of the first bar: a date or an ISO 8601 time, UTC."
    ),
]
To = Annotated[
    str,
    typer.Option(
        "--to", metavar="D", help="End: bars open before this time, UTC. 2019-01-01 ends 2018."
    ),
]
Source = Annotated[
    str | None, typer.Option("--source", metavar="S", help="Use only files of this source.")
]
Trades = Annotated[
    Path | None,
    typer.Option(
        "--trades", metavar="FILE", help="Write the trades to this file (.csv, .parquet)."
    ),
]
Equity = Annotated[
    Path | None,
    typer.Option(
        "--equity", metavar="FILE", help="Write the equity to this file (.csv, .parquet)."
    ),
]
Explain = Annotated[
    int | None,
    typer.Option(
        metavar="TRADE", help="Explain why a trade was entered: its row in the trades file, from 1."
    ),
]
At = Annotated[
    str | None,
    typer.Option(
        metavar="TIME", help="Explain the decisions of --book at this time, refused entries too."
    ),
]
OfBook = Annotated[
    str | None, typer.Option("--book", metavar="BOOK", help="The book that --at explains.")
]


def parse_time(option: str, text: str) -> int:
    """Return UTC nanoseconds of a date or an ISO 8601 time on a whole minute."""
    try:
        return utc_minute(text)
    except ValueError as error:
        raise UserError(f"{option} {text!r} {error}") from None


def parse_period(from_: str, to: str) -> tuple[int, int]:
    """Return the bounds of [from, to); say it where somebody may have meant the last day too."""
    period = parse_time("--from", from_), parse_time("--to", to)
    if period[0] >= period[1]:
        raise UserError(f"--from {from_} must be before --to {to}, which is not included")
    next_day = to_datetime(period[1] + NS_PER_DAY)
    if len(to) == len("2018-12-31") and next_day.day == 1:
        say = f"--to {to} is not included: --to {next_day:%Y-%m-%d} ends with that day"
        print_note(say)
    return period


def check_explain(explain: int | None, at: str | None, book: str | None) -> None:
    """Refuse, before any work, what does not say which decision is meant."""
    if (at is None) != (book is None):
        raise UserError("--at TIME and --book BOOK go together: they name one decision")
    if explain is not None and at is not None:
        raise UserError("use either --explain TRADE or --at TIME --book BOOK")
    if at is not None:
        parse_time("--at", at)
