"""A strategy's source, read for what running it shows by chance alone, and for lines to name.

Which of two texts a set yields first is decided anew in every process: with few of them, some
processes agree. And NumPy and pandas take "now" for a time without a call that could be heard.
"""

import ast
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

_Function = ast.FunctionDef | ast.AsyncFunctionDef

_TAKE_TIMES = frozenset(
    {
        "DatetimeIndex",
        "Index",
        "Period",
        "Series",
        "Timestamp",
        "array",
        "asarray",
        "date_range",
        "datetime64",
        "full",
        "to_datetime",
    }
)
_PRESENT = frozenset({"now", "today"})
# These take an hour without a date for one of today.
_FILL_DATES = frozenset({"DatetimeIndex", "Timestamp", "date_range", "parse", "to_datetime"})
_HOUR = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[ap]m)?")
_OF_AN_HOUR = frozenset({"hour", "minute", "second", "time", "timetz"})
# What gives the same whichever order it gets.
_ORDERLESS = frozenset({"all", "any", "frozenset", "len", "max", "min", "set", "sorted"})
_ORDERED = frozenset({"array", "dict", "enumerate", "filter", "fromkeys", "fsum", "iter", "join"})
_ORDERED_TOO = frozenset({"list", "map", "next", "reduce", "sum", "tuple", "zip"})
_SET_METHODS = frozenset({"copy", "difference", "intersection", "symmetric_difference", "union"})
_CHANGE = frozenset(
    {
        "add",
        "append",
        "appendleft",
        "clear",
        "discard",
        "extend",
        "fill",
        "insert",
        "pop",
        "popitem",
        "remove",
        "send",
        "set",
        "setdefault",
        "sort",
        "update",
    }
)
_MEMORY = frozenset({"__array_interface__", "as_strided", "base", "ctypes", "strides"})


Ran = Collection[tuple[str, int]]
"""Functions that have been called, by file and first line."""


class SourcePlace(NamedTuple):
    """A line of a file."""

    path: str
    line: int

    @property
    def text(self) -> str:
        """Return it in words."""
        return f"{Path(self.path).name}, line {self.line}"


class Source:
    """A file of the user's, parsed; nothing is found in one that cannot be read."""

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            self._tree = ast.parse(Path(path).read_bytes())
        except (OSError, SyntaxError, ValueError, RecursionError):
            self._tree = ast.parse("")
        self._sets = _named_sets(self._tree)
        # Decorators belong to a function's code, not to what runs when it is called.
        self._functions = [
            (min(d.lineno for d in (*node.decorator_list, node)), node.lineno, node.end_lineno or 0)
            for node in ast.walk(self._tree)
            if isinstance(node, _Function)
        ]
        self._texts = {
            node.targets[0].id: node.value.value
            for node in ast.walk(self._tree)
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and isinstance(node.value, ast.Constant)
        }

    def unordered(self, ran: Ran) -> list[SourcePlace]:
        """Return where sets of texts are gone through in the order they happen to have."""
        skipped = {
            id(inner)
            for node in ast.walk(self._tree)
            for argument in _orderless(node)
            for inner in (argument, *getattr(argument, "generators", ()))
        }
        found = [
            node
            for node in ast.walk(self._tree)
            if id(node) not in skipped
            and any(_holds_texts(used, self._sets) for used in _gone_through(node))
        ]
        return self._places(found, ran)

    def names_the_present(self, ran: Ran) -> list[SourcePlace]:
        """Return where "now" or "today" is given to what takes a time, or an hour without a date.

        Of which the hour alone may be asked for: the day is today's.
        """
        hours_alone = {
            id(node.value)
            for node in ast.walk(self._tree)
            if isinstance(node, ast.Attribute) and node.attr in _OF_AN_HOUR
        }
        found = [
            node
            for node in ast.walk(self._tree)
            if isinstance(node, ast.Call)
            and _last_name(node.func) in _TAKE_TIMES
            and any(self._is_given(_is_present, argument) for argument in node.args)
        ]
        found += [
            node
            for node in ast.walk(self._tree)
            if isinstance(node, ast.Call)
            and _last_name(node.func) in _FILL_DATES
            and id(node) not in hours_alone
            and any(self._is_given(_HOUR.fullmatch, argument) for argument in node.args)
        ]
        return self._places(found, ran)

    def reaches_into_memory(self, ran: Ran) -> list[SourcePlace]:
        """Return where an array's memory is spoken of."""
        found = [
            node
            for node in ast.walk(self._tree)
            if isinstance(node, ast.Name | ast.Attribute) and _last_name(node) in _MEMORY
        ]
        return self._places(found, ran)

    def changes(self, name: str, owner: str) -> list[SourcePlace]:
        """Return where a function changes what has this name, or the function of this name.

        `owner`: the class that it belongs to, as far as that is known.
        """
        found: list[ast.AST] = []
        classes = [n for n in ast.walk(self._tree) if isinstance(n, ast.ClassDef)]
        places: list[ast.AST] = [cls for cls in classes if cls.name == owner] or [self._tree]
        for function in (node for place in places for node in ast.walk(place)):
            if not isinstance(function, _Function):
                continue
            if function.name == name:
                return self._places([function])
            if function.name != "__init__":
                found += [node for node in ast.walk(function) if _changes(node, name)]
        return self._places(found)

    def _is_given(self, sort: Callable[[str], object], argument: ast.expr) -> bool:
        """Tell whether an argument is, or holds, a text of a sort."""
        if isinstance(argument, ast.List | ast.Tuple):
            return any(self._is_given(sort, item) for item in argument.elts)
        value = argument.value if isinstance(argument, ast.Constant) else None
        if isinstance(argument, ast.Name):
            value = self._texts.get(argument.id)
        return isinstance(value, str) and bool(sort(value.strip().lower()))

    def _places(self, nodes: Sequence[ast.AST], ran: Ran | None = None) -> list[SourcePlace]:
        """Return the nodes' lines, those in functions that have run or all."""
        lines = {getattr(getattr(node, "iter", node), "lineno", 0) for node in nodes}
        return [
            SourcePlace(self._path, line)
            for line in sorted(lines)
            if ran is None or self._has_run(line, ran)
        ]

    def _has_run(self, line: int, ran: Ran) -> bool:
        around = [
            (len(range(first, last)), first)
            for first, start, last in self._functions
            if start <= line <= last
        ]
        return not around or (self._path, min(around)[1]) in ran


