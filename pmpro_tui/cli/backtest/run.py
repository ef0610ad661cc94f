"""`pmpro backtest run|list|show|compare|repeat`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.model.errors import PmproError, StoreError
from engine.model.jobs import Variant
from pmpro_tui.cli.app import App
from pmpro_tui.cli.backtest import stored as backtest_stored
from pmpro_tui.cli.backtest.options import (
    At,
    DataDir,
    Equity,
    Explain,
    From,
    OfBook,
    PortfolioFile,
    Source,
    To,
    Trades,
    check_explain,
    parse_period,
)
from pmpro_tui.cli.output import Config, Json, Mode, print_json, print_line, print_note
from pmpro_tui.cli.own_strategies import Strategies, own_files, settings_with

if TYPE_CHECKING:
    from backtest.run import Report
    from backtest.simulate import Result
    from engine.settings.settings import Settings

app = App()


@app.command()
def run(
    portfolio: PortfolioFile,
    data: DataDir,
    from_: From,
    to: To,
    source: Source = None,
    symbol: Annotated[
        list[str] | None,
        typer.Option(metavar="S", help="Trade only strategies on this symbol; repeat for more."),
    ] = None,
    commission: Annotated[
        float | None,
        typer.Option(min=0.0, help="Account currency per lot and side, instead of the file's."),
    ] = None,
    spread_points: Annotated[
        float | None,
        typer.Option(
            min=0.0, help="Points of spread for bars without a spread, instead of the file's."
        ),
    ] = None,
    trades: Trades = None,
    equity: Equity = None,
    attribution: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write each member's part of each trade to this file (.csv, .parquet).",
        ),
    ] = None,
    explain: Explain = None,
    at: At = None,
    book: OfBook = None,
    json: Json = False,
    no_store: Annotated[bool, typer.Option("--no-store", help="Do not store the result.")] = False,
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the stored result.")] = "",
    note: Annotated[str, typer.Option(metavar="TEXT", help="Note about the stored result.")] = "",
    strategies: Strategies = None,
    config: Config = None,
    mode: Mode = None,
) -> None:
    """Trade a portfolio over past one-minute bars that open in [from, to)."""
    from backtest.output import check_path
    from backtest.run import run_backtest
    from pmpro_tui.cli.backtest.explain import explained, show_explained
    from pmpro_tui.cli.backtest.view import progress_bar, show

    period = parse_period(from_, to)
    check_explain(explain, at, book)
    for path in (trades, equity, attribution):
        check_path(path)
    variant = Variant(
        symbols=tuple(symbol or ()),
        commission_per_lot_ccy=commission,
        spread_points=spread_points,
    )
    settings = settings_with(config, mode, strategies)
    with progress_bar("Backtest", quiet=json) as advance:
        report = run_backtest(
            portfolio,
            data,
            *period,
            source=source,
            variant=variant,
            files=own_files(settings.strategies_path),
            progress=advance,
        )
    asked = explained(report.prepared, report.result, explain, at, book)
    write_files(report.result, trades=trades, equity=equity, attribution=attribution)
    stored = None if no_store else _store(report, settings, name, note)
    if json:
        print_json(
            {
                "name": name,
                "note": note,
                **report.document,
                **asked,
                "stored_id": stored.number if stored else None,
                "stored_in": stored.place if stored else None,
            }
        )
    else:
        named = {"name": name, "note": note}
        show(named | report.document, report.result.equity["equity_ccy"].tolist())
        show_explained(asked)
        if stored:
            print_line(f"stored as backtest {stored}: `pmpro backtest show {stored}`")


def write_files(
    result: "Result", *, trades: Path | None, equity: Path | None, attribution: Path | None = None
) -> None:
    """Write the tables that were asked for."""
    from backtest.attribution import attribution_table
    from backtest.output import write_attribution, write_equity, write_trades
    from backtest.report import equity_table, trades_table

    if trades is not None:
        write_trades(trades, trades_table(result))
    if equity is not None:
        write_equity(equity, equity_table(result))
    if attribution is not None:
        write_attribution(attribution, attribution_table(result))


def _store(
    report: "Report", settings: "Settings", name: str, note: str
) -> "backtest_stored.StoredId | None":
    """Store the report; say so in a line where there is no database to store it in."""
    from pmpro_tui.cli.database import open_database, state_paths

    state_path = state_paths(settings)[0]
    try:
        with open_database(settings, state_path) as engine:
            from backtest.results import store

            number = store(engine, report, name=name, note=note)
            return backtest_stored.stored_id(settings, state_path, number)
    except PmproError as error:
        if not isinstance(error, StoreError):
            raise
        print_note(f"the result is not stored: {error}")
        return None


app.command("list")(backtest_stored.list_)
app.command("show")(backtest_stored.show)
app.command("compare")(backtest_stored.compare)
app.command("repeat")(backtest_stored.repeat)
