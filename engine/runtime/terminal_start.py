"""The terminal at the start: its host's configuration, bounded tries, the right account."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from engine.model.backoff import Backoff
from engine.model.broker import AccountState
from engine.model.errors import BrokerError, ConfigError
from engine.model.portfolio import Portfolio
from engine.model.times import NS_PER_MINUTE, NS_PER_S, from_datetime
from engine.portfolio.compile import CompiledPortfolio
from engine.replay.setup import Recorded, simulated_terminal, write_prices
from engine.settings.options import symbol_pairs
from engine.settings.settings import Settings
from engine.terminal.gateway import Gateway
from engine.terminal.protocol import CallFailed, HostConfig, Remote
from engine.terminal.simulated.config import GeneratedPrices, ReplayPrices

T = TypeVar("T")
# A new host needs a moment, a terminal that restarts some more: 0.5, 1, 2 and 4 s.
RETRY_FIRST_S = 0.5
RETRY_MOST_S = 4.0
TRIES_MAX = 5


def patiently(
    gateway: Gateway,
    ask: Callable[[], T],
    *,
    wait: Callable[[float], object],
    say: Callable[[str], None],
    clock: Callable[[], int] = time.monotonic_ns,
) -> T:
    """Return what was asked of the terminal, asking again where its host or a call failed.

    What a terminal says that works (no such symbol, another account) is raised at once.

    Raises:
        BrokerError: it was asked in vain.
    """
    backoff = Backoff(RETRY_FIRST_S, RETRY_MOST_S, clock)
    for _ in range(TRIES_MAX - 1):
        pid = gateway.host_pid
        try:
            return ask()
        except BrokerError as e:
            if pid and gateway.host_pid == pid and not isinstance(e, CallFailed):
                raise
            wait_s = backoff.failed()
            say(f"{e}; trying again in {wait_s:g} s")
        wait(wait_s)
        with suppress(BrokerError):  # then the next try says so
            gateway.connect()
    try:
        return ask()
    except BrokerError as e:
        text = f"{e}; asked {TRIES_MAX} times: see logs/terminal-host.log, then start again"
        raise BrokerError(text) from e


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
