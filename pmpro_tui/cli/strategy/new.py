"""`pmpro strategy new`: a strategy to begin with, and its test."""

import keyword
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from engine.files.places import absolute
from engine.model.errors import UserError
from pmpro_tui.cli.init import write_new
from pmpro_tui.cli.output import Config, Json, Mode, print_json, print_line
from pmpro_tui.cli.strategy.list import known_kinds

Name = Annotated[str, typer.Argument(help="Name of the file, and of the kind without --kind-name.")]
Dir = Annotated[
    Path | None,
    typer.Option("--dir", metavar="DIR", help="Directory of the file. Default: strategies_dir."),
]
KindName = Annotated[str, typer.Option("--kind-name", help="The kind's name in portfolio files.")]

_FILE_MODE, _DIR_MODE = 0o600, 0o700


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("new")(new)


def new(
    name: Name,
    dir_: Dir = None,
    kind_name: KindName = "",
    config: Config = None,
    mode: Mode = None,
    json: Json = False,
) -> None:
    """Write NAME.py, a strategy that passes every check, and test_NAME.py; overwrite nothing."""
    from engine.settings.settings import load_settings
    from pmpro_tui.cli.strategy.template import strategy_text, test_text

    kind = kind_name or name
    _refuse(name)
    _refuse(kind, "--kind-name ")
    directory = absolute(dir_ or load_settings(config, mode=mode).strategies_path)
    file, test = directory / f"{name}.py", directory / f"test_{name}.py"
    for path in (file, test):
        if path.is_symlink() or path.exists():
            raise UserError(f"{path} exists: choose another name, or move it away")
    for info in known_kinds(config, mode, directory=directory).kinds:
        if info.kind == kind:
            owner = info.file or "pmpro"
            raise UserError(f"kind {kind!r} exists in {owner}: choose another --kind-name")
    _make(directory)
    write_new({file: (strategy_text(kind), _FILE_MODE), test: (test_text(name, kind), _FILE_MODE)})
    if json:
        print_json({"strategy": str(file), "test": str(test), "kind": kind})
        return
    print_line(f"wrote {file}")
    print_line(f"wrote {test}")
    print_line(f"next: pmpro strategy check {file}")
    print_line(f"then: {sys.executable} {test}")


def _refuse(name: str, option: str = "") -> None:
    """Refuse what is no name of a file, a kind and a test."""
    if not (name.isascii() and name.isidentifier()) or keyword.iskeyword(name):
        raise UserError(
            f"{option}{name!r}: use letters, digits and _, no digit first, and no Python keyword"
        )
    if option:
        return
    if name.startswith(("_", "test_")):
        raise UserError(f"{name!r}: files that begin with _ or test_ are not loaded")
    if name in sys.stdlib_module_names or find_spec(name) is not None:
        raise UserError(f"{name!r} is a Python module: its test would import the wrong one")


def _make(directory: Path) -> None:
    try:
        directory.mkdir(mode=_DIR_MODE, parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make {directory}: {error.strerror}") from None
