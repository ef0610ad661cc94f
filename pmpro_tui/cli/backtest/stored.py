"""`pmpro backtest list|show|compare|repeat`: results that the database keeps."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from engine.model.errors import UserError
from pmpro_tui.cli.backtest.options import At, Equity, Explain, OfBook, Trades, check_explain
from pmpro_tui.cli.output import Config, Json, Mode, print_json, print_line
from pmpro_tui.cli.own_strategies import Strategies, own_files, settings_with
from pmpro_tui.cli.tables import print_table

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from engine.settings.settings import Settings

DataMoved = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Directory of the bars now, for running again."),
]
# More than a bigint has.
_DIGITS_MOST = 19

# What must be equal for results to be comparable, and what is said where it is not.
_MADE_OF = {
    "code_version": "code",
    "config_hash": "portfolio",
    "data_hash": "data",
    "digest": "result",
}


class StoredId(NamedTuple):
    """A stored result: its number in the database of the state directory `place`.

    `own`: whether that is the settings' own one, where the number says enough.
    """

    number: int
    place: str
    own: bool

    def __str__(self) -> str:
        return str(self.number) if self.own else f"{self.place}:{self.number}"


Id = Annotated[str, typer.Argument(metavar="ID", help="The backtest's id, as `list` shows it.")]


def stored_id(settings: "Settings", state_path: Path, number: int) -> StoredId:
    """Return the id of a result in the database of a state directory."""
    return StoredId(number, state_path.name, state_path == settings.state_path)


def list_(
    limit: Annotated[int, typer.Option(min=1, help="Number of backtests, newest first.")] = 20,
    json: Json = False,
    config: Config = None,
    mode: Mode = None,
) -> None:
    """List stored backtests; in the demo, those on other bars too."""
    from backtest.results import listed
    from engine.settings.settings import load_settings
    from pmpro_tui.cli.database import open_database, state_paths

    settings = load_settings(config, mode=mode)
    rows: list[dict[str, Any]] = []
    for state_path in state_paths(settings):
        with open_database(settings, state_path) as engine:
            for row in listed(engine, limit):
                found = stored_id(settings, state_path, row["id"])
                rows.append(row | {"id_text": str(found), "stored_in": found.place})
    rows = sorted(rows, key=lambda row: row["created_at"], reverse=True)[:limit]
    if json:
        print_json({"backtests": rows})
        return
    print_table(
        "Backtests",
        (
            "id",
            "name",
            "portfolio",
            "from",
            "to",
            "return",
            "Sharpe",
            "max drawdown",
            "trades",
            "note",
        ),
        [
            (
                row["id_text"],
                row["name"],
                row["portfolio"],
                row["from"][:10],
                row["to"][:10],
                f"{row['total_return_frac']:z.2%}",
                "–" if row["sharpe_ratio"] is None else f"{row['sharpe_ratio']:z.2f}",
                f"{row['max_drawdown_frac']:.2%}",
                row["trades_count"],
                row["note"],
            )
            for row in rows
        ],
        least=("note", "portfolio", "name"),
        texts=("name", "portfolio", "note"),
    )


@contextmanager
def _opened(settings: "Settings", text: str) -> "Iterator[tuple[Engine, int]]":
    """Give the database that has a stored result, and the result's number there.

    Raises:
        UserError: none has it, or several that are not the settings' own.
    """
    from backtest.results import no_such, shown
    from pmpro_tui.cli.database import open_database, state_paths

    place, _, digits = text.rpartition(":")
    if not (digits.isascii() and digits.isdecimal() and len(digits) < _DIGITS_MOST):
        raise UserError(
            f"{text!r} is not the id of a backtest: `pmpro backtest list` shows the ids"
        )
    number = int(digits)
    paths = state_paths(settings)
    if place:
        paths = [path for path in (settings.state_path, *paths) if path.name == place][:1]
    holding = []
    for state_path in paths:
        with open_database(settings, state_path) as engine:
            if shown(engine, number) is None:
                continue
            if place or state_path == settings.state_path:
                yield engine, number
                return
        holding.append(state_path)
    if not holding:
        raise no_such(text)
    if len(holding) > 1:
        names = " or ".join(f"{path.name}:{number}" for path in holding)
        raise UserError(
            f"backtest {number} is stored for several directories of bars: use one of {names}"
        )
    with open_database(settings, holding[0]) as engine:
        yield engine, number


def show(
    result_id: Id,
    explain: Explain = None,
    at: At = None,
    book: OfBook = None,
    data: DataMoved = None,
    text: Annotated[
        bool, typer.Option("--portfolio", help="Print the portfolio file, as it ran.")
    ] = False,
    json: Json = False,
    strategies: Strategies = None,
    config: Config = None,
    mode: Mode = None,
) -> None:
    """Show a stored backtest, or run it again to explain its entries."""
    from backtest.results import WITHOUT_TEXT, again, no_such, shown
    from pmpro_tui.cli.backtest.explain import explained, show_explained
    from pmpro_tui.cli.backtest.view import show as show_document

    check_explain(explain, at, book)
    settings = settings_with(config, mode, strategies)
    with _opened(settings, result_id) as (engine, number):
        document = shown(engine, number)
        if document is None:
            raise no_such(result_id)
        if explain is not None or at is not None:
            files = own_files(settings.strategies_path)
            prepared, result = again(engine, number, data, files)
            asked = explained(prepared, result, explain, at, book)
            if json:
                print_json({"id": number, **asked})
            else:
                show_explained(asked)
            return
    if text:
        if document["portfolio"] is None:
            raise UserError(f"backtest {result_id}: {WITHOUT_TEXT}")
        sys.stdout.write(document["portfolio"])
    elif json:
        print_json(document)
    else:
        show_document(document, [value for _, value in document.get("equity", ())])


def repeat(
    result_id: Id,
    data: DataMoved = None,
    trades: Trades = None,
    equity: Equity = None,
    json: Json = False,
    strategies: Strategies = None,
    config: Config = None,
    mode: Mode = None,
) -> None:
    """Run a stored backtest again; fail if the result is not the same to the last bit."""
    from backtest.output import check_path, write_equity, write_trades
    from backtest.report import digest, equity_table, trades_table
    from backtest.results import again

    for path in (trades, equity):
        check_path(path)
    settings = settings_with(config, mode, strategies)
    with _opened(settings, result_id) as (engine, number):
        _, result = again(engine, number, data, own_files(settings.strategies_path))
    if trades is not None:
        write_trades(trades, trades_table(result))
    if equity is not None:
        write_equity(equity, equity_table(result))
    same = {"id": number, "digest": digest(result), "trades_count": len(result.trades)}
    if json:
        print_json(same)
    else:
        print_line(
            f"backtest {result_id} again: {same['trades_count']:,} trades, digest {same['digest']}"
        )


def compare(
    result_ids: Annotated[
        list[str],
        typer.Argument(metavar="ID ID…", help="The backtests' ids, as `list` shows them."),
    ],
    json: Json = False,
    config: Config = None,
    mode: Mode = None,
) -> None:
    """Compare stored backtests, and say which of their inputs differ."""
    from backtest.results import no_such, shown
    from engine.settings.settings import load_settings

    if len(result_ids) < 2:
        raise UserError("name at least two backtests: `pmpro backtest list` shows their ids")
    documents = []
    settings = load_settings(config, mode=mode)
    for result_id in result_ids:
        with _opened(settings, result_id) as (engine, number):
            document = shown(engine, number)
        if document is None:
            raise no_such(result_id)
        documents.append(document)
    differing = [name for name in _MADE_OF if len({d[name] for d in documents}) > 1]
    if json:
        summaries = [{"id": d["id"], "name": d["name"], **d["summary"]} for d in documents]
        print_json({"backtests": summaries, "differing": differing})
        return
    names = [name for name in documents[0]["summary"] if name != "refused"]
    print_table(
        "Backtests",
        ("figure", *result_ids),
        [("name", *(d["name"] or "–" for d in documents))]
        + [(name, *(_cell(d["summary"].get(name)) for d in documents)) for name in names]
        + _books(documents),
    )
    words = ", ".join(_MADE_OF[name] for name in differing) or "nothing"
    print_line(f"differing: {words}")


def _books(documents: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Return a row a book: what it earned in each."""
    earned = [{b["book"]: b["net_profit_ccy"] for b in d["books"]} for d in documents]
    names = dict.fromkeys(name for books in earned for name in books)
    return [(f"book {name}", *(_cell(books.get(name)) for books in earned)) for name in names]


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:z,.4f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
