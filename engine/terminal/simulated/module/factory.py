"""Make a simulated terminal from its configuration."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from engine.model.errors import ConfigError, DataError
from engine.model.times import NS_PER_MINUTE
from engine.terminal.simulated.broker.ledger import SimLedger
from engine.terminal.simulated.config import ReplayPrices, SimulatedConfig
from engine.terminal.simulated.module.api import SimulatedTerminal
from engine.terminal.simulated.prices.generated import GeneratedSource
from engine.terminal.simulated.prices.prices import PriceSource, ReplaySource


def make(
    config: SimulatedConfig | dict[str, Any],
    monotonic_ns: Callable[[], int] = time.monotonic_ns,
) -> SimulatedTerminal:
    """Return the terminal that a configuration (or its JSON form) describes."""
    if isinstance(config, dict):
        try:
            config = msgspec.convert(config, SimulatedConfig)
        except msgspec.ValidationError as error:
            raise ConfigError(f"simulated terminal: {error}") from None
    if config.start_ns % NS_PER_MINUTE:
        raise ConfigError(f"simulated terminal: start_ns {config.start_ns} is not a whole minute")
    ledger = SimLedger(Path(config.ledger_path) if config.ledger_path else None)
    return SimulatedTerminal(config, _source(config), ledger, monotonic_ns)


def _source(config: SimulatedConfig) -> PriceSource:
    if not isinstance(config.source, ReplayPrices):
        return GeneratedSource(config.source.seed, config.specs)
    bars = {}
    for symbol, path in config.source.files.items():
        try:
            bars[symbol] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(f"bars of {symbol}: {path}: {error}") from None
    return ReplaySource(bars, config.specs)
