"""`pmpro backtest list|show|compare`: results that the database keeps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.model.errors import UserError
from pmpro_tui.cli.backtest_options import At, Explain, OfBook, check_explain
from pmpro_tui.cli.output import Config, Json, Mode, print_json, print_line
from pmpro_tui.cli.tables import print_table

# What must be equal for results to be comparable, and what is said where it is not.
_MADE_OF = {
    "code_version": "code",
    "config_hash": "portfolio",
    "data_hash": "data",
    "digest": "result",
}


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
                f"{row['total_return_frac']:z.2%}",
                "–" if row["sharpe_ratio"] is None else f"{row['sharpe_ratio']:z.2f}",
                f"{row['max_drawdown_frac']:.2%}",
                row["trades_count"],
            )
            for row in rows
        ],
    )


def show(
    result_id: Annotated[int, typer.Argument(metavar="ID", help="As `list` shows it.")],
    explain: Explain = None,
    at: At = None,
    book: OfBook = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where its bars are now, to explain.")
    ] = None,
    json: Json = False,
    config: Config = None,
    mode: Mode = None,
) -> None:
    """Show a stored backtest, or run it again to say why it entered or did not."""
    from backtest.results import again, no_such, shown
    from engine.runtime.settings import load_settings
    from pmpro_tui.cli.backtest_explain import explained, show_explained
    from pmpro_tui.cli.backtest_view import show as show_document
    from pmpro_tui.cli.database import open_database

    check_explain(explain, at, book)
    with open_database(load_settings(config, mode=mode)) as engine:
        document = shown(engine, result_id)
        if document is None:
            raise no_such(result_id)
        if explain is not None or at is not None:
            prepared, result = again(engine, result_id, data)
            asked = explained(prepared, result, explain, at, book)
            if json:
                print_json({"id": result_id, **asked})
            else:
                show_explained(asked)
            return
    if json:
        print_json(document)
    else:
        show_document(document, [])


def compare(
    result_ids: Annotated[list[int], typer.Argument(metavar="ID ID…", help="As `list` shows.")],
    json: Json = False,
    config: Config = None,
    mode: Mode = None,
) -> None:
    """Show stored backtests side by side, and what differs in what they are made of."""
    from backtest.results import no_such, shown
    from engine.runtime.settings import load_settings
    from pmpro_tui.cli.database import open_database

    if len(result_ids) < 2:
        raise UserError("compare at least two: `pmpro backtest list` shows their ids")
    documents = []
    with open_database(load_settings(config, mode=mode)) as engine:
        for result_id in result_ids:
            document = shown(engine, result_id)
            if document is None:
                raise no_such(result_id)
            documents.append(document)
    differing = [name for name in _MADE_OF if len({d[name] for d in documents}) > 1]
    if json:
        summaries = [{"id": d["id"], **d["summary"]} for d in documents]
        print_json({"backtests": summaries, "differing": differing})
        return
    names = [name for name in documents[0]["summary"] if name != "refused"]
    print_table(
        "Backtests",
        ("figure", *map(str, result_ids)),
        [(name, *(_cell(d["summary"].get(name)) for d in documents)) for name in names]
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
