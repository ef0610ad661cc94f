"""Embedded servers started by other processes and other users, for tests that kill those."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from engine.store.connection import connect
from engine.store.embedded import EmbeddedServer
from engine.store.processes import _is_postmaster, server_processes
from tests.conftest import REPO

NOBODY = 65534
# No user database has it.
NAMELESS = 54321
CHILD = """
import sys
from pathlib import Path
from engine.model.errors import StoreError
from engine.store.embedded import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]), Path(sys.argv[2]), base_dir=Path(sys.argv[3]),
                        start_s=30.0, settings={"fsync": "off"})
try:
    urls = server.start()
except StoreError as error:
    sys.exit(f"failed {error}")
print("started", urls.operator.render_as_string(hide_password=False), flush=True)
sys.stdin.read()
sys.exit(0 if server.stop() else "not stopped")
"""


def scalar(url: Any, query: str) -> Any:
    from sqlalchemy import text

    engine = connect(url)
    try:
        with engine.connect() as connection:
            return connection.execute(text(query)).scalar()
    finally:
        engine.dispose()


def start_child(server: EmbeddedServer, **arguments: Any) -> subprocess.Popen[str]:
    """Return a process that has started the server, and stops it when its stdin ends."""
    return started([sys.executable], [server._dir, server._run_dir, server._base], **arguments)


def started(
    python: Sequence[str], places: Sequence[Path], *, script: str = CHILD, **arguments: Any
) -> subprocess.Popen[str]:
    """Return a process that has started the server of state, run and base directory."""
    arguments = {"cwd": REPO} | arguments
    child = subprocess.Popen(
        [*python, "-c", script, *places],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **arguments,
    )
    assert child.stdout is not None
    assert any(line.startswith("started") for line in iter(child.stdout.readline, ""))
    return child


def end_child(child: subprocess.Popen[str], code: int = 0) -> None:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.close()
    child.stdout.read()
    child.stdout.close()
    assert child.wait(30) in (code, -signal.SIGKILL)


def as_user(
    program: Path, uid: int, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return what makes a child another user's, with packages and a program that he can read."""
    paths = [p for p in sys.path if p.endswith("site-packages")]
    return {
        "user": uid,
        "group": uid,
        "extra_groups": [],
        "cwd": program,
        "env": {"PATH": "/usr/bin:/bin", "PYTHONPATH": os.pathsep.join(paths)}
        | dict(environment or {}),
    }


def system_python() -> str:
    python = shutil.which("python3", path="/usr/local/bin:/usr/bin")
    assert python is not None
    return python


def data_of(server: EmbeddedServer) -> Path:
    """Return the data directory, also of a server that another process has started."""
    cluster = json.loads((server._dir / "secrets.json").read_text())["cluster"]
    home = server._base / "clusters" / cluster if os.geteuid() == 0 else server._dir
    return home / "data"


def postmasters(data: Path) -> list[int]:
    return [p.pid for p in server_processes(data) if _is_postmaster(p)]


def kill_all(data: Path) -> None:
    """Kill -9 the server's every process, as a crash or the system would."""
    processes = server_processes(data)
    assert processes
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended with its server
            process.kill()
    pause = threading.Event()
    deadline_s = time.monotonic() + 10
    while server_processes(data) and time.monotonic() < deadline_s:
        pause.wait(0.01)
    assert not server_processes(data)
