"""An engine as a process on the demo's market, for tests that kill it or what it needs."""

import contextlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.control.client import ControlClient, new_command
from engine.model.errors import ControlError
from engine.model.views.commands import CommandName
from engine.model.views.snapshot import Reply, Snapshot
from engine.runtime.engine import Engine
from engine.settings.settings import load_settings
from tests.conftest import REPO

DEADLINE_S = 90.0
SYMBOLS = ("EURUSD", "GBPUSD", "USDJPY", "AUDUSD")
STRATEGY = """
[[strategy]]
name = "{name}"
kind = "ma_cross"
symbol = "{symbol}"
params = {{ fast = {fast}, slow = {slow}, stop_points = 60, target_points = 60 }}
sizing = {{ risk_frac = 0.0002 }}
"""


@contextlib.contextmanager
def demo_home(portfolio: str, place: str | None = None) -> Iterator[Path]:
    """A demo's directory at 600 times, without a database, and the environment that names it.

    `place`: where to make it.
    """
    path = Path(tempfile.mkdtemp(prefix="pm", dir=place))  # short, as sockets lie in it
    (path / "portfolio.toml").write_text(portfolio, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "STATE_DIR": str(path),
            "PORTFOLIO": str(path / "portfolio.toml"),
            "DEMO__SPEED": "600",
            "DATABASE__EMBEDDED": "false",
            "DATABASE__URL": "postgresql://nobody@127.0.0.1:1/none",
        }.items():
            patch.setenv(f"PMPRO_{name}", value)
        patch.setenv("PYTHONPATH", str(REPO))
        yield path
    shutil.rmtree(path, ignore_errors=True)


def busy_portfolio() -> str:
    """Return a portfolio that trades in every minute."""
    return "".join(
        STRATEGY.format(name=f"{symbol}-{fast}", symbol=symbol, fast=fast, slow=3 * fast)
        for symbol in SYMBOLS
        for fast in (2, 3, 5)
    )


@contextlib.contextmanager
def engine(home: Path, output: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A headless engine; whatever is left of it in the end is killed.

    `output`: the descriptor that it logs to, `log` in its home for none.
    """
    with (home / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "pmpro_tui.launch.tui", "--daemon", "--demo"],
            stdin=subprocess.DEVNULL,
            stdout=log if output is None else output,
            stderr=log if output is None else output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


@contextlib.contextmanager
def running(engine: Engine) -> Iterator[Engine]:
    """A started engine, on a thread of this process."""
    engine.start()
    thread = threading.Thread(target=engine.run)
    thread.start()
    try:
        yield engine
    finally:
        engine.stop("test")
        thread.join(30)
        engine.close()


def client() -> ControlClient:
    """Return a client of the engine that the environment names."""
    return ControlClient(load_settings(mode="demo").socket_path)


def command(name: CommandName, target: str = "") -> Reply:
    """Have that engine run a command."""
    with client() as asked:
        return asked.send(new_command(name, target, now_ns=time.time_ns))


def until(
    found: Callable[[Snapshot], bool],
    home: Path,
    *,
    deadline_s: float = DEADLINE_S,
    state: str = "ACTIVE",
) -> Snapshot:
    """Return the first snapshot of an engine in this state that has what is looked for."""
    end_s = time.monotonic() + deadline_s
    while time.monotonic() < end_s:
        with contextlib.suppress(ControlError), client() as asked:
            snapshot = asked.snapshot()
            if snapshot is not None and snapshot.state == state and found(snapshot):
                return snapshot
        time.sleep(0.02)
    raise AssertionError((home / "log").read_text()[-2000:])
