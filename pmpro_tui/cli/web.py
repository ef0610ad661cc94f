"""`pmpro web`: the console in a browser, through a link that works once."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.files.places import absolute
from engine.model.errors import ControlError, StateError, UserError
from pmpro_tui.cli.output import Config, Json, Mode, print_json, print_line

if TYPE_CHECKING:
    from pmpro_tui.web.server import WebServer

LOOPBACK = "127.0.0.1"
Port = Annotated[
    int, typer.Option("--port", min=0, max=65535, help="Port of 127.0.0.1; 0 takes a free port.")
]
OnSocket = Annotated[
    bool,
    typer.Option(
        "--socket",
        help="Listen on a Unix socket (mode 600); --port is the port at your end of the tunnel.",
    ),
]
Control = Annotated[
    bool, typer.Option("--control", help="Let consoles send commands. Default: they can only look.")
]
Sessions = Annotated[
    int,
    typer.Option("--sessions", min=1, max=64, help="Greatest number of consoles at the same time."),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("web")(web)


def web(
    port: Port = 8765,
    on_socket: OnSocket = False,
    control: Control = False,
    sessions: Sessions = 4,
    config: Config = None,
    mode: Mode = None,
    json: Json = False,
) -> None:
    """Serve the console to a browser on this machine or behind a tunnel, until stopped."""
    from engine.child.log import json_lines
    from engine.child.output import take_streams
    from engine.settings.settings import load_settings
    from pmpro_tui.launch.attach import answers

    try:
        from pmpro_tui.web.gate import TOKEN_HOLDS_S, Gate
        from pmpro_tui.web.server import WebServer
    except ModuleNotFoundError as error:
        raise UserError(f'{error}: pip install "portfolio-manager-pro[web]"') from None
    take_streams()
    settings = load_settings(config, mode=mode)
    if not answers(settings):
        raise ControlError("no engine answers: start one with `pmpro-tui --daemon`")
    json_lines(settings.log.level, sys.stderr)
    path = settings.socket_path.with_suffix(".web.sock") if on_socket else None
    listening = _loopback(port) if path is None else _unix(path)
    listening.listen()
    inode = 0 if path is None else path.stat().st_ino
    if path is None:
        port = listening.getsockname()[1]
    gate = Gate()
    server = WebServer(
        gate,
        console_words(config, control=control),
        environment={"PMPRO_MODE": settings.mode},
        sessions_max=sessions,
    )
    link = f"http://localhost:{port}/?token={gate.token}"
    tunnel = f"ssh -L {port}:{path or f'{LOOPBACK}:{port}'} {socket.gethostname()}"
    if json:
        print_json({"link": link, "tunnel": tunnel, "control": control})
    else:
        what = "may command the engine" if control else "only looks"
        print_line(f"{link}  ({what}; works once, for {TOKEN_HOLDS_S / 60:g} minutes)")
        print_line(f"from another box first: {tunnel}")
    sys.stdout.flush()
    try:
        asyncio.run(_serve(server, listening))
    finally:
        if path is not None and path.exists() and path.stat().st_ino == inode:
            path.unlink()


def console_words(config: Path | None, *, control: bool) -> list[str]:
    """Return what starts a console that attaches and never starts an engine."""
    words = [sys.executable, "-P", "-m", "pmpro_tui.launch.tui", "--attach"]
    if not control:
        words.append("--readonly")
    return words if config is None else [*words, "--config", str(absolute(config))]


async def _serve(server: "WebServer", listening: socket.socket) -> None:
    stop = asyncio.Event()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            asyncio.get_running_loop().add_signal_handler(getattr(signal, name), stop.set)
    await server.run(listening, stop)


def _loopback(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((LOOPBACK, port))
    except OSError as error:
        listening.close()
        text = f"{LOOPBACK}:{port}: {error.strerror}: choose another --port"
        raise StateError(text) from None
    return listening


def _unix(path: Path) -> socket.socket:
    """Return a bound socket that its owner alone may use; one that nobody serves is replaced."""
    from engine.control.paths import clear_stale, prepare_run_dir

    prepare_run_dir(path.parent)
    clear_stale(path, "`pmpro web`")
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listening.bind(os.fspath(path))
    except OSError as error:
        listening.close()
        raise StateError(f"{path}: {error.strerror}") from None
    finally:
        os.umask(before)
    return listening
