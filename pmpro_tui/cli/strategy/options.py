"""What the commands about strategies share: how one is named on the command line."""

import tomllib
from typing import Annotated, Any

import typer

from engine.model.errors import UserError

Kind = Annotated[str, typer.Option("--kind", help="The strategy's kind.")]
Symbol = Annotated[str, typer.Option("--symbol", help="The symbol that the strategy trades.")]
Others = Annotated[
    list[str] | None,
    typer.Option("--other", metavar="SYMBOL", help="Symbol of a further input; repeat for more."),
]
TimeframeName = Annotated[
    str, typer.Option("--timeframe", help="The strategy's bars: M1, M5, … D1.")
]
Param = Annotated[
    list[str] | None, typer.Option("--param", metavar="KEY=VALUE", help="A parameter of the kind.")
]


def parse_param(text: str) -> tuple[str, Any]:
    """Return KEY=VALUE as TOML reads it; what is no TOML value is a string."""
    key, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"--param {text!r}: write KEY=VALUE")
    try:
        return key, tomllib.loads(f"v = {value}")["v"]
    except (ValueError, RecursionError):
        return key, value
