"""Run a program as Python runs it, where `import MetaTrader5` gives a simulation."""

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from engine.model.errors import UserError
from engine.terminal.simulated.module.module import install


def run_script(path: Path, arguments: Sequence[str], module: ModuleType) -> int:
    """Run a script as `__main__`; return 1 after its traceback was printed, else 0.

    Its `import MetaTrader5` gives `module`. It has its own `sys.argv`, and its directory leads
    `sys.path`, as with the interpreter. SystemExit is the script's and leaves.

    Raises:
        UserError: there is no such file.
    """
    try:
        source = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    main = ModuleType("__main__")
    main.__file__ = str(path)
    directory = str(path.resolve().parent)
    return _run(main, source, str(path), [str(path), *arguments], directory, module)


def run_code(code: str, arguments: Sequence[str], module: ModuleType) -> int:
    """Run a program's text as `python -c` does; return as `run_script` does."""
    return _run(ModuleType("__main__"), code, "<string>", ["-c", *arguments], "", module)


def _run(
    main: ModuleType,
    source: str | bytes,
    name: str,
    argv: list[str],
    directory: str,
    module: ModuleType,
) -> int:
    install(module)
    sys.modules["__main__"] = main
    sys.argv = argv
    sys.path.insert(0, directory)
    try:
        exec(compile(source, name, "exec"), vars(main))  # noqa: S102
    except Exception as error:  # border: the program's own failure is shown as Python shows it
        _show(error, name)
        return 1
    return 0


def _show(error: Exception, path: str) -> None:
    """Print a traceback that begins in the program; one that does not compile has no frames."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename != path:
        frames = frames.tb_next
    traceback.print_exception(error.with_traceback(frames))
