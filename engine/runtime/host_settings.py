"""The terminal host's configuration from the settings, and whether the account is the right one."""

import time
from pathlib import Path

from engine.model.broker import AccountState
from engine.model.errors import ConfigError
from engine.model.portfolio import Portfolio
from engine.model.times import NS_PER_MINUTE, NS_PER_S, from_datetime
from engine.portfolio.compile import CompiledPortfolio
from engine.runtime.assembly import Recorded, simulated_terminal, write_prices
from engine.runtime.options import symbol_pairs
from engine.runtime.settings import Settings
from engine.terminal.protocol import HostConfig, Remote
from engine.terminal.simulated.config import GeneratedPrices, ReplayPrices

# The generated market's first moment: a Tuesday, London open.
DEMO_START_NS = 1_768_291_200 * NS_PER_S


def host_config(
    settings: Settings, compiled: CompiledPortfolio, state: Path, recorded: Recorded | None
) -> HostConfig:
    """Return how to run the terminal host on the state directory `state`."""
    terminal = settings.terminal
    password = settings.terminal_password()
    simulated = terminal.module == "simulated"
    return HostConfig(
        module="simulated" if simulated else "MetaTrader5",
        lock_path=str(state / "terminal.lock"),
        log_path=str(state / "logs" / "terminal-host.log"),
        server_clock=terminal.server_clock,
        symbol_names=symbol_pairs(terminal.symbol_names),
        symbol_prefix=terminal.symbol_prefix,
        symbol_suffix=terminal.symbol_suffix,
        terminal_path=str(terminal.path or ""),
        login=terminal.login or 0,
        server=terminal.server or "",
        password="" if password is None else password.get_secret_value(),
        demo_only=settings.mode == "paper" and not simulated,
        simulated=_simulated(settings, compiled, state, recorded) if simulated else {},
        poll_ms=float(terminal.poll_ms),
        batch_grace_ms=1000.0 * terminal.bar_grace_s,
        remote=_remote(settings),
    )


def _remote(settings: Settings) -> Remote | None:
    terminal, token = settings.terminal, settings.terminal_token()
    if terminal.host is None:
        return None
    assert terminal.fingerprint is not None
    assert token is not None
    return Remote(
        address=terminal.host, fingerprint=terminal.fingerprint, token=token.get_secret_value()
    )


def _simulated(
    settings: Settings, compiled: CompiledPortfolio, state: Path, recorded: Recorded | None
) -> dict[str, object]:
    demo = settings.demo
    real_time = settings.mode != "demo"
    source: GeneratedPrices | ReplayPrices = GeneratedPrices(seed=demo.seed)
    start_ns = time.time_ns() if real_time else DEMO_START_NS
    if recorded is not None:
        source = write_prices(recorded.bars, state / "prices")
        start_ns = recorded.start_ns
    elif demo.start is not None and not real_time:
        start_ns = from_datetime(demo.start)
    return simulated_terminal(
        compiled,
        source,
        start_ns=start_ns - start_ns % NS_PER_MINUTE,
        server_clock=settings.terminal.server_clock,
        ledger_path=state / "broker.sqlite",
        speed=1.0 if real_time else demo.speed,
        faults="" if real_time else demo.faults,
    )


def verify_clock(settings: Settings, portfolio: Portfolio) -> None:
    """Refuse a portfolio whose trading day is not the terminal's: backtests would differ.

    Raises:
        ConfigError: the two clocks are named differently.
    """
    if portfolio.server_clock != settings.terminal.server_clock:
        raise ConfigError(
            f"{settings.portfolio_path}: server_clock is {portfolio.server_clock}, "
            f"{settings.where('terminal.server_clock')} is {settings.terminal.server_clock}: "
            "set both to the broker's"
        )


def verify_account(settings: Settings, account: AccountState, portfolio: Portfolio) -> None:
    """Refuse an account that is not what settings and portfolio say.

    Raises:
        ConfigError: real money under paper, another currency, another margin mode.
    """
    wanted = portfolio.account
    if settings.mode == "paper" and account.real_money:
        raise ConfigError(
            f"{settings.where('mode')} is paper, account {account.login} trades real money: "
            "log in to a demo account, or set mode = live"
        )
    if account.currency != wanted.currency:
        raise ConfigError(
            f"{settings.portfolio_path}: account.currency is {wanted.currency}, "
            f"account {account.login} is in {account.currency}"
        )
    if account.hedging != (wanted.margin_mode == "hedging"):
        there = "hedging" if account.hedging else "netting"
        raise ConfigError(
            f"{settings.portfolio_path}: account.margin_mode is {wanted.margin_mode}, "
            f"account {account.login} is {there}"
        )
