"""Every place in the engine that catches whatever is raised is listed, with what happens then."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import REPO

PAGE = REPO / "docs" / "BORDERS.md"
ALL = {"Exception", "BaseException"}
ROW = re.compile(r"^\| `(\S+\.py) (\S+)` \| (Doubt|Replace|Answer|Beside) \|", re.MULTILINE)


def caught(kind: ast.expr | None) -> Iterator[str]:
    """Yield the classes that a handler catches; a bare one catches all."""
    if kind is None:
        yield "BaseException"
    for part in kind.elts if isinstance(kind, ast.Tuple) else [kind]:
        if part is not None:
            yield ast.unparse(part).rpartition(".")[2]


def is_border(node: ast.AST) -> bool:
    """Tell whether a node catches everything: `except Exception`, or `suppress` of it."""
    if isinstance(node, ast.ExceptHandler):
        return bool(ALL & set(caught(node.type)))
    if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "suppress":
        return any(ALL & set(caught(argument)) for argument in node.args)
    return False


def borders(node: ast.AST, names: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the names of the functions that have borders, once a border."""
    for child in ast.iter_child_nodes(node):
        if is_border(child):
            yield ".".join(names)
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        yield from borders(child, (*names, child.name) if inside else names)  # type: ignore[attr-defined]


def of_code(root: Path) -> list[tuple[str, str]]:
    """Return file and function of every border below a directory, sorted."""
    return sorted(
        (path.relative_to(root).as_posix(), name)
        for path in root.rglob("*.py")
        for name in borders(ast.parse(path.read_text(encoding="utf-8")))
    )


def test_every_border_is_listed_with_what_happens_then() -> None:
    """A new border, a second one in a function, or one that is gone is told by the list."""
    listed = [(file, name) for file, name, _ in ROW.findall(PAGE.read_text(encoding="utf-8"))]
    assert of_code(REPO / "engine") == sorted(listed)


def test_what_counts_as_a_border() -> None:
    """All ways to catch everything are seen; an `except` of a named error is none."""
    text = """
class A:
    def bare(self):
        try: f()
        except: g()
    def among(self):
        try: f()
        except (OSError, Exception): g()
    def suppressed(self):
        with contextlib.suppress(KeyError, BaseException): f()
        def inside():
            try: f()
            except builtins.Exception: g()
    def named(self):
        try: f()
        except OSError: g()
"""
    assert sorted(borders(ast.parse(text))) == [
        "A.among",
        "A.bare",
        "A.suppressed",
        "A.suppressed.inside",
    ]
