"""What code of others does beside computing, heard while it runs: what it was, in which line.

Three ways to hear, each of which hears what the others do not. Python's audit events tell of
files, sockets, processes and frames. Functions of the standard library that have no event, such
as clocks, are replaced for a while by ones that tell (`strategies.checks.sources`). A profiler
sees every function of C that Python code calls, however it came to its name; it is slow, and on
for some evaluations only.

What is heard counts where a line of the user's own is the cause: imports, compilers and warnings
open files of their own accord.
"""

import contextlib
import datetime as dt
import io
import os
import random
import sys
import sysconfig
import types
import zoneinfo
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple, ParamSpec, TypeVar

from engine.model.printable import printable

FAMILIES: Final = {
    "clock": "reads the clock",
    "chance": "throws dice that all throw",
    "environment": "reads the environment",
    "files": "opens a file",
    "network": "opens a connection",
    "processes": "reaches other processes",
    "threads": "starts a thread",
    "memory": "reaches into memory",
    "frames": "looks at its caller",
    "addresses": "uses an address or a hash, which each process has others of",
    "machine": "asks for the process, the user or the machine",
}

_USES_MAX = 20
_FRAMES_MAX = 200

# An audit event by its name, or by what stands before the first dot.
_EVENTS: Final = {
    "open": "files",
    "builtins.id": "addresses",
    "builtins.input": "files",
    "gc.get_objects": "frames",
    "gc.get_referents": "frames",
    "gc.get_referrers": "frames",
    "os.exec": "processes",
    "os.fork": "processes",
    "os.forkpty": "processes",
    "os.kill": "processes",
    "os.killpg": "processes",
    "os.posix_spawn": "processes",
    "os.putenv": "environment",
    "os.spawn": "processes",
    "os.startfile": "processes",
    "os.system": "processes",
    "os.unsetenv": "environment",
    "sys._current_exceptions": "frames",
    "sys._current_frames": "frames",
    "sys._getframe": "frames",
    "sys._getframemodulename": "frames",
    "sys.addaudithook": "frames",
    "sys.setprofile": "frames",
    "sys.settrace": "frames",
}
_EVENT_HEADS: Final = {
    "_thread": "threads",
    "ctypes": "memory",
    "fcntl": "files",
    "ftplib": "network",
    "glob": "files",
    "http": "network",
    "imaplib": "network",
    "mmap": "files",
    "os": "files",
    "pathlib": "files",
    "poplib": "network",
    "pty": "processes",
    "resource": "machine",
    "shutil": "files",
    "signal": "processes",
    "smtplib": "network",
    "socket": "network",
    "sqlite3": "files",
    "subprocess": "processes",
    "syslog": "files",
    "tempfile": "files",
    "urllib": "network",
    "webbrowser": "processes",
    "winreg": "environment",
}
_FRAME_ATTRIBUTES: Final = frozenset({"tb_frame", "gi_frame", "cr_frame", "ag_frame", "f_back"})

# Modules of functions of C, where all or these names mean one thing.
_MACHINE = "posix"
_WHOLE_MODULES: Final = {
    "_signal": "processes",
    "resource": "machine",
    "select": "network",
}
_C_FUNCTIONS: Final = {
    "time": {
        "clock": {
            "clock_gettime",
            "clock_gettime_ns",
            "monotonic",
            "monotonic_ns",
            "perf_counter",
            "perf_counter_ns",
            "process_time",
            "process_time_ns",
            "sleep",
            "thread_time",
            "thread_time_ns",
            "time",
            "time_ns",
        }
    },
    "posix": {
        "chance": {"urandom", "getrandom"},
        "pure": {"_path_normpath", "_path_splitroot", "_path_splitroot_ex", "fspath"},
    },
    "_thread": {
        "threads": {"start_new_thread", "start_joinable_thread"},
        "addresses": {"get_ident", "get_native_id"},
    },
    "_uuid": {"chance": {"generate_time_safe"}},
}
_PRESENT: Final = frozenset({"now", "today", "utcnow"})
_HANDLE_METHODS: Final = frozenset({"read", "readline", "readlines", "readinto", "write", "seek"})
_SHARED_DICE: Final = frozenset({"getrandbits", "random", "seed", "setstate"})

