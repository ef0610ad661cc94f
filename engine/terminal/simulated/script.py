"""Run a program as Python runs a script, with a module of ours in another's place."""

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from engine.model.errors import UserError


def run_script(path: Path, arguments: Sequence[str], module: ModuleType) -> int:
    """Run a script as `__main__`; return 1 after its traceback was printed, else 0.

    Its `import` of the module's name gives `module`. It has its own `sys.argv`, and its directory
    leads `sys.path`, as with the interpreter. SystemExit is the script's and leaves.

    Raises:
        UserError: there is no such file.
    """
    try:
        source = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    main = ModuleType("__main__")
    main.__file__ = str(path)
    sys.modules[module.__name__] = module
    sys.modules["__main__"] = main
    sys.argv = [str(path), *arguments]
    sys.path.insert(0, str(path.resolve().parent))
    try:
        exec(compile(source, str(path), "exec"), vars(main))  # noqa: S102
    except Exception as error:  # border: the script's own failure is shown as Python shows it
        _show(error, str(path))
        return 1
    return 0


def _show(error: Exception, path: str) -> None:
    """Print a traceback that begins in the script; a script that does not compile has no frames."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename != path:
        frames = frames.tb_next
    traceback.print_exception(error.with_traceback(frames))
