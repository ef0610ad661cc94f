"""`pmpro terminal serve`: the terminal's box, for one engine on another."""

import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from engine.model.errors import ConfigError
from engine.runtime.log import json_lines
from pmpro_tui.cli.output import Config, Mode

if TYPE_CHECKING:
    from pathlib import Path

    from engine.runtime.settings import Settings
    from engine.terminal.protocol import HostConfig

Listen = Annotated[
    str, typer.Option(metavar="HOST:PORT", help="Where to listen; 0.0.0.0 is every address.")
]


def serve(listen: Listen = "127.0.0.1:8222", config: Config = None, mode: Mode = None) -> None:
    """Let one engine at a time use this box's terminal, over TLS, until stopped."""
    from engine.runtime.settings import load_settings
    from engine.terminal.credentials import certificate_file, fingerprint_in, token_file
    from engine.terminal.remote import host_and_port
    from engine.terminal.serving import TerminalServer

    settings = load_settings(config, mode=mode)
    if settings.terminal.host is not None:
        raise ConfigError(
            f"{settings.where('terminal.host')} is set: that is for the engine's box, "
            "this one has the terminal"
        )
    try:
        address = host_and_port(listen)
    except ValueError as error:
        raise ConfigError(f"--listen: {error}") from None
    home = settings.state_root / "serve"
    certificate = certificate_file(home)
    token = settings.terminal_token()
    place = "as configured"
    if token is None:
        from engine.runtime.secret_files import read_secret

        path = token_file(home)
        token, place = read_secret(path, "token"), str(path)
    server = TerminalServer(
        address,
        certificate=certificate,
        token=token.get_secret_value(),
        config=served_config(settings, home),
    )
    json_lines(settings.log.level)
    host, port = server.address
    sys.stdout.write(
        f"serving on {host}:{port}\n"
        f"certificate {fingerprint_in(certificate)}\n"
        f"token       {place}\n"
    )
    sys.stdout.flush()
    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: server.stop())
    server.run()
    server.close()


def served_config(settings: "Settings", home: "Path") -> "HostConfig":
    """Return how this box runs its host; the engine says whose account, which clock, what pace."""
    import msgspec

    from engine.portfolio.compile import compile_portfolio
    from engine.portfolio.file import read_portfolio
    from engine.runtime.host_settings import host_config

    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if settings.terminal.module == "simulated":
        portfolio = read_portfolio(settings.portfolio_path)
    else:
        from engine.model.portfolio import Portfolio

        portfolio = Portfolio()
    config = host_config(settings, compile_portfolio(portfolio), home, None)
    return msgspec.structs.replace(config, login=settings.terminal.login or 0)
