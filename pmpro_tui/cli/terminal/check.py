"""`pmpro terminal check`: what the terminal and the account allow, and what to do about it."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.files.trust import private_directory
from engine.model.errors import BrokerError, ConfigError, PmproError, StateError
from pmpro_tui.cli.output import Config, Json, Mode, print_json
from pmpro_tui.cli.tables import print_table

if TYPE_CHECKING:
    from engine.model.broker import AccountState, Quote
    from engine.portfolio.compile import CompiledPortfolio
    from engine.settings.settings import Settings
    from engine.terminal.gateway import Gateway
    from engine.terminal.host.inspection import TerminalFinding

Wait = Annotated[
    float, typer.Option("--wait", min=0.0, help="Seconds to wait for ticks that show the clock.")
]
_LOCK_WAIT_S = 1.0
_LOOK_S = 0.05


def check(
    config: Config = None, mode: Mode = None, wait_s: Wait = 10.0, json: Json = False
) -> None:
    """Check what terminal and account allow, and name remedies; nothing is traded."""
    from engine.settings.settings import load_settings

    findings = examine(load_settings(config, mode=mode), wait_s=wait_s)
    n_stops = sum(f.status == "stop" for f in findings)
    if json:
        print_json({"ok": n_stops == 0, "findings": findings})
    else:
        print_table(
            "pmpro terminal check",
            ("what", "status", "finding", "what to do"),
            [(f.check, f.status.upper(), f.finding, f.remedy) for f in findings],
            texts=("finding", "what to do"),
        )
    if n_stops:
        raise PmproError(f"{n_stops} of {len(findings)} findings keep the engine from trading")


def examine(settings: "Settings", *, wait_s: float) -> "list[TerminalFinding]":
    """Return the findings, as far as the terminal can be reached."""
    from engine.portfolio.compile import compile_portfolio
    from engine.portfolio.file import read_portfolio
    from engine.terminal.host.inspection import TerminalFinding

    compiled = compile_portfolio(read_portfolio(settings.portfolio_path))
    found: list[TerminalFinding] = []
    try:
        with _gateway(settings, compiled) as gateway:
            account = gateway.connect()
            found += _terminal_and_account(settings, compiled, gateway, account)
            found += _symbols_and_clock(compiled, gateway, wait_s)
    except StateError:
        remedy = "stop the engine (`pmpro stop`), then check; `pmpro status` shows how it is"
        found.append(
            TerminalFinding(
                check="terminal", status="stop", finding="an engine uses it", remedy=remedy
            )
        )
    except BrokerError as error:
        remedy = "see the finding; logs/terminal-host.log has more"
        found.append(
            TerminalFinding(check="terminal", status="stop", finding=str(error), remedy=remedy)
        )
    return found


@contextmanager
def _gateway(settings: "Settings", compiled: "CompiledPortfolio") -> "Iterator[Gateway]":
    import msgspec

    from engine.runtime.terminal_start import host_config
    from engine.terminal.gateway import Deadlines, Gateway

    with tempfile.TemporaryDirectory(prefix="pmpro-check-") as name:
        home = settings.state_path
        if settings.terminal.module == "simulated":  # looking must not move its account
            home = Path(name)
        private_directory(home)
        config = host_config(settings, compiled, home, None)
        # Real money under paper is a finding, which the account's own line explains.
        config = msgspec.structs.replace(config, lock_wait_s=_LOCK_WAIT_S, demo_only=False)
        deadlines = Deadlines(read_s=settings.terminal.call_deadline_s)
        gateway = Gateway(config, deadlines, on_market=lambda update: None)
        try:
            gateway.start()
            yield gateway
        finally:
            gateway.close()


def _terminal_and_account(
    settings: "Settings",
    compiled: "CompiledPortfolio",
    gateway: "Gateway",
    account: "AccountState",
) -> "list[TerminalFinding]":
    from engine.runtime.terminal_start import verify_account, verify_clock
    from engine.terminal.host.inspection import TerminalFinding, account_findings, terminal_findings

    began_s = time.monotonic()
    gateway.ping()
    text = f"{settings.terminal.host or 'here'}, {1000 * (time.monotonic() - began_s):.1f} ms away"
    info = gateway.terminal()
    found = [TerminalFinding(check="terminal host", finding=text)]
    found += terminal_findings(info) + account_findings(account, info)
    checks: tuple[Callable[[], None], ...] = (
        partial(verify_account, settings, account, compiled.portfolio),
        partial(verify_clock, settings, compiled.portfolio),
    )
    for verify in checks:
        try:
            verify()
        except ConfigError as error:
            remedy = "correct the file, or log in to another account"
            found.append(
                TerminalFinding(check="portfolio", status="stop", finding=str(error), remedy=remedy)
            )
    return found


def _symbols_and_clock(
    compiled: "CompiledPortfolio", gateway: "Gateway", wait_s: float
) -> "list[TerminalFinding]":
    from engine.terminal.host.inspection import TerminalFinding, clock_findings, symbol_findings

    found: list[TerminalFinding] = []
    known = {spec.name: spec for spec in compiled.symbols}
    facts = []
    for name in known:
        try:
            facts += gateway.symbol_facts([name])
        except BrokerError as error:
            remedy = "name it as the broker does, or take it out of the portfolio"
            found.append(
                TerminalFinding(check=name, status="stop", finding=str(error), remedy=remedy)
            )
    quotes = _quotes(gateway, [item.name for item in facts], wait_s)
    for item in facts:
        commission = known[item.name].commission_per_lot_ccy
        found += symbol_findings(item, quotes.get(item.name), commission=commission == commission)
    return clock_findings(gateway.clock()) + found


def _quotes(gateway: "Gateway", names: list[str], wait_s: float) -> "dict[str, Quote]":
    """Return the last ticks, having looked until one arrived that shows the server's clock."""
    deadline_s = time.monotonic() + wait_s
    while True:
        quotes = {quote.symbol: quote for quote in gateway.quotes(names)} if names else {}
        if gateway.clock().offset_ns is not None or time.monotonic() >= deadline_s:
            return quotes
        time.sleep(_LOOK_S)
