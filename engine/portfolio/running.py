"""The portfolio that runs: the operator's file, with what commands have changed since it was read.

Changes are kept as a whole file in the state directory, beside the digest of the operator's file
they belong to. Who edits that file starts from it again. The comments and the order of the
operator's file survive every change.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.files.text_files import read_text
from engine.model.errors import ConfigError
from engine.model.portfolio import Portfolio
from engine.portfolio.file import parse_portfolio, read_portfolio
from engine.portfolio.rewrite import rewritten
from engine.portfolio.text import portfolio_text, toml_text

NAME = "portfolio.toml"
REMOVED = "removed"
_MARK = "# sha256 "


def read_running(file: Path, state: Path) -> tuple[Portfolio, str]:
    """Return the portfolio to run, and a remark for the event log, "" for none.

    Raises:
        ConfigError: the file is missing or says something impossible.
    """
    portfolio = read_portfolio(file)
    kept = state / NAME
    if not kept.is_file():
        return portfolio, ""
    text = read_text(kept)
    if f"{_MARK}{_digest(file)}\n" not in text:
        return portfolio, f"{file} was edited: what commands had changed is dropped ({kept})"
    return parse_portfolio(text, str(kept)), f"with what commands have changed: {kept}"


def write_running(portfolio: Portfolio, file: Path, state: Path) -> None:
    """Keep a changed portfolio for the next start, with the comments of the operator's file."""
    mark = f"{_MARK}{_digest(file)}\n"
    text = rewritten(_text_before(file, state / NAME, mark), portfolio)
    head = f"# The running portfolio: {file} with what commands have changed since.\n"
    if text is None:
        head += "# Its comments could not be kept: that file has them.\n"
        text = portfolio_text(portfolio)
    new = state / f"{NAME}.new"
    new.write_text(f"{head}{mark}\n{text}", encoding="utf-8")
    new.replace(state / NAME)


def _text_before(file: Path, kept: Path, mark: str) -> str:
    """Return the text that the last change left, else the operator's; "" if it cannot be read."""
    try:
        changed = read_text(kept).partition(f"{mark}\n")[2] if kept.is_file() else ""
        return changed or read_text(file)
    except ConfigError:
        return ""


def write_removed(tables: Mapping[str, Any], target: str, state: Path) -> Path:
    """Keep what was taken out of the portfolio, as a file that `pmpro strategy add` takes."""
    path = state / REMOVED / f"{target}.toml"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.write_text(f"# Removed: `pmpro strategy add` brings it back.\n{toml_text(tables)}", "utf-8")
    new.replace(path)
    return path


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
