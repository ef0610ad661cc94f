"""A terminal that trades over replayed or generated prices behind the MetaTrader5 module's API."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.terminal.simulated.config import SimulatedConfig
    from engine.terminal.simulated.module.api import SimulatedTerminal


def create(config: "SimulatedConfig | dict[str, Any]") -> "SimulatedTerminal":
    """Return the terminal that a configuration (or its JSON form) describes.

    The kernels behind it are imported only here.
    """
    from engine.terminal.simulated.module.factory import make

    return make(config)
