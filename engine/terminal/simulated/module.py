"""The simulated terminal as a module: what a program gets that imports MetaTrader5.

The official module holds the interpreter's lock during a call, so that threads take turns; here
a lock does.
"""

import functools
import inspect
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from engine.terminal.simulated import constants, structs
from engine.terminal.simulated.api import SimulatedTerminal
from engine.terminal.simulated.controls import Controls

NAME: Final = "MetaTrader5"


def as_module(terminal: SimulatedTerminal) -> ModuleType:
    """Return a module with the functions, constants and struct types; nothing steers the market."""
    module = ModuleType(NAME, "A simulated MetaTrader 5 terminal.")
    steering = {name for name, _ in inspect.getmembers(Controls, inspect.isfunction)}
    turn = threading.Lock()
    functions = {
        name: _Function(method, turn)
        for name, method in inspect.getmembers(terminal, inspect.ismethod)
        if not name.startswith("_") and name not in steering
    }
    vars(module).update(
        constants.ALL,
        **structs.ALL,
        **functions,
        __version__=terminal.__version__,
        __author__=terminal.__author__,
    )
    return module


class _Function:
    """A function of the module: calls take turns, and as a class attribute it is never bound.

    The official functions are built-in ones, which libraries keep in their classes.
    """

    def __init__(self, method: Callable[..., Any], turn: threading.Lock) -> None:
        functools.update_wrapper(self, method)
        self._method = method
        self._turn = turn

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        with self._turn:
            return self._method(*args, **keywords)
