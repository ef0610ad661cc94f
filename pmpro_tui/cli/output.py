"""What commands share: their options and the two forms of an answer."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from engine.model.printable import is_printable, printable, printable_value

LINE_MAX_CHARS = 100_000
"""What a person asked to read is not cut."""

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Config = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Configuration file.")
]
Mode = Annotated[
    str | None,
    typer.Option("--mode", metavar="MODE", help="demo, paper or live, instead of the file's mode."),
]
As = Annotated[
    str | None,
    typer.Option("--as", metavar="ROLE", help="Act in a lower role: viewer or operator."),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def print_json(document: object) -> None:
    """Write one JSON document; NaN becomes null, what a terminal could obey is escaped."""
    sys.stdout.write(json_text(document) + "\n")


def json_text(document: object) -> str:
    """Return a document as JSON in which every character that is not visible is escaped."""
    import msgspec

    try:
        text = msgspec.json.encode(document).decode()
    except UnicodeEncodeError:  # half a character
        text = msgspec.json.encode(printable_value(msgspec.to_builtins(document))).decode()
    return text if is_printable(text) else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    return character if is_printable(character) else json.dumps(character)[1:-1]


def print_line(text: str) -> None:
    """Write one line for people."""
    sys.stdout.write(printable(text, LINE_MAX_CHARS) + "\n")


def print_note(text: str) -> None:
    """Write one line beside the answer, which goes on."""
    sys.stderr.write(f"pmpro: {printable(text, LINE_MAX_CHARS)}\n")


def print_warning(text: str) -> None:
    """Write one line of what may be wrong beside the answer, which goes on."""
    print_note(f"warning: {text}")