# Between a line of the user's and what is heard, these mean that it is not the user's doing.
_OF_THEIR_OWN_ACCORD: Final = (
    "<frozen importlib._bootstrap>",
    f"{os.sep}dateutil{os.sep}",
    f"{os.sep}logging{os.sep}",
    f"{os.sep}numba{os.sep}",
    f"{os.sep}llvmlite{os.sep}",
    f"{os.sep}pytz{os.sep}",
    f"{os.sep}warnings.py",
    f"{os.sep}zoneinfo{os.sep}",
)
# These mean one's own line alone, or one beneath these files.
_DIRECT: Final = {
    "addresses": (),
    "environment": (
        "os.py",
        "posixpath.py",
        "ntpath.py",
        "<frozen os>",
        "<frozen posixpath>",
        "<frozen ntpath>",
        "<frozen _collections_abc>",
        "_collections_abc.py",
    ),
    "frames": ("inspect.py", "traceback.py"),
}

# Rules of time zones, opened where one is asked for.
_TIME_ZONES: Final = tuple(f"{place}{os.sep}" for place in zoneinfo.TZPATH)

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Use(NamedTuple):
    """Something done beside computing; `loading`: while the file was loaded."""

    family: str
    what: str
    path: str = ""
    line: int = 0
    loading: bool = False

    @property
    def text(self) -> str:
        """Return what was done and where."""
        if not self.path:
            return self.what
        when = ", as it is loaded" if self.loading else ""
        return f"{self.what} in {Path(self.path).name}, line {self.line}{when}"


