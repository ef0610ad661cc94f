"""What commands share: their options and the two forms of an answer."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="One JSON document for machines.")]
Config = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Configuration file.")
]
Mode = Annotated[
    str | None, typer.Option("--mode", metavar="MODE", help="demo, paper or live, over the file's.")
]
As = Annotated[
    str | None,
    typer.Option("--as", metavar="ROLE", help="viewer or operator: a lower role than one's own."),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def print_json(document: object) -> None:
    """Write one JSON document; NaN becomes null."""
    import msgspec

    sys.stdout.write(msgspec.json.encode(document).decode() + "\n")


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a table for people."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    Console().print(table)


def print_line(text: str) -> None:
    """Write one line for people."""
    sys.stdout.write(text + "\n")
