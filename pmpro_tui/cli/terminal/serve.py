"""`pmpro terminal serve`: the terminal's box, for one engine on another."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from engine.child.log import json_lines
from engine.files.trust import private_directory
from engine.model.errors import ConfigError
from pmpro_tui.cli.output import Config, Mode, print_line

if TYPE_CHECKING:
    from pathlib import Path

    from engine.settings.settings import Settings
    from engine.terminal.lobby import Network
    from engine.terminal.protocol import HostConfig

Listen = Annotated[
    str,
    typer.Option(metavar="HOST:PORT", help="Address to listen on; 0.0.0.0 means every address."),
]
Allow = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ADDRESS",
        help="Take connections from this address or network alone; may be given several times.",
    ),
]


def serve(
    listen: Listen = "127.0.0.1:8222",
    allow: Allow = None,
    config: Config = None,
    mode: Mode = None,
) -> None:
    """Let one engine at a time use this machine's terminal, over TLS, until stopped."""
    from engine.child.ending import Ending
    from engine.child.output import take_streams
    from engine.settings.settings import load_settings
    from engine.terminal.link.credentials import certificate_file, fingerprint_in
    from engine.terminal.link.remote import host_and_port
    from engine.terminal.link.serving import TerminalServer
    from engine.terminal.lobby import network

    take_streams()
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
    try:
        allowed = [network(text) for text in allow or ()]
    except ConfigError as error:
        raise ConfigError(f"--allow: {error}") from None
    home = settings.state_root / "serve"
    private_directory(home)
    certificate = certificate_file(home)
    token, place = _token(settings, home)
    served = served_config(settings, home)
    server = TerminalServer(
        address, certificate=certificate, token=token, config=served, allow=allowed
    )
    Ending(lambda _: server.stop(), lambda: server.stopping).listen()
    json_lines(settings.log.level)
    host, port = server.address
    print_line(f"serving on {host}:{port}")
    print_line(f"certificate {fingerprint_in(certificate)}")
    print_line(f"token       {place}")
    if allowed:
        print_line(f"allowed     {', '.join(_shown(each) for each in allowed)}")
    sys.stdout.flush()
    server.run()
    server.close()


def _token(settings: "Settings", home: "Path") -> tuple[str, str]:
    """Return the token that engines must show, and where the operator finds it."""
    from engine.settings.secrets import read_secret
    from engine.terminal.link.credentials import token_file

    configured = settings.terminal_token()
    if configured is not None:
        return configured.get_secret_value(), "as configured"
    path = token_file(home)
    return read_secret(path, "token").get_secret_value(), str(path)


def _shown(network: "Network") -> str:
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def served_config(settings: "Settings", home: "Path") -> "HostConfig":
    """Return how this box runs its host; the engine says what this box does not name, and how."""
    import msgspec

    from engine.portfolio.compile import compile_portfolio
    from engine.portfolio.file import read_portfolio
    from engine.runtime.terminal_start import host_config

    state = settings.state_path
    for directory in (home, state):
        private_directory(directory)
    if settings.terminal.module == "simulated":
        portfolio = read_portfolio(settings.portfolio_path)
    else:
        from engine.model.portfolio import Portfolio

        portfolio = Portfolio()
    config = host_config(settings, compile_portfolio(portfolio), home, None)
    # The lock is that of an engine on this box: the two never use the terminal at once.
    return msgspec.structs.replace(config, lock_path=str(state / "terminal.lock"))