class CodeWatch:
    """Hears what goes on in `run`. `files` are the user's whatever their place is."""

    def __init__(self, files: frozenset[str] = frozenset()) -> None:
        self.uses: dict[tuple[str, str, str, int], Use] = {}
        self.ran: set[tuple[str, int]] = set()
        """Functions of the user's that were called, by file and first line; heard slowly alone."""
        self.loading = False
        self._files = files
        self._busy = False

    def run(self, call: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Return what a call returns, and hear what it does."""
        global _active
        before, _active = _active, self
        try:
            return call(*args, **kwargs)
        finally:
            _active = before

    def run_slowly(self, call: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Return what a call returns, and hear every function of C that it calls."""
        before = sys.getprofile()
        sys.setprofile(_profile)
        try:
            return self.run(call, *args, **kwargs)
        finally:
            sys.setprofile(before)

    def note(self, family: str, what: str, frame: types.FrameType | None) -> None:
        """Note a use if a line of the user's is its cause."""
        if self._busy:
            return
        self._busy = True  # what is done here would be heard, too
        try:
            place = self._place(family, frame)
            # Of each file: one that does much hides no other that is loaded after it.
            if place is not None and sum(key[2] == place[0] for key in self.uses) < _USES_MAX:
                use = Use(family, printable(what, 120), *place, self.loading)
                self.uses.setdefault((family, use.what, *place), use)
        finally:
            self._busy = False

    def hear_of(self, uses: Iterable[Use]) -> None:
        """Take what was heard elsewhere."""
        for use in uses:
            self.uses.setdefault((use.family, use.what, use.path, use.line), use)

    def is_own(self, path: str) -> bool:
        """Tell whether a file is the user's."""
        return path in self._files or _is_own(path)

    def _place(self, family: str, frame: types.FrameType | None) -> tuple[str, int] | None:
        between = _DIRECT.get(family)
        for _ in range(_FRAMES_MAX):
            if frame is None:
                return None
            path = frame.f_code.co_filename
            if self.is_own(path):
                return path, frame.f_lineno
            if path in _OURS or any(part in path for part in _OF_THEIR_OWN_ACCORD):
                return None
            if between is not None and not path.endswith(between):
                return None
            frame = frame.f_back
        return None


_active: CodeWatch | None = None


def active() -> CodeWatch | None:
    """Return who hears at the moment."""
    return _active


@contextlib.contextmanager
def loading(watch: CodeWatch) -> Iterator[None]:
    """Have what is heard in the block noted as done while a file was loaded."""
    watch.loading = True
    try:
        yield
    finally:
        watch.loading = False


def _hook(event: str, args: tuple[Any, ...]) -> None:
    watch = _active
    if watch is None or watch._busy:
        return
    family = _EVENTS.get(event) or _EVENT_HEADS.get(event.partition(".")[0])
    if event == "object.__getattr__" and args[1] in _FRAME_ATTRIBUTES:
        family, event = "frames", str(args[1])
    if family is None or (event == "open" and str(args[0]).startswith(_TIME_ZONES)):
        return
    watch._busy = True  # to ask for the frame is an event itself
    frame = sys._getframe(1)
    watch._busy = False
    shown = f"{event}({args[0]!r})" if event == "open" or event.startswith("os.") else event
    watch.note(family, shown, frame)


def _profile(frame: types.FrameType, event: str, called: Any) -> None:
    watch = _active
    if watch is None or watch._busy:
        return
    if event == "call":
        code = frame.f_code
        if watch.is_own(code.co_filename):
            watch.ran.add((code.co_filename, code.co_firstlineno))
        if code is _SEED_CODE and frame.f_locals.get("a") is None:
            watch.note("chance", "random.Random() without a seed", frame)
    elif event == "c_call":
        _note_call(watch, frame, called)


def _note_call(watch: CodeWatch, frame: types.FrameType, called: Any) -> None:
    name, module = getattr(called, "__name__", ""), getattr(called, "__module__", None)
    if module in _WHOLE_MODULES:
        watch.note(_WHOLE_MODULES[module], f"{module}.{name}", frame)
    elif module in _C_FUNCTIONS:
        families = _C_FUNCTIONS[module]
        for family, names in families.items():
            if name in names:
                if family != "pure":
                    watch.note(family, f"{module}.{name}", frame)
                return
        if module == _MACHINE:
            watch.note("machine", f"os.{name}", frame)
    elif module is None:
        _note_method(watch, frame, name, getattr(called, "__self__", None))


def _note_method(watch: CodeWatch, frame: types.FrameType, name: str, of: Any) -> None:
    if name in _PRESENT and isinstance(of, type) and issubclass(of, _DATE):
        watch.note("clock", f"{of.__name__}.{name}", frame)
    elif name in _HANDLE_METHODS and isinstance(of, _HANDLES):
        watch.note("files", f"{name} of an open file", frame)
    elif name in _SHARED_DICE and of is SHARED:
        watch.note("chance", f"random.{name}", frame)


_DATE: Final = dt.date
_HANDLES: Final = (
    io.FileIO,
    io.BufferedReader,
    io.BufferedWriter,
    io.BufferedRandom,
    io.TextIOWrapper,
)
SHARED: Final = random.random.__self__  # type: ignore[attr-defined]
_SEED_CODE: Final = random.Random.seed.__code__
_ROOT = Path(__file__).resolve().parents[2]
_OURS: Final = frozenset(
    str(_ROOT / "strategies" / "checks" / name)
    for name in ("watch.py", "sources.py", "probe.py", "held.py")
)


def _library_places() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    names = {paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    packages = {str(_ROOT / name) for name in ("engine", "strategies", "backtest", "pmpro_tui")}
    found = names | {os.path.realpath(name) for name in names} | packages
    return tuple(f"{name}{os.sep}" for name in found)


_LIBRARY: Final = _library_places()


@lru_cache(maxsize=4096)
def _is_own(path: str) -> bool:
    if path.startswith("<"):
        return path in ("<string>", "<stdin>")
    return not (path.startswith(_LIBRARY) or f"{os.sep}site-packages{os.sep}" in path)


sys.addaudithook(_hook)
