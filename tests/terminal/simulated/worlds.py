"""Small worlds for the simulated terminal: a few bars by hand, a terminal over them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from engine.model.bars import BAR_DTYPE, Bars
from engine.model.symbols import DEFAULT_SYMBOLS
from engine.model.times import NS_PER_MINUTE
from engine.terminal.simulated.broker.ledger import SimLedger
from engine.terminal.simulated.config import AccountConfig, ReplayPrices, SimulatedConfig
from engine.terminal.simulated.module import constants as c
from engine.terminal.simulated.module.api import SimulatedTerminal
from engine.terminal.simulated.prices.prices import PriceSource, ReplaySource

START_NS = 1_520_240_400_000_000_000
"""Monday 2018-03-05 09:00 UTC, 11:00 on a New York + 7 server."""

EUR = "EURUSD"
JPY = "USDJPY"

Row = tuple[float, float, float, float]


class ManualClock:
    """A monotonic clock that moves when told."""

    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        return self.ns


def minute(n: int) -> int:
    """Return the n-th minute of the world, UTC ns."""
    return START_NS + n * NS_PER_MINUTE


def make_bars(rows: Iterable[Row], *, first: int = 0, spread: float = 0.0001) -> Bars:
    """Return consecutive bars (open, high, low, close) from the `first` minute on."""
    rows = list(rows)
    bars = np.zeros(len(rows), BAR_DTYPE)
    bars["time_ns"] = START_NS + (first + np.arange(len(rows))) * NS_PER_MINUTE
    for i, name in enumerate(("open", "high", "low", "close")):
        bars[name] = [row[i] for row in rows]
    bars["volume"] = 30
    bars["spread"] = spread
    return bars


def flat(price: float, n: int = 60) -> list[Row]:
    """Return n rows at one price."""
    return [(price, price, price, price)] * n


def make_terminal(
    bars: Mapping[str, Bars] | None = None,
    *,
    source: PriceSource | None = None,
    symbols: Iterable[str] | None = None,
    ledger: Path | None = None,
    monotonic_ns: Any = None,
    spec: dict[str, Any] | None = None,
    account: dict[str, Any] | None = None,
    **config: Any,
) -> SimulatedTerminal:
    """Return an initialised terminal with all symbols selected."""
    bars = {EUR: make_bars(flat(1.1))} if bars is None else bars
    names = list(symbols or bars)
    specs = [msgspec.structs.replace(DEFAULT_SYMBOLS[name], **(spec or {})) for name in names]
    settings = SimulatedConfig(
        specs=specs,
        source=ReplayPrices(files={}),
        account=AccountConfig(**(account or {})),
        start_ns=config.pop("start_ns", START_NS),
        ledger_path=str(ledger) if ledger else None,
        **config,
    )
    prices = source or ReplaySource(bars, specs)
    more = () if monotonic_ns is None else (monotonic_ns,)
    terminal = SimulatedTerminal(settings, prices, SimLedger(ledger), *more)
    assert terminal.initialize()
    for name in names:
        assert terminal.symbol_select(name)
    return terminal


def deal(side: int, lots: float = 0.1, symbol: str = EUR, **more: Any) -> dict[str, Any]:
    """Return a market order request: side 0 buys, 1 sells."""
    return {"action": c.TRADE_ACTION_DEAL, "symbol": symbol, "volume": lots, "type": side, **more}


def all_deals(terminal: SimulatedTerminal) -> list[Any]:
    """Return the account's deals without the deposit."""
    found = terminal.history_deals_get(1, 2**31 - 1)
    assert found is not None
    return [item for item in found if item.type != c.DEAL_TYPE_BALANCE]
