"""`pmpro token add|list|remove`: personal tokens for a desk that shares one login."""

from typing import TYPE_CHECKING, Annotated

import typer

from engine.model.errors import UserError
from pmpro_tui.cli.app import App
from pmpro_tui.cli.output import Config, Json, Mode, print_json, print_line

if TYPE_CHECKING:
    from pathlib import Path

    from engine.settings.access import Tokens

app = App()

Name = Annotated[str, typer.Argument(help="The person's name, as the audit trail shows it.")]


@app.command()
def add(name: Name, config: Config = None, mode: Mode = None, json: Json = False) -> None:
    """Create a person's token and show it once; the person's former token becomes invalid."""
    token = _tokens(config, mode).add(name)
    if json:
        print_json({"name": name, "token": token})
        return
    print_line(token)
    print_line(f"{name} gives it when asked, or as PMPRO_TOKEN; it is not shown again")


@app.command("list")
def list_(config: Config = None, mode: Mode = None, json: Json = False) -> None:
    """List the people who have a token."""
    names = sorted(_tokens(config, mode).hashes())
    if json:
        print_json({"names": names})
        return
    print_line(", ".join(names) or "nobody has a token")


@app.command()
def remove(name: Name, config: Config = None, mode: Mode = None, json: Json = False) -> None:
    """Revoke a person's token at once."""
    _tokens(config, mode).remove(name)
    if json:
        print_json({"name": name})
    else:
        print_line(f"the token of {name} is void")


def _tokens(config: "Path | None", mode: str | None) -> "Tokens":
    from engine.settings.access import Tokens
    from engine.settings.settings import load_settings

    settings = load_settings(config, mode=mode)
    path = settings.control.tokens_file
    if path is None:
        raise UserError(
            f"{settings.where('control.tokens_file')} is not set: name the file that keeps the "
            "tokens' hashes there, and restart the engine"
        )
    return Tokens(path, settings.where("control.tokens_file"))
