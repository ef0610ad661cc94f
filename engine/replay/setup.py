"""What live, demo and replay put together alike: host configuration, hosts, trader."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from engine.decision.plausible import only_bars
from engine.hosts.contract import Hosts
from engine.model.bars import Bars
from engine.model.errors import StrategyError
from engine.model.portfolio import AccountSpec
from engine.model.times import NS_PER_MINUTE
from engine.portfolio.compile import CompiledPortfolio, stop_out_frac
from engine.terminal.gateway import Gateway
from engine.terminal.simulated.config import (
    AccountConfig,
    GeneratedPrices,
    ReplayPrices,
    SimulatedConfig,
)


class Recorded(NamedTuple):
    """Bars that a demo replays, by symbol, the moment it begins at, and what loading them said."""

    bars: Mapping[str, Bars]
    start_ns: int
    notes: tuple[str, ...] = ()


def simulated_account(account: AccountSpec) -> AccountConfig:
    """Return the simulated broker's account for a portfolio's."""
    return AccountConfig(
        balance_ccy=account.balance_ccy,
        currency=account.currency,
        leverage=account.leverage,
        hedging=account.margin_mode == "hedging",
    )


def simulated_terminal(
    compiled: CompiledPortfolio,
    source: ReplayPrices | GeneratedPrices,
    *,
    start_ns: int,
    server_clock: str,
    ledger_path: Path | None = None,
    speed: float | None = None,
    faults: str = "",
) -> dict[str, object]:
    """Return the simulated terminal's settings as plain data; `speed` None is stepped."""
    config = SimulatedConfig(
        specs=list(compiled.symbols),
        source=source,
        start_ns=start_ns,
        account=simulated_account(compiled.portfolio.account),
        server_clock=server_clock,
        ledger_path=None if ledger_path is None else str(ledger_path),
        speed=speed,
        filtered=True,
        margin_so_frac=stop_out_frac(compiled.portfolio.account),
        faults=faults,
    )
    plain: dict[str, object] = msgspec.to_builtins(config)
    return plain


def write_prices(bars: Mapping[str, Bars], directory: Path) -> ReplayPrices:
    """Write bars where the terminal host reads them, one `.npy` a symbol."""
    directory.mkdir(parents=True, exist_ok=True)
    files = {}
    for name, records in bars.items():
        path = directory / f"{name}.npy"
        np.save(path, records)
        files[name] = str(path)
    return ReplayPrices(files=files)


def load_history(
    gateway: Gateway, needed: Mapping[str, int], before_ns: int, now_ns: int
) -> dict[str, Bars]:
    """Return closed bars that opened before `before_ns`, as many as are needed of each symbol.

    Bars that are not made of prices are left out.
    """
    out = {}
    for name, count in needed.items():
        missed = max(0, (now_ns - before_ns) // NS_PER_MINUTE) + 2
        bars = only_bars(gateway.rates_last(name, count + missed))
        out[name] = bars[bars["time_ns"] < before_ns][-count:]
    return out


def load_strategies(hosts: Hosts) -> None:
    """Create the strategies in their hosts.

    Raises:
        StrategyError: a kind or a parameter is wrong; the first fault is the message.
    """
    for name, fault in hosts.load().items():
        known = f"strategy {name!r}" in fault
        raise StrategyError(fault if known else f"strategy {name!r}: {fault}")
