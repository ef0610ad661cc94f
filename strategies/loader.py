"""Users' strategies: kinds from files, loaded by path under names of their own.

A file defines subclasses of `strategies.base.Strategy`. It is imported only in strategy hosts and
research, never in the engine's process, and whatever its name is, it shadows no module. Loaded
again with other content, its kinds are new classes; strategies made of the old ones go on.
"""

import ast
import hashlib
import inspect
import linecache
import sys
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import NamedTuple

import msgspec

from engine.files.trust import fault_of
from engine.model.errors import StrategyError
from engine.model.portfolio import StrategySpec
from engine.model.printable import described, is_printable, printable
from strategies.base import Params, Strategy
from strategies.registry import KINDS, parameters, register, unknown_kind

KIND_MAX_CHARS = 64


class OwnFiles(NamedTuple):
    """The operator's strategy files: content by path, where they were looked for, the left out."""

    contents: Mapping[str, bytes] = MappingProxyType({})
    where: str = ""
    skipped: tuple[str, ...] = ()


NO_FILES = OwnFiles()


class OwnCode(msgspec.Struct, frozen=True, kw_only=True):
    """Where a kind that is not built in comes from; `sha256` is of its file's content."""

    kind: str
    file: str
    sha256: str


class _Loaded(NamedTuple):
    digest: str
    kinds: list[str]
    sha256: str = ""


_loaded: dict[Path, _Loaded] = {}


def load_needed(files: OwnFiles, strategies: Iterable[StrategySpec]) -> list[str]:
    """Load the operator's files, and return a line for each that is left out.

    Raises:
        StrategyError: a kind that a strategy needs is in no file, or in one that cannot be loaded.
    """
    left_out = list(files.skipped)
    for path, source in files.contents.items():
        try:
            load_file(Path(path), source)
        except StrategyError as error:
            left_out.append(str(error))
    for spec in strategies:
        if spec.kind not in KINDS:
            why = "; ".join(left_out) or (
                f"kinds of one's own come from {files.where}" if files.where else ""
            )
            raise StrategyError(
                f"strategy {spec.name!r}: {unknown_kind(spec.kind)}{f'; {why}' if why else ''}"
            )
    return [f"not loaded: {line}" for line in left_out]


def own_code(kinds: Iterable[str]) -> list[OwnCode]:
    """Return where those of the kinds come from that a file defines, by kind."""
    asked = set(kinds)
    found = [
        OwnCode(kind=kind, file=str(path), sha256=loaded.sha256)
        for path, loaded in _loaded.items()
        for kind in loaded.kinds
        if kind in asked
    ]
    return sorted(found, key=lambda code: code.kind)


def raised_by(error: BaseException) -> str:
    """Return in one line what an operator's code raised, with its file and line where known."""
    if isinstance(error, StrategyError):
        return str(error)
    files = {str(path) for path in _loaded}
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename in files]
    where = f"{frames[-1].filename}, line {frames[-1].lineno}: " if frames else ""
    return f"{where}{described(error)}"


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
            kinds = _kinds_of(path, module, source, before)
        except StrategyError:
            raise
        except BaseException as error:  # border: classes are code of others
            raise _refusal(path, error) from error
        for kind in before.kinds:
            KINDS.pop(kind, None)
        for cls in kinds:
            register(cls)
        sha256 = hashlib.sha256(source).hexdigest()
        _loaded[path] = _Loaded(digest, [cls.kind for cls in kinds], sha256)
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
    remedy = "correct the file, or move it out of the directory"
    return _fault(path, lines[-1] if lines else None, f"{what}; {remedy}")


def _fault(path: Path, line: int | None, what: str) -> StrategyError:
    at = "" if line is None else f", line {line}"
    return StrategyError(f"strategy file {path}{at}: {what}")


def _kinds_of(
    path: Path, module: ModuleType, source: bytes, before: _Loaded
) -> list[type[Strategy]]:
    """Return the classes that are kinds: those with a `kind`, bases that others build on are none.

    Raises:
        StrategyError: there is none, or one of them cannot be used.
    """
    found = [
        cls
        for cls in vars(module).values()
        if inspect.isclass(cls) and issubclass(cls, Strategy) and cls.__module__ == module.__name__
    ]
    lines = _class_lines(source)
    kinds = [
        cls
        for cls in dict.fromkeys(found)
        if "kind" in vars(cls) and not (inspect.isabstract(cls) and _is_base(cls, found))
    ]
    if not kinds:
        raise _no_kind(path, found, lines)
    taken: dict[str, type[Strategy]] = {}
    for cls in kinds:
        line = lines.get(cls.__name__)
        if type(cls.kind) is not str or not _is_name(cls.kind):
            raise _fault(path, line, f"kind of {cls.__name__} must be a name in quotes")
        if cls.kind in taken:
            raise _fault(
                path,
                line,
                f"classes {taken[cls.kind].__name__} and {cls.__name__} have the same kind "
                f"{cls.kind!r}: rename one",
            )
        taken[cls.kind] = cls
        if cls.kind in KINDS and cls.kind not in before.kinds:
            owner = next((str(p) for p, of in _loaded.items() if cls.kind in of.kinds), "pmpro")
            raise _fault(path, line, f"kind {cls.kind!r} exists already in {owner}: rename it")
        if missing := sorted(getattr(cls, "__abstractmethods__", ())):
            raise _fault(path, line, f"class {cls.__name__} lacks {', '.join(missing)}: define it")
        _check_parameters(path, line, cls)
    return kinds


def _is_base(cls: type[Strategy], found: Iterable[type[Strategy]]) -> bool:
    return any(other is not cls and issubclass(other, cls) for other in found)


def _check_parameters(path: Path, line: int | None, cls: type[Strategy]) -> None:
    params = getattr(cls, "params_type", None)
    if not (inspect.isclass(params) and issubclass(params, Params)):
        raise _fault(
            path, line, f"params_type of {cls.__name__} must be a class derived from Params"
        )
    try:
        parameters(params)
    except Exception as error:  # border: classes are code of others
        raise _fault(
            path,
            line,
            f"params_type of {cls.__name__}: {described(error)}: each parameter is "
            "Annotated[int, Meta(ge=…, le=…, description=…)], a float or a Literal",
        ) from error


def _no_kind(path: Path, found: list[type[Strategy]], lines: Mapping[str, int]) -> StrategyError:
    if not found:
        what = "defines no class derived from strategies.base.Strategy"
        return _fault(path, None, f"{what}: add one, or move the file out of the directory")
    name = found[-1].__name__
    return _fault(path, lines.get(name), f'class {name} has no kind: add kind = "{name.lower()}"')


def _class_lines(source: bytes) -> dict[str, int]:
    """Return the line of each class by its name."""
    return {
        node.name: node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ClassDef)
    }


def _is_name(kind: str) -> bool:
    return 0 < len(kind) <= KIND_MAX_CHARS and is_printable(kind)
