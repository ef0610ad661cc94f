"""Functions that tell `strategies.checks.watch` when they are called, in place of Python's own.

For as long as a check runs. With a shift the clocks of this process are wrong by it.
"""

import builtins
import contextlib
import datetime as dt
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial, wraps
from types import ModuleType
from typing import Any, ClassVar, Final

from strategies.checks.watch import SHARED, active

_INHERITED: Final = object()
_NS_PER_S = 1_000_000_000
_NOW: Final = dt.datetime.now

_CLOCKS_S: Final = (
    "monotonic",
    "perf_counter",
    "process_time",
    "thread_time",
    "time",
    "clock_gettime",
)
_CLOCKS_NS: Final = tuple(f"{name}_ns" for name in _CLOCKS_S)
# Of now where no time is given: after so many arguments.
_OF_NOW: Final = {"asctime": 0, "ctime": 0, "gmtime": 0, "localtime": 0, "strftime": 1}
_MACHINE: Final = (
    "cpu_count",
    "getcwd",
    "getegid",
    "geteuid",
    "getgid",
    "getloadavg",
    "getlogin",
    "getpid",
    "getppid",
    "getuid",
    "lstat",
    "stat",
    "times",
    "uname",
)
_PANDAS_NOW: Final = ("now", "today", "utcnow")


class Sources:
    """The replacements, from `install` to `remove`."""

    def __init__(self, shift_s: int = 0) -> None:
        self._shift_s = shift_s
        self._replaced: list[tuple[Any, str, Any]] = []

    def install(self) -> None:
        """Put them in place; what is imported from then on gets them."""
        self._replace_clocks()
        for name in _MACHINE:
            self._tell(os, name, "machine", f"os.{name}")
        self._tell(os, "urandom", "chance", "os.urandom")
        self._tell(random, "_urandom", "chance", "random bytes of the system")
        for name, function in list(vars(random).items()):
            if getattr(function, "__self__", None) is SHARED:
                self._tell(random, name, "chance", f"random.{name}")
        for name in ("__getitem__", "__iter__", "__len__"):
            self._tell(type(os.environ), name, "environment", "os.environ")
        self._tell(threading.Thread, "start", "threads", "threading.Thread")
        self._tell(builtins, "hash", "addresses", "hash", only=_varies)
        self.refresh()

    def refresh(self) -> None:
        """Replace what packages bring that were imported meanwhile."""
        if (numpy_random := sys.modules.get("numpy.random")) is not None:
            for name in dir(numpy_random.mtrand._rand):
                if name in numpy_random.__all__:
                    self._tell(numpy_random, name, "chance", f"numpy.random.{name}")
            for name in ("default_rng", "RandomState", "SeedSequence"):
                if not isinstance(getattr(numpy_random, name), type):
                    what = f"numpy.random.{name} without a seed"
                    self._tell(numpy_random, name, "chance", what, only=_has_no_seed)
        pandas = sys.modules.get("pandas")
        if pandas is not None and hasattr(pandas, "Timestamp"):
            for name in _PANDAS_NOW:
                self._tell(pandas.Timestamp, name, "clock", f"Timestamp.{name}", static=True)
            self._tell(pandas.Period, "now", "clock", "Period.now", static=True)

    def shift_dates(self, is_own: Callable[[str], bool]) -> None:
        """Have the user's modules take dates from wrong clocks, too: theirs alone.

        What is compiled against the true classes crashes on others.
        """
        _Date.shift = _Moment.shift = dt.timedelta(seconds=self._shift_s)
        shifted = ModuleType("datetime")
        vars(shifted).update(vars(dt), date=_Date, datetime=_Moment)
        instead = {id(dt.date): _Date, id(dt.datetime): _Moment, id(dt): shifted}
        for module in list(sys.modules.values()):
            if self._shift_s and is_own(getattr(module, "__file__", None) or ""):
                for name, value in list(vars(module).items()):
                    if id(value) in instead:
                        self._put(module, name, instead[id(value)])

    def remove(self) -> None:
        """Put everything back."""
        while self._replaced:
            place, name, before = self._replaced.pop()
            if before is _INHERITED:
                delattr(place, name)
            else:
                setattr(place, name, before)

    def _replace_clocks(self) -> None:
        for names, unit in ((_CLOCKS_S, 1), (_CLOCKS_NS, _NS_PER_S)):
            for name in names:
                if hasattr(time, name):
                    shift = self._shift_s * unit
                    self._tell(time, name, "clock", f"time.{name}", shift=shift)
        for name, n_given in _OF_NOW.items():
            self._tell(
                time,
                name,
                "clock",
                f"time.{name}",
                only=partial(_is_of_now, n_given),
            )
        self._tell(time, "sleep", "clock", "time.sleep")

    def _put(self, place: Any, name: str, new: Any) -> None:
        # As it stands there: a class method is another object every time it is asked for.
        self._replaced.append((place, name, vars(place).get(name, _INHERITED)))
        setattr(place, name, new)

    def _tell(
        self,
        place: Any,
        name: str,
        family: str,
        what: str,
        *,
        shift: int = 0,
        static: bool = False,
        only: Callable[[tuple[Any, ...], dict[str, Any]], bool] | None = None,
    ) -> None:
        """Replace a function by one that tells; those of the present add the shift."""
        real = getattr(place, name, None)
        if real is None or hasattr(real, "_pmpro_tells"):
            return

        @wraps(real)
        def tells(*args: Any, **kwargs: Any) -> Any:
            watch = active()
            if watch is not None and (only is None or only(args, kwargs)):
                watch.note(family, what, sys._getframe(1))
            value = real(*args, **kwargs)
            return value + shift if shift else value

        tells._pmpro_tells = True  # type: ignore[attr-defined]
        self._put(place, name, staticmethod(tells) if static else tells)


@contextlib.contextmanager
def sources() -> Iterator[Sources]:
    """Have the replacements in place for as long as the block runs."""
    made = Sources()
    made.install()
    try:
        yield made
    finally:
        made.remove()


def _is_of_now(n_given: int, args: tuple[Any, ...], _: dict[str, Any]) -> bool:
    return len(args) <= n_given or args[n_given] is None


def _has_no_seed(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    return (args[0] if args else kwargs.get("seed")) is None


def _varies(args: tuple[Any, ...], _: dict[str, Any]) -> bool:
    """Tell whether a value's hash differs from process to process."""
    value = args[0] if args else 0
    if isinstance(value, tuple | frozenset):
        return any(_varies((item,), {}) for item in value)
    if isinstance(value, str | bytes | dt.date | dt.time | type(None)):
        return True
    return type(value).__hash__ is object.__hash__


class _Stands(type):
    """Class of stand-ins: what is a date is one of theirs."""

    def __instancecheck__(cls, thing: object) -> bool:
        return isinstance(thing, cls.__mro__[1])

    def __subclasscheck__(cls, other: type) -> bool:
        return issubclass(other, cls.__mro__[1])


class _Date(dt.date, metaclass=_Stands):
    """A date whose present is another."""

    shift: ClassVar = dt.timedelta(0)

    @classmethod
    def today(cls) -> Any:
        return (_NOW() + cls.shift).date()


class _Moment(dt.datetime, metaclass=_Stands):
    """A moment whose present is another."""

    shift: ClassVar = dt.timedelta(0)

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Any:
        return _NOW(tz) + cls.shift

    @classmethod
    def today(cls) -> Any:
        return _NOW() + cls.shift

    @classmethod
    def utcnow(cls) -> Any:
        return _NOW(dt.UTC).replace(tzinfo=None) + cls.shift
