"""What a strategy holds between two calls: its attributes, its classes', its module's, its caches.

A call is to leave all of that as it was, and the settings that all code of a process shares, and
what it might put into modules and classes of others. Values are compared by what is in them, so
that a list that grows shows and one that is only read does not.
"""

import atexit
import builtins
import contextlib
import decimal
import hashlib
import inspect
import locale
import logging
import pickle
import random
import sys
import threading
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

_DEPTH = 40
# Of one value; what is beyond is not looked at.
_ITEMS_MAX = 300_000
_BYTES_MAX = 400_000_000

# Where a strategy could put what it wants to find again.
_COMMON = ("builtins", "math", "numpy", "os", "random", "strategies.base", "sys", "talib", "time")
# Names with two underscores that say nothing of what is held.
_OF_THE_LANGUAGE = frozenset(
    {
        "__builtins__",
        "__cached__",
        "__dict__",
        "__file__",
        "__loader__",
        "__package__",
        "__path__",
        "__spec__",
        "__warningregistry__",
        "__weakref__",
    }
)
# Functions of TA-Lib whose first values can be set for all that call them.
_UNSTABLE = (
    *("ADX", "ADXR", "ATR", "CMO", "DX", "EMA", "KAMA", "MAMA", "MFI", "MINUS_DI", "MINUS_DM"),
    *("NATR", "PLUS_DI", "PLUS_DM", "RSI", "STOCHRSI", "T3"),
)

Held = dict[str, bytes]

CACHE_OF = "the cache of"
"""How the place of a function's remembered results begins."""

_BOUND = frozenset({types.BuiltinFunctionType, types.MethodType, types.MethodWrapperType})
# Of things of C that cannot be copied: their modules, and what tells what is in them.
_IN_C = frozenset({"_hashlib", "_md5", "_sha1", "_sha2", "_sha256", "_sha512", "_queue", "_blake2"})
_TELLS = ("hexdigest", "qsize")

_CACHED = type(lru_cache(len))


class KnownNames:
    """The names in modules and classes of others, before a strategy is called first."""

    def __init__(self) -> None:
        self._known = {place: frozenset(names) for place, names in _places_of_others()}

    def new(self, is_own: Callable[[str], bool]) -> Iterator[tuple[str, Any]]:
        """Yield what stands there by a name that did not, values alone, by its place."""
        for place, names in list(_places_of_others()):
            known = self._known.get(place)
            if known is None:
                file = names.get("__file__")
                if names.get("__spec__") is not None or (file and is_own(file)):
                    continue  # imported meanwhile
                known = frozenset(vars(types.ModuleType(place)))
            for name in names.keys() - known:
                value = names[name]
                if not (name.startswith("_") or callable(value) or inspect.ismodule(value)):
                    yield f"{place}.{name}", value


def _places_of_others() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, module in list(sys.modules.items()):
        if type(module) is types.ModuleType:
            yield name, vars(module)
    for cls in (Strategy, strategies.base.Params):
        yield cls.__name__, dict(vars(cls))


def _settings() -> Iterator[tuple[str, Any]]:
    """Yield what one part of a process can set for all others."""
    yield "the context of decimal", repr(decimal.getcontext())
    yield "the recursion limit", sys.getrecursionlimit()
    yield "the switch interval", sys.getswitchinterval()
    yield "the locale", locale.setlocale(locale.LC_ALL)
    yield "the filters of warnings", len(warnings.filters)
    yield "what is to be done at exit", atexit._ncallbacks()
    yield "the errors that NumPy tells", np.geterr()
    yield "how NumPy prints", {k: repr(v) for k, v in np.get_printoptions().items()}
    known = list(logging.Logger.manager.loggerDict.values())
    loggers = [one for one in known if isinstance(one, logging.Logger) and not _is_fresh(one)]
    yield "loggers", sorted((x.name, x.level, _plain_of(x)) for x in loggers)
    if (talib := sys.modules.get("talib")) is not None:
        yield "the unstable periods of TA-Lib", [talib.get_unstable_period(n) for n in _UNSTABLE]


