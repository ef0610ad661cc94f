"""`pmpro init`: write a starting configuration and portfolio."""

import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from engine.files.places import absolute
from engine.model.errors import UserError
from pmpro_tui.cli.output import Json, print_json, print_line


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("init")(init)


def init(
    directory: Annotated[
        Path | None,
        typer.Argument(help="Directory of the files. Default: the one that pmpro reads."),
    ] = None,
    json: Json = False,
) -> None:
    """Write a config.toml and a portfolio.toml to start from; never overwrite a file."""
    from engine.settings.settings import default_file, demo_portfolio
    from engine.settings.text import example_text

    where = absolute(directory or default_file().parent)
    config, portfolio = where / "config.toml", where / "portfolio.toml"
    write_new(
        {config: (example_text(), 0o600), portfolio: (demo_portfolio().read_text("utf-8"), 0o644)}
    )
    if json:
        print_json({"config": str(config), "portfolio": str(portfolio)})
    else:
        print_line(f"wrote {config}")
        print_line(f"wrote {portfolio}")


def write_new(contents: dict[Path, tuple[str, int]]) -> None:
    """Create all files or none, each with its text and mode; refuse if one exists."""
    for path in contents:
        if path.is_symlink() or path.exists():
            raise UserError(f"{path} exists: move it away, or name another directory")
    drafts: dict[Path, Path] = {}
    made: list[Path] = []
    try:
        for path, (text, mode) in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            drafts[path] = _draft(path, text, mode)
        for path, draft in drafts.items():
            _publish(draft, path)
            made.append(path)
    except OSError as error:
        for path in made:
            path.unlink()
        raise UserError(f"cannot write {error.filename}: {error.strerror}") from None
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)


def _draft(path: Path, text: str, mode: int) -> Path:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    draft = Path(name)
    draft.chmod(mode)
    return draft


def _publish(draft: Path, path: Path) -> None:
    """Give the draft its name; fail, never replace, if somebody took it meanwhile."""
    if os.name == "nt":
        draft.rename(path)
    else:
        path.hardlink_to(draft)
