"""The simulated terminal that `pmpro terminal run` gives a program: prices, account, faults."""

from pathlib import Path
from typing import Any

import msgspec

from engine.files.text_files import read_toml
from engine.model.errors import UserError
from engine.model.near import meant
from engine.model.symbols import DEFAULT_SYMBOLS
from engine.model.times import NS_PER_MINUTE
from engine.terminal.simulated.broker.ledger import SimLedger
from engine.terminal.simulated.config import GeneratedPrices, ReplayPrices, SimulatedConfig
from engine.terminal.simulated.module.api import SimulatedTerminal
from engine.terminal.simulated.prices.generated import GeneratedSource
from engine.terminal.simulated.prices.prices import PriceSource
from pmpro_tui.cli.terminal.prices import first_moment, recorded_prices

# Programs have logins of their own in them; on these accounts any will do.
ACCOUNTS: dict[str, dict[str, Any]] = {
    "hedging": {"any_login": True},
    "netting": {"any_login": True, "hedging": False},
    "exchange": {"any_login": True, "hedging": False, "exchange": True},
    "fifo": {"any_login": True, "fifo": True, "hedge_allowed": False},
}


def conditions(account: str) -> dict[str, Any]:
    """Return the terminal's settings that `--account` means.

    Raises:
        UserError: neither a kind of account nor a file that can be read.
    """
    if account in ACCOUNTS:
        settings: dict[str, Any] = {"account": ACCOUNTS[account]}
        if account == "exchange":
            settings["execution"] = "exchange"
        return settings
    if not account.endswith(".toml"):
        hint = meant(account, ACCOUNTS) or ":"
        raise UserError(f"--account {account!r}{hint} {', '.join(ACCOUNTS)}, or a FILE.toml")
    tables = read_tables(Path(account), "account", "broker")
    return {**tables.get("broker", {}), "account": tables.get("account", {})}


def read_tables(path: Path, *known: str) -> dict[str, Any]:
    """Return a TOML file of some known tables.

    Raises:
        UserError: it cannot be read, or holds something else.
    """
    tables = read_toml(path)
    if unknown := tables.keys() - set(known):
        hint = meant(min(unknown), known) or ";"
        raise UserError(f"{path}: {min(unknown)!r} is unknown{hint} allowed: {', '.join(known)}")
    return tables


def generated(
    settings: dict[str, Any], seed: int, start_ns: int, speed: float
) -> SimulatedTerminal:
    """Return a terminal over generated prices of all symbols."""
    start_ns -= start_ns % NS_PER_MINUTE
    specs = list(DEFAULT_SYMBOLS.values())
    config = _config(
        settings, specs=specs, source=GeneratedPrices(seed=seed), start_ns=start_ns, speed=speed
    )
    return _open(config, GeneratedSource(seed, specs))


def recorded(
    settings: dict[str, Any], data: Path, source: str | None, start_ns: int | None, speed: float
) -> SimulatedTerminal:
    """Return a terminal over the symbols of a directory that have prices at the start."""
    start_ns = first_moment(data, source) if start_ns is None else start_ns
    start_ns -= start_ns % NS_PER_MINUTE
    nothing = ReplayPrices(files={})
    config = _config(settings, specs=[], source=nothing, start_ns=start_ns, speed=speed)
    specs, prices = recorded_prices(data, source, start_ns, config.account.currency)
    return _open(msgspec.structs.replace(config, specs=specs), prices)


def _config(settings: dict[str, Any], **world: Any) -> SimulatedConfig:
    """Return the configuration; what `--account` gives must not name the world's own keys."""
    if mixed := world.keys() & settings.keys():
        raise UserError(f"--account: {min(mixed)!r} is not a broker's condition")
    try:
        return msgspec.convert({**msgspec.to_builtins(world), **settings}, SimulatedConfig)
    except msgspec.ValidationError as error:
        raise UserError(f"--account: {error}") from None


def _open(config: SimulatedConfig, prices: PriceSource) -> SimulatedTerminal:
    """Return the terminal with every symbol in Market Watch, as a terminal has the usual ones."""
    terminal = SimulatedTerminal(config, prices, SimLedger(None))
    terminal.selected.update(terminal.market.specs)
    return terminal


def script_faults(terminal: SimulatedTerminal, path: Path) -> None:
    """Script the `[[fault]]` tables of a file and set its `[switches]`.

    Raises:
        UserError: the file cannot be read, or says what no fault or switch is.
    """
    tables = read_tables(path, "fault", "switches")
    for fault in tables.get("fault", []):
        terminal.control({"op": "set_fault", **fault})
    if switches := tables.get("switches"):
        terminal.control({"op": "set_switches", **switches})
