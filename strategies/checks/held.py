"""What a strategy holds between two calls: its attributes, its classes', its module's, its caches.

A call is to leave all of that as it was. Values are compared by what is in them, to a depth, so
that a list that grows shows and one that is only read does not.
"""

import builtins
import contextlib
import hashlib
import inspect
import pickle
import random
import sys
import types
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

import strategies.base
from strategies.base import Strategy

_DEPTH = 5
_ITEMS_MAX = 2_000
_BYTES_MAX = 4_000_000

# Where a strategy could put what it wants to find again.
_COMMON = ("builtins", "math", "numpy", "os", "random", "strategies.base", "sys", "talib", "time")

Held = dict[str, bytes]

CACHE_OF = "the cache of"
"""How the place of a function's remembered results begins."""

_CACHED = type(lru_cache(len))


def held(strategy: Strategy, is_own: Callable[[str], bool]) -> Held:
    """Return a digest of every value that outlives a call, by its place in words."""
    found = {f"self.{name}": value for name, value in _attributes(strategy)}
    modules: dict[str, types.ModuleType] = {}
    for cls in type(strategy).__mro__:
        module = sys.modules.get(cls.__module__)
        if module is None or not is_own(getattr(module, "__file__", None) or ""):
            continue
        modules[module.__name__] = module
        found |= {f"{cls.__name__}.{name}": value for name, value in vars(cls).items()}
    for module in list(modules.values()):
        for value in vars(module).values():
            if isinstance(value, types.ModuleType) and is_own(value.__dict__.get("__file__") or ""):
                modules[value.__name__] = value
    for module in modules.values():
        found |= vars(module)
        for cls in vars(module).values():
            if isinstance(cls, type) and cls.__module__ == module.__name__:
                found |= {f"{cls.__name__}.{name}": value for name, value in vars(cls).items()}
    digests: Held = {}
    for place, value in found.items():
        if not _is_dunder(place.rpartition(".")[2]):
            with contextlib.suppress(Exception):  # border: values are of classes of others
                digests |= dict(_digests(place, value, is_own))
    return digests | {f"a new name in {name}": _names(name) for name in _COMMON}


def changed(before: Held, after: Held) -> list[str]:
    """Return the places whose values differ."""
    places = [*before, *(place for place in after if place not in before)]
    return [place for place in places if before.get(place) != after.get(place)]


def _attributes(thing: object) -> Iterator[tuple[str, Any]]:
    yield from getattr(thing, "__dict__", {}).items()
    for cls in type(thing).__mro__:
        slots = vars(cls).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(thing, name):
                yield name, getattr(thing, name)


def _digests(place: str, value: Any, is_own: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Yield a digest of a value, of a function of the user's one for each thing it carries."""
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    if isinstance(value, property):
        value = value.fget
    code = getattr(getattr(value, "__wrapped__", value), "__code__", None)
    if code is not None and not is_own(code.co_filename):
        return
    if type(value) is _CACHED:
        info = value.cache_info()
        yield f"{CACHE_OF} {place}", repr((info.misses, info.currsize)).encode()
        value = value.__wrapped__
    if isinstance(value, types.FunctionType):
        parts = {
            f"a default of {place}": (value.__defaults__, value.__kwdefaults__),
            f"what {place} encloses": [_content(cell) for cell in value.__closure__ or ()],
            f"an attribute of {place}": {k: v for k, v in vars(value).items() if not _is_dunder(k)},
        }
        for part, content in parts.items():
            if content and any(content):
                yield part, _digest(content)
    elif not isinstance(value, types.ModuleType | type | cached_property):
        yield place, _digest(value)


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _digest(value: Any, depth: int = _DEPTH, seen: frozenset[int] = frozenset()) -> bytes:
    whole = hashlib.sha256()
    _take(whole.update, value, depth, seen)
    return whole.digest()


def _take(update: Callable[[bytes], object], value: Any, depth: int, seen: frozenset[int]) -> None:
    """Add what a value is made of."""
    kind = type(value)
    update(kind.__qualname__.encode())
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | np.generic):
        update(repr(value).encode(errors="backslashreplace"))
        return
    if depth == 0 or id(value) in seen or _is_machinery(kind):
        return
    seen = seen | {id(value)}
    if isinstance(value, np.ndarray) and value.dtype != object:
        update(repr((value.shape, value.dtype)).encode())
        update(np.ascontiguousarray(value).tobytes()[:_BYTES_MAX])
    elif isinstance(value, Mapping):
        update(str(len(value)).encode())
        for key, item in list(value.items())[-_ITEMS_MAX:]:
            _take(update, key, depth - 1, seen)
            _take(update, item, depth - 1, seen)
    elif isinstance(value, set | frozenset):
        # In an order of their own: that of a set is nobody's.
        for each in sorted(_digest(item, depth - 1, seen) for item in list(value)[:_ITEMS_MAX]):
            update(each)
    elif isinstance(value, list | tuple | deque | np.ndarray):
        update(str(len(value)).encode())
        for item in list(value)[-_ITEMS_MAX:]:
            _take(update, item, depth - 1, seen)
    elif inspect.isgenerator(value):
        frame = value.gi_frame
        if frame is not None:
            update(str(frame.f_lasti).encode())
            _take(update, dict(frame.f_locals), depth - 1, seen)
    elif isinstance(value, random.Random):
        update(repr(value.getstate()).encode())
    elif isinstance(value, ContextVar):
        _take(update, value.get(None), depth - 1, seen)
    elif kind.__module__.startswith("pandas") or not _attributes_of(value):
        _take_copy(update, value)
    if attributes := _attributes_of(value):
        _take(update, attributes, depth - 1, seen)


def _take_copy(update: Callable[[bytes], object], value: Any) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            update(pickle.dumps(value)[:_BYTES_MAX])
    except Exception:  # border: what cannot be copied is known by its type alone
        return


def _attributes_of(value: Any) -> dict[str, Any]:
    return {} if type(value).__module__.startswith("pandas") else dict(_attributes(value))


def _is_machinery(kind: type) -> bool:
    """Tell whether values of a type change without a strategy's doing: compiled code, locks."""
    module = kind.__module__
    return (
        module.startswith(("numba", "llvmlite", "engine.model.dispatcher", "_thread"))
        or issubclass(kind, types.ModuleType | types.BuiltinFunctionType | type)
        or kind is builtins.type
    )


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _names(module: str) -> bytes:
    """Return the names in a module that are not modules themselves."""
    found = sys.modules.get(module)
    names = {} if found is None else vars(found)
    own = [n for n in names if not isinstance(names[n], types.ModuleType) and not n.startswith("_")]
    if found is strategies.base:
        own += [n for n in vars(Strategy) if not _is_dunder(n)]
    return hashlib.sha256("\n".join(sorted(own)).encode()).digest()
