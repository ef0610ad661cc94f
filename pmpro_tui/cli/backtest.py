"""`pmpro backtest run|list|show`."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.model.errors import PmproError, StoreError, UserError
from engine.model.times import from_datetime
from pmpro_tui.cli.output import Config, Json, Mode, print_json, print_table

if TYPE_CHECKING:
    from backtest.run import Report

app = typer.Typer(no_args_is_help=True)

PortfolioFile = Annotated[Path, typer.Option("--portfolio", metavar="FILE", help="What trades.")]
DataDir = Annotated[Path, typer.Option("--data", metavar="DIR", help="Directory of bar files.")]
From = Annotated[
    str, typer.Option("--from", metavar="D", help="First bar's open: date or ISO 8601 time, UTC.")
]
To = Annotated[str, typer.Option("--to", metavar="D", help="Bars open before this, UTC.")]
Source = Annotated[
    str | None, typer.Option("--source", metavar="S", help="Use only files of this source.")
]
Trades = Annotated[
    Path | None, typer.Option("--trades", metavar="FILE", help="Write trades (.csv, .parquet).")
]
Equity = Annotated[
    Path | None, typer.Option("--equity", metavar="FILE", help="Write equity (.csv, .parquet).")
]


@app.command()
def run(
    portfolio: PortfolioFile,
    data: DataDir,
    from_: From,
    to: To,
    source: Source = None,
    trades: Trades = None,
    equity: Equity = None,
    json: Json = False,
    no_store: Annotated[bool, typer.Option("--no-store", help="Keep no result.")] = False,
    config: Config = None,
    mode: Mode = None,
) -> None:
    """Trade a portfolio over past one-minute bars that open in [from, to)."""
    from backtest.output import check_path, write_equity, write_trades
    from backtest.report import equity_table, trades_table
    from backtest.run import run_backtest
    from pmpro_tui.cli.backtest_view import progress_bar, show

    period = (parse_time("--from", from_), parse_time("--to", to))
    for path in (trades, equity):
        check_path(path)
    with progress_bar("Backtest", quiet=json) as advance:
        report = run_backtest(portfolio, data, *period, source=source, progress=advance)
    if trades is not None:
        write_trades(trades, trades_table(report.result))
    if equity is not None:
        write_equity(equity, equity_table(report.result))
    stored_id = None if no_store else _store(report, config, mode)
    if json:
        print_json({**report.document, "stored_id": stored_id})
    else:
        show(report.document, report.result.equity["equity_ccy"].tolist())


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
    json: Json = False,
    config: Config = None,
    mode: Mode = None,
) -> None:
    """List stored backtests."""
    from backtest.results import listed
    from engine.runtime.settings import load_settings
    from pmpro_tui.cli.database import open_database

    with open_database(load_settings(config, mode=mode)) as engine:
        rows = listed(engine, limit)
    if json:
        print_json({"backtests": rows})
        return
    print_table(
        "Backtests",
        ("id", "from", "to", "return", "Sharpe", "max drawdown", "trades"),
        [
            (
                row["id"],
                row["from"][:10],
                row["to"][:10],
                f"{row['total_return_frac']:.2%}",
                "–" if row["sharpe_ratio"] is None else f"{row['sharpe_ratio']:.2f}",
                f"{row['max_drawdown_frac']:.2%}",
                row["trades_count"],
            )
            for row in rows
        ],
    )


@app.command("show")
def show_(
    result_id: Annotated[int, typer.Argument(metavar="ID", help="As `list` shows it.")],
    json: Json = False,
    config: Config = None,
    mode: Mode = None,
) -> None:
    """Show a stored backtest."""
    from backtest.results import shown
    from engine.runtime.settings import load_settings
    from pmpro_tui.cli.backtest_view import show
    from pmpro_tui.cli.database import open_database

    with open_database(load_settings(config, mode=mode)) as engine:
        document = shown(engine, result_id)
    if document is None:
        raise UserError(f"there is no backtest {result_id}: `pmpro backtest list` shows all")
    if json:
        print_json(document)
    else:
        show(document, [])


def parse_time(option: str, text: str) -> int:
    """Return UTC nanoseconds of a date or an ISO 8601 time on a whole minute."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(
            f"{option} {text!r} is no date: write 2018-06-01 or 2018-06-01T13:05"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if moment.second or moment.microsecond:
        raise UserError(f"{option} {text!r} must be a whole minute")
    return from_datetime(moment)


def _store(report: "Report", config: Path | None, mode: str | None) -> int | None:
    """Store the report; say so in a line where there is no database to store it in."""
    from engine.runtime.settings import load_settings
    from pmpro_tui.cli.database import open_database

    settings = load_settings(config, mode=mode)
    try:
        with open_database(settings) as engine:
            from backtest.results import store

            return store(engine, report)
    except PmproError as error:
        if not isinstance(error, StoreError):
            raise
        sys.stderr.write(f"pmpro: the result is not stored: {error}\n")
        return None