def _is_present(text: str) -> bool:
    return text in _PRESENT


def _last_name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _orderless(node: ast.AST) -> list[ast.expr]:
    """Return what a node takes things out of without an order."""
    if isinstance(node, ast.SetComp):
        return [node]
    if isinstance(node, ast.Call) and _last_name(node.func) in _ORDERLESS:
        # The size of one that was taken out is not the size of all.
        calls = [a for a in node.args if isinstance(a, ast.Call)]
        one = [a for a in calls if _last_name(a.func) in ("next", "pop")]
        return [a for a in node.args if a not in one]
    return []


def _gone_through(node: ast.AST) -> list[ast.expr]:
    """Return what a node takes things out of, one after the other."""
    if isinstance(node, ast.For | ast.comprehension):
        return [node.iter]
    if isinstance(node, ast.Starred):
        return [node.value]
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple | ast.List):
        return [node.value]
    if isinstance(node, ast.Call):
        name = _last_name(node.func)
        if name == "pop" and not node.args and isinstance(node.func, ast.Attribute):
            return [node.func.value]
        return node.args if name in _ORDERED | _ORDERED_TOO else []
    return []


def _named_sets(tree: ast.AST) -> dict[str, bool]:
    """Return the names of sets, and whether they hold texts."""
    found: dict[str, bool] = {}
    for node in ast.walk(tree):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign):
            targets = [node.target]
        value = getattr(node, "value", None)
        if targets and isinstance(value, ast.expr) and _is_set(value, found):
            found |= {_last_name(t): _holds_texts(value, found) for t in targets if _last_name(t)}
    return found


def _is_set(node: ast.expr, named: dict[str, bool]) -> bool:
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    if isinstance(node, ast.BinOp):
        return _is_set(node.left, named) or _is_set(node.right, named)
    if isinstance(node, ast.Call):
        name = _last_name(node.func)
        of = node.func.value if isinstance(node.func, ast.Attribute) else None
        return name in ("set", "frozenset") or (
            name in _SET_METHODS and of is not None and _is_set(of, named)
        )
    return _last_name(node) in named


def _holds_texts(node: ast.expr, named: dict[str, bool]) -> bool:
    """Tell whether an expression is a set that holds a text, as far as it shows."""
    if not _is_set(node, named):
        return False
    if _last_name(node) in named:
        return named[_last_name(node)]
    parts = node.args if isinstance(node, ast.Call) and node.args else [node]
    return any(
        (isinstance(inner, ast.Constant) and isinstance(inner.value, str))
        or isinstance(inner, ast.JoinedStr)
        or (isinstance(inner, ast.Name | ast.Attribute) and named.get(_last_name(inner), False))
        for part in parts
        for inner in ast.walk(part)
    )


def _changes(node: ast.AST, name: str) -> bool:
    """Tell whether a node writes to a name, into it, or calls what would."""
    if isinstance(node, ast.Call):
        of = node.func.value if isinstance(node.func, ast.Attribute) else None
        if _last_name(node.func) in _CHANGE:
            return of is not None and _last_name(of) == name
        return _last_name(node.func) in ("next", "setattr") and any(
            _last_name(a) == name or (isinstance(a, ast.Constant) and a.value == name)
            for a in node.args
        )
    if isinstance(node, ast.Name | ast.Attribute | ast.Subscript):
        stored = isinstance(node.ctx, ast.Store | ast.Del)
        inner = node.value if isinstance(node, ast.Subscript) else node
        return stored and _last_name(inner) == name
    return False


def listed(places: Sequence[SourcePlace], most: int = 3) -> str:
    """Return places in words: the first ones, and how many more there are."""
    rest = f" and {len(places) - most} more" if len(places) > most else ""
    return ", ".join(place.text for place in places[:most]) + rest
