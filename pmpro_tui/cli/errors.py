"""Errors as the operator reads them: one line, and the exit code that says whose turn it is."""

from typing import Any

import typer

from engine.files.places import working_directory
from engine.model.errors import PmproError, failure_of
from engine.model.near import nearest
from engine.model.printable import printable

EXIT_FAILED, EXIT_WRONG, EXIT_REFUSED, EXIT_INTERRUPTED = 1, 2, 3, 130
_EXITS = {"failed": EXIT_FAILED, "wrong": EXIT_WRONG, "refused": EXIT_REFUSED}

_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def one_line(error: BaseException) -> str:
    """Return an error as the operator reads it."""
    if isinstance(error, PmproError):
        text = str(error)
    elif isinstance(error, _UsageError):
        text = f"{_misused(error)} (see `--help`)"
    elif isinstance(error, typer.Abort):
        text = "aborted: nothing was done"
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else _unnamed(error)
    else:
        text = f"internal error, {type(error).__name__}: {error} (`--debug` shows where)"
    return printable(" ".join(text.split()))


def _misused(error: Any) -> str:
    wrong = getattr(error, "option_name", "")
    if hasattr(error, "possibilities") and wrong.startswith("-"):
        known = [name for parameter in error.ctx.command.params for name in parameter.opts]
        near = nearest(wrong, known)
        return f"there is no option {wrong}" + (f", did you mean {near}?" if near else "")
    return str(error.format_message()).rstrip(".")


def _unnamed(error: OSError) -> str:
    """Return an error that names no file: it may be the working directory."""
    try:
        working_directory()
    except PmproError as gone:
        return str(gone)
    return error.strerror or str(error)


def exit_code(error: BaseException) -> int:
    """Return what a command that failed with `error` exits with."""
    if isinstance(error, _UsageError):
        return EXIT_WRONG
    return _EXITS[failure_of(error)] if isinstance(error, PmproError) else EXIT_FAILED
