"""The simulated terminal as a module: what a program gets that imports MetaTrader5.

The official module holds the interpreter's lock during a call, so that threads take turns; here
a lock does. A terminal belongs to one process: in a process that a program forks or starts the
module is there, and `initialize` fails, as where the official module finds no terminal.
"""

import functools
import importlib
import inspect
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from email.message import Message
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, DistributionFinder
from pathlib import Path
from types import MethodType, ModuleType
from typing import Any, Final, Never

from engine.terminal.simulated.broker.ledger import SimLedger
from engine.terminal.simulated.config import ReplayPrices, SimulatedConfig
from engine.terminal.simulated.controls import Controls
from engine.terminal.simulated.module import constants, structs
from engine.terminal.simulated.module.api import SimulatedTerminal
from engine.terminal.simulated.prices.prices import ReplaySource

NAME: Final = "MetaTrader5"
FOR_CHILDREN: Final = Path(__file__).with_name("children")
"""On the path of a process that a program starts: what its `import MetaTrader5` finds."""

_CORE: Final = f"{NAME}._core"


def as_module(terminal: SimulatedTerminal) -> ModuleType:
    """Return a package with the functions, constants and struct types; nothing steers the market.

    As in the official one its functions and struct types are those of its module `_core`.
    """
    module, core = _empty(NAME), _empty(_CORE)
    steering = {name for name, _ in inspect.getmembers(Controls, inspect.isfunction)}
    link = _Link(terminal)
    functions = {
        name: _function(link, method)
        for name, method in inspect.getmembers(terminal, inspect.ismethod)
        if not name.startswith("_") and name not in steering
    }
    helpers = {name: functions.pop(name) for name in ("Buy", "Sell", "Close")}
    vars(core).update(structs.ALL, **functions)
    vars(module).update(
        constants.ALL,
        **structs.ALL,
        **functions,
        **helpers,
        _RawOrder=_function(link, terminal._RawOrder),
        _core=core,
        __version__=terminal.__version__,
        __author__=terminal.__author__,
    )
    return module


def install(module: ModuleType) -> None:
    """Have `import MetaTrader5` give a module of `as_module`, and its distribution be found.

    Processes that this one starts find a module without a terminal.
    """
    finder = _Finder(module)
    for name, one in ((NAME, module), (_CORE, module._core)):
        one.__spec__, one.__loader__ = finder.find_spec(name), finder
        sys.modules[name] = one
    sys.meta_path[:] = [finder, *(f for f in sys.meta_path if not isinstance(f, _Finder))]
    children = str(FOR_CHILDREN)
    if children not in sys.path:  # what `multiprocessing` gives to a process that it spawns
        sys.path.append(children)
    paths = [children, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))


def without_terminal() -> ModuleType:
    """Return the module as a process has it that no terminal belongs to."""
    config = SimulatedConfig(specs=[], source=ReplayPrices(files={}), start_ns=0)
    terminal = SimulatedTerminal(config, ReplaySource({}, []), SimLedger(None))
    terminal.sever()
    return as_module(terminal)


def _empty(name: str) -> ModuleType:
    module = ModuleType(name, "A simulated MetaTrader 5 terminal.")
    module.__file__, module.__package__ = __file__, NAME
    if name == NAME:
        module.__path__ = []
    return module


class _Link:
    """The way to a terminal: a call at a time, and none from a process that was forked."""

    def __init__(self, terminal: SimulatedTerminal) -> None:
        self._terminal = terminal
        self._begin()

    def _begin(self) -> None:
        self._pid, self._turn = os.getpid(), threading.Lock()

    def call(self, method: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
        if os.getpid() != self._pid:
            self._begin()  # another thread may have been in a call when this process was forked
            self._terminal.sever()
        with self._turn:
            return method(*args, **keywords)

    def __reduce__(self) -> tuple[Callable[[str], ModuleType], tuple[str]]:
        """Send a function to another process by its name, as functions are."""
        return importlib.import_module, (NAME,)


def _function(link: _Link, method: Callable[..., Any]) -> MethodType:
    """Return a function of the module.

    The official ones are built-in functions, which libraries keep in their classes: a method that
    is bound already is not bound again.
    """

    @functools.wraps(method)
    def function(link: _Link, /, *args: Any, **keywords: Any) -> Any:
        return link.call(method, *args, **keywords)

    function.__module__ = NAME
    signature = inspect.signature(method)
    own = inspect.Parameter("link", inspect.Parameter.POSITIONAL_ONLY)
    function.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[own, *signature.parameters.values()]
    )
    return MethodType(function, link)


class _Finder(DistributionFinder, Loader):
    """Finds the module and what says that it is installed, before anything of that name."""

    def __init__(self, module: ModuleType) -> None:
        self._modules: dict[str, ModuleType] = {NAME: module, _CORE: module._core}

    def find_spec(
        self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in self._modules:
            return None
        return ModuleSpec(name, self, origin=__file__, is_package=name == NAME)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: the module is complete, also when a program reloads it."""

    def find_distributions(
        self, context: DistributionFinder.Context | None = None
    ) -> Iterator[Distribution]:
        name = None if context is None else context.name
        if name is None or name.lower() == NAME.lower():
            yield _Installed(str(self._modules[NAME].__version__))


class _Installed(Distribution):
    """What `importlib.metadata` says of the module."""

    def __init__(self, version: str) -> None:
        self._metadata = Message()
        self._metadata["Metadata-Version"] = "2.1"
        self._metadata["Name"], self._metadata["Version"] = NAME, version

    def read_text(self, filename: str) -> str | None:
        return self._metadata.as_string() if filename == "METADATA" else None

    def locate_file(self, path: Any) -> Never:
        raise FileNotFoundError(path)
