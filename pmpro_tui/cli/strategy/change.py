"""`pmpro strategy`: strategies come into the running engine, leave it, and get their shares."""

from pathlib import Path
from typing import Annotated, Any

import typer

from engine.files.text_files import read_toml
from engine.model.errors import UserError
from pmpro_tui.cli.app import App
from pmpro_tui.cli.engine import ask, connected_engine, newest_snapshot, send
from pmpro_tui.cli.output import Config, Json, Mode, Yes
from pmpro_tui.cli.status_view import account
from pmpro_tui.cli.strategy import check as strategy_check
from pmpro_tui.cli.strategy import list as strategy_list
from pmpro_tui.cli.strategy import new as strategy_new
from pmpro_tui.cli.strategy import parity as strategy_parity
from pmpro_tui.cli.strategy.options import Kind, Others, Param, Symbol, TimeframeName, parse_param

# A host is started and fed before the engine answers.
START_WAIT_S = 60.0

app = App()
for module in (strategy_list, strategy_new, strategy_check, strategy_parity):
    module.register(app)

What = Annotated[
    str,
    typer.Argument(
        metavar="FILE.toml|NAME",
        help="A file of [[strategy]] and [[book]] tables, or a name for the options below.",
    ),
]
BookName = Annotated[
    str,
    typer.Option("--book", help="The book that the strategy joins. Default: a book of its own."),
]
Share = Annotated[float, typer.Option("--share", help="The strategy's share of the book.")]
RiskFrac = Annotated[
    float | None,
    typer.Option("--risk-frac", help="Fraction of equity lost at the stop, in a book of its own."),
]
Lots = Annotated[float | None, typer.Option("--lots", help="Fixed lots, in a book of its own.")]
Target = Annotated[str, typer.Argument(help="A strategy's or a book's name.")]
Flatten = Annotated[bool, typer.Option("--flatten", help="Close its position, then remove it.")]
Keep = Annotated[
    bool, typer.Option("--keep", help="Leave the position to the book's other members.")
]
To = Annotated[str, typer.Option("--to", metavar="BOOK", help="Give the position to this book.")]


@app.command()
def add(
    what: What,
    kind: Kind = "",
    symbol: Symbol = "",
    other: Others = None,
    timeframe: TimeframeName = "M1",
    param: Param = None,
    book: BookName = "",
    share: Share = 1.0,
    risk_frac: RiskFrac = None,
    lots: Lots = None,
    config: Config = None,
    mode: Mode = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Add strategies to the running engine; nothing else changes."""
    if what.endswith(".toml"):
        if kind or symbol or param or book:
            raise UserError(f"{what} is a file with all settings: use the options only with a NAME")
        tables = read_toml(Path(what))
    else:
        if not kind or not symbol:
            raise UserError(f"strategy {what!r} needs --kind and --symbol, or name a FILE.toml")
        tables = _tables(what, kind, symbol, timeframe, param or [])
        _add_rest(tables, other or [], book, share, risk_frac, lots)
    with connected_engine(config, mode, timeout_s=START_WAIT_S) as client:
        snapshot = newest_snapshot(client)
        if snapshot.mode == "live":
            names = ", ".join(s.get("name", "?") for s in tables.get("strategy", []))
            ask(f"Trade {names} on live account {snapshot.account}?", "", yes)
        send(client, "add", text=_encode(tables), json=json)


@app.command()
def remove(
    name: Target,
    flatten: Flatten = False,
    keep: Keep = False,
    to: To = "",
    config: Config = None,
    mode: Mode = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Remove a strategy, or a book with all its members, from the running engine.

    Without an option it must have no open position. The answer says how to undo the removal.
    """
    if flatten + keep + bool(to) > 1:
        raise UserError("--flatten, --keep and --to exclude each other")
    how = "flatten" if flatten else "keep" if keep else f"to {to}" if to else ""
    with connected_engine(config, mode) as client:
        snapshot = newest_snapshot(client)
        alone = [s.name for s in snapshot.strategies if s.name == name]
        members = alone or [s.name for s in snapshot.strategies if s.book == name]
        if members and (not alone or snapshot.mode == "live"):
            what = f"book {name} and its members {', '.join(members)}" if not alone else name
            undo = "The answer says how `pmpro strategy add` brings it back."
            ask(f"Remove {what} from {account(snapshot)}? {undo}", "", yes)
        send(client, "remove", name, text=how, json=json)


@app.command()
def allocate(
    name: Target,
    share: Annotated[
        str,
        typer.Argument(
            metavar="SHARE",
            help="0.2 or 20%: a strategy's share of its book, a book's share of the account.",
        ),
    ],
    config: Config = None,
    mode: Mode = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Set a strategy's share of its book, or a book's share of the account.

    The other shares keep their proportions. A strategy that is alone in its book stands for the
    book.
    """
    from engine.model.portfolio import parse_fraction

    value = parse_fraction(share)
    with connected_engine(config, mode) as client:
        snapshot = newest_snapshot(client)
        if snapshot.mode == "live":
            ask(f"Give {name} a share of {value:.1%} on live account {snapshot.account}?", "", yes)
        send(client, "allocate", name, value=value, seen_version=snapshot.version, json=json)


def _tables(
    name: str, kind: str, symbol: str, timeframe: str, params: list[str]
) -> dict[str, list[dict[str, Any]]]:
    strategy: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "symbol": symbol,
        "timeframe": timeframe,
        "params": dict(parse_param(text) for text in params),
    }
    return {"strategy": [strategy]}


def _add_rest(
    tables: dict[str, list[dict[str, Any]]],
    others: list[str],
    book: str,
    share: float,
    risk_frac: float | None,
    lots: float | None,
) -> None:
    strategy = tables["strategy"][0]
    if others:
        strategy["others"] = others
    if book:
        tables["book"] = [{"name": book, "members": {strategy["name"]: share}}]
    if lots is not None:
        strategy["sizing"] = {"method": "fixed_lots", "lots": lots}
    elif risk_frac is not None:
        strategy["sizing"] = {"method": "fixed_fraction", "risk_frac": risk_frac}


def _encode(tables: dict[str, Any]) -> str:
    import msgspec

    return msgspec.json.encode(tables).decode()
