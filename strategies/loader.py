"""Users' strategies: kinds from files, loaded by path under names of their own.

A file defines subclasses of `strategies.base.Strategy`. It is imported only in strategy hosts and
research, never in the engine's process, and whatever its name is, it shadows no module. Loaded
again with other content, its kinds are new classes; strategies made of the old ones go on.
"""

import hashlib
import inspect
import linecache
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from engine.model.errors import StrategyError
from engine.model.printable import described, is_printable, printable
from engine.model.trust import fault_of
from strategies.base import Strategy
from strategies.registry import KINDS, register

KIND_MAX_CHARS = 64


class _Loaded(NamedTuple):
    digest: str
    kinds: list[str]


_loaded: dict[Path, _Loaded] = {}


def load_file(path: Path, source: bytes | None = None) -> list[str]:
    """Register the kinds that a file defines; return their names.

    `source` is what the file is to hold, where it may hold something else by now. What is as it
    was at its last loading is not run again. On an error everything is as before.

    Raises:
        StrategyError: file, line and reason in one line.
    """
    if source is None:
        source = _read(path)
    digest = hashlib.sha256(source + str(path).encode()).hexdigest()
    before = _loaded.get(path, _Loaded("", []))
    if before.digest != digest:
        module = _run(path, source, f"pmpro_user_{path.stem}_{digest[:16]}")
        try:
            kinds = _kinds_of(path, module, before)
        except StrategyError:
            raise
        except BaseException as error:  # border: classes are code of others
            raise _refusal(path, error) from error
        for kind in before.kinds:
            KINDS.pop(kind, None)
        for cls in kinds:
            register(cls)
        _loaded[path] = _Loaded(digest, [cls.kind for cls in kinds])
    return list(_loaded[path].kinds)


def _read(path: Path) -> bytes:
    if fault := fault_of(path):
        raise StrategyError(f"strategy file {printable(str(path))} is not run: {fault}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise StrategyError(f"strategy file {path}: cannot be read: {error.strerror}") from None


def _run(path: Path, source: bytes, name: str) -> ModuleType:
    """Return the module; compiled here, because cached bytecode is told apart by seconds only."""
    module = ModuleType(name)
    module.__file__ = str(path)
    linecache.checkcache(str(path))
    sys.modules[name] = module
    try:
        exec(compile(source, str(path), "exec", dont_inherit=True), vars(module))  # noqa: S102
    except BaseException as error:  # border: code of others
        sys.modules.pop(name, None)
        raise _refusal(path, error) from error
    return module


def _refusal(path: Path, error: BaseException) -> StrategyError:
    """Return what code of a file raised in one line, with the line of the file."""
    what = described(error)
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    if isinstance(error, SyntaxError) and error.filename == str(path):
        what, lines = printable(f"SyntaxError: {error.msg}"), [error.lineno]
    line = f", line {lines[-1]}" if lines and lines[-1] is not None else ""
    return StrategyError(f"strategy file {path}{line}: {what}")


def _kinds_of(path: Path, module: ModuleType, before: _Loaded) -> list[type[Strategy]]:
    found = [
        cls
        for cls in vars(module).values()
        if inspect.isclass(cls) and issubclass(cls, Strategy) and cls.__module__ == module.__name__
    ]
    kinds = [cls for cls in found if not inspect.isabstract(cls)]
    if not kinds:
        raise StrategyError(f"strategy file {path}: defines no Strategy")
    for cls in kinds:
        if type(cls.kind) is not str or not _is_name(cls.kind):
            raise StrategyError(f"strategy file {path}: kind of {cls.__name__} must be a name")
        if cls.kind in KINDS and cls.kind not in before.kinds:
            raise StrategyError(f"strategy file {path}: kind {cls.kind!r} exists already")
    return kinds


def _is_name(kind: str) -> bool:
    return 0 < len(kind) <= KIND_MAX_CHARS and is_printable(kind)
