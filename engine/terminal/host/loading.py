"""Load the object that has the MetaTrader5 module's functions and constants.

"simulated" is `engine.terminal.simulated.create(settings)`, which also has a clock, a control
channel and an end beside the module's functions. Any other module may offer `now_ns()`,
`control(dict) -> dict` and `close()` likewise; the official package does not: its clock is UTC.
"""

import importlib
import time
from collections.abc import Callable
from typing import Any

from engine.model.errors import BrokerError
from engine.terminal.protocol import HostConfig

Control = Callable[[dict[str, Any]], dict[str, Any]]


class LoadedTerminal:
    """The module, its clock (UTC ns) and its control channel, if it has one."""

    def __init__(
        self, api: Any, *, now_ns: Callable[[], int] | None, control: Control | None
    ) -> None:
        self.api = api
        self.has_own_clock = now_ns is not None
        self.now_ns = now_ns or time.time_ns
        self.control = control

    def close(self) -> None:
        """Let a simulated terminal write its clock; the official one is only left."""
        end = getattr(self.api, "close", None) or getattr(self.api, "shutdown", None)
        if end is not None:
            end()


def load(config: HostConfig) -> LoadedTerminal:
    """Load the configured module; BrokerError says what is missing."""
    name = "engine.terminal.simulated" if config.module == "simulated" else config.module
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise BrokerError(
            f"terminal module {config.module!r} cannot be loaded: {error} "
            "(the MetaTrader5 package exists for Windows only)"
        ) from None
    if config.module == "simulated":
        module = module.create(config.simulated)
    return LoadedTerminal(
        module,
        now_ns=getattr(module, "now_ns", None),
        control=getattr(module, "control", None),
    )
