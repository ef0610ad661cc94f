"""Strategies of one's own for commands that run a portfolio: which files, by which option."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.model.errors import UserError

if TYPE_CHECKING:
    from engine.settings.settings import Settings
    from strategies.loader import OwnFiles

Strategies = Annotated[
    Path | None,
    typer.Option(
        "--strategies",
        metavar="DIR",
        help="Directory of your own strategies, instead of strategies_dir.",
    ),
]


def settings_with(config: Path | None, mode: str | None, strategies: Path | None) -> "Settings":
    """Return the settings with `--strategies` in place of `strategies_dir`.

    Raises:
        UserError: there is no such directory, or the configuration is wrong.
    """
    from engine.settings.settings import load_settings

    if strategies is not None and not strategies.is_dir():
        raise UserError(f"--strategies {strategies}: there is no such directory")
    return load_settings(config, mode=mode, overrides={"strategies_dir": strategies})


def own_files(directory: Path) -> "OwnFiles":
    """Return what a directory's strategy files hold; the directory need not be there."""
    from engine.hosts.files import read_files, skipped_files, strategy_files
    from strategies.loader import OwnFiles

    contents = read_files(strategy_files(directory))
    return OwnFiles(
        contents,
        f"{directory} (strategies_dir, or --strategies DIR)",
        tuple(skipped_files(directory)),
    )