def _is_fresh(logger: logging.Logger) -> bool:
    """Tell whether a logger is as a module that was imported makes its own, and says no more.

    A compiler imports modules at its first call.
    """
    fresh = logging.Logger(logger.name)  # noqa: LOG001  (only to compare with)
    return logger.name in sys.modules and _plain_of(logger) == _plain_of(fresh)


def _plain_of(thing: object) -> str:
    return repr([v for v in vars(thing).values() if isinstance(v, int | float | str)])


def held(strategy: Strategy, is_own: Callable[[str], bool], names: KnownNames) -> Held:
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
        found |= dict(_of_classes(module.__name__, vars(module)))
    found |= dict(names.new(is_own))
    digests: Held = {}
    with contextlib.suppress(Exception):  # border: of libraries whose inner sides may change
        found |= {f"the setting of {name}": value for name, value in _settings()}
    for place, value in found.items():
        if place.rpartition(".")[2] not in _OF_THE_LANGUAGE:
            with contextlib.suppress(Exception):  # border: values are of classes of others
                digests |= dict(_digests(place, value, is_own))
    return digests | {f"a new name in {name}": _names(name) for name in _COMMON}


def changed(before: Held, after: Held) -> list[str]:
    """Return the places whose values differ."""
    places = [*before, *(place for place in after if place not in before)]
    return [place for place in places if before.get(place) != after.get(place)]


def _of_classes(module: str, names: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the attributes of a module's own classes, and of the classes in those."""
    for cls in list(names.values()):
        if isinstance(cls, type) and cls.__module__ == module and vars(cls) is not names:
            yield from ((f"{cls.__name__}.{name}", value) for name, value in vars(cls).items())
            yield from _of_classes(module, {k: v for k, v in vars(cls).items() if v is not cls})


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
            f"an attribute of {place}": [vars(value), value.__doc__],
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
    whole, left = hashlib.sha256(), [_ITEMS_MAX]

    def update(part: bytes) -> None:
        left[0] -= 1
        whole.update(part)
        if left[0] < 0:
            raise _Enough

    with contextlib.suppress(_Enough, RecursionError):
        _take(update, value, depth, seen)
    return whole.digest()


class _Enough(Exception):
    """A value has more in it than is looked at."""


def _take(update: Callable[[bytes], object], value: Any, depth: int, seen: frozenset[int]) -> None:
    """Add what a value is made of."""
    kind = type(value)
    update(kind.__qualname__.encode())
    of = getattr(value, "__self__", None) if kind in _BOUND else None
    if of is not None and not isinstance(of, types.ModuleType | type):
        _take(update, of, depth - 1, seen)  # a method of something that may be kept there alone
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
        for key, item in list(value.items()):
            _take(update, key, depth - 1, seen)
            _take(update, item, depth - 1, seen)
    elif isinstance(value, set | frozenset):
        # In an order of their own: that of a set is nobody's.
        for each in sorted(_digest(item, depth - 1, seen) for item in value):
            update(each)
    elif isinstance(value, list | tuple | deque | np.ndarray):
        update(str(len(value)).encode())
        for item in list(value):
            _take(update, item, depth - 1, seen)
    elif inspect.isgenerator(value):
        frame = value.gi_frame
        if frame is not None:
            update(str(frame.f_lasti).encode())
            _take(update, dict(frame.f_locals), depth - 1, seen)
    elif isinstance(value, random.Random):
        update(repr(value.getstate()).encode())
    elif isinstance(value, threading.local):
        _take(update, dict(vars(value)), depth - 1, seen)
    elif isinstance(value, memoryview):
        update(value.tobytes())
    elif (tells := next((n for n in _TELLS if callable(getattr(value, n, None))), None)) and (
        kind.__module__ in _IN_C
    ):
        update(repr(getattr(value, tells)()).encode())
    elif kind.__module__ == "zlib":
        update(value.copy().flush())
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
    if issubclass(kind, threading.local):
        return False
    return (
        module.startswith(("numba", "llvmlite", "engine.kernels.dispatcher", "_thread"))
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
