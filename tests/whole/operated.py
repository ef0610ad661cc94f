"""One engine for many scenarios: a fast demo with a database and bars to test on."""

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.control.client import ControlClient, new_command
from engine.control.messages import Role
from engine.model.errors import ControlError
from engine.model.views.commands import CommandName
from engine.model.views.details import Detail, Question
from engine.model.views.snapshot import Reply, Snapshot
from engine.settings.settings import Settings, load_settings
from engine.store.cluster import Cluster
from engine.store.embedded import BASE_DIR, EmbeddedServer
from tests.conftest import REPO

DEADLINE_S = 90.0
FIRST_DAY = "2018-03-05"
LAST_DAY = "2018-03-09"
PORTFOLIO = """
[[strategy]]
name = "solo-eur"
kind = "ma_cross"
symbol = "EURUSD"
params = { fast = 5, slow = 20, stop_points = 3000 }
sizing = { risk_frac = 0.001 }

[[strategy]]
name = "solo-jpy"
kind = "ma_cross"
symbol = "USDJPY"
params = { fast = 5, slow = 20, stop_points = 3000 }
sizing = { risk_frac = 0.001 }
"""


class Operated:
    """A running engine's process and its clients."""

    def __init__(self, home: Path, process: "subprocess.Popen[bytes]") -> None:
        self.home = home
        self.process = process

    def client(self, role: Role | None = None) -> ControlClient:
        return ControlClient(load_settings(mode="demo").socket_path, role=role)

    def ask(self, question: Question, role: Role | None = None) -> Detail:
        with self.client(role) as client:
            return client.ask(question)

    def send(
        self, name: CommandName, target: str = "", *, role: Role | None = None, **more: Any
    ) -> Reply:
        with self.client(role) as client:
            return client.send(new_command(name, target, now_ns=time.time_ns, **more))

    def until(self, what: str, found: Callable[[Snapshot], Any]) -> Any:
        """Poll the engine until `found` returns something true; return it."""
        end_s, last = time.monotonic() + DEADLINE_S, None
        while time.monotonic() < end_s:
            with contextlib.suppress(ControlError), self.client() as client:
                last = client.snapshot()
                if last is not None and (answer := found(last)):
                    return answer
            time.sleep(0.05)
        log = (self.home / "log").read_text()[-2000:]
        raise AssertionError(f"never {what}: {last and (last.state, last.jobs)}\n{log}")

    def detail(self, question: Question, found: Callable[[Any], Any]) -> Any:
        """Ask until `found` returns something true of the answer; return it."""
        end_s, said = time.monotonic() + DEADLINE_S, None
        while time.monotonic() < end_s:
            try:
                said = self.ask(question)
                if answer := found(said):
                    return answer
            except ControlError as error:
                said = error
            time.sleep(0.1)
        raise AssertionError(f"never: {said!r}")


def write_days(directory: Path) -> None:
    """Write a week of made-up minutes of both symbols."""
    directory.mkdir()
    first = np.datetime64("2018-02-26").astype("M8[m]")
    times = first + np.arange(12 * 1440)
    rng = np.random.default_rng(6)
    for symbol, price, digits in (("EURUSD", 1.2, 5), ("USDJPY", 106.0, 3)):
        closes = price * np.exp(np.cumsum(rng.normal(0.0, 2e-4, len(times))))
        lines = ["time,open,high,low,close"]
        before = price
        for at, close in zip(times, closes.tolist(), strict=True):
            high, low = max(before, close) * 1.0001, min(before, close) * 0.9999
            bar = ",".join(f"{value:.{digits}f}" for value in (before, high, low, close))
            lines.append(f"{at}:00Z,{bar}")
            before = close
        path = directory / f"{symbol}_M1_2018_TEST.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@contextlib.contextmanager
def operated(**settings: str) -> Iterator[Operated]:
    """Run an engine of its own, with more settings; what runs there is ended afterwards."""
    home = Path(tempfile.mkdtemp(prefix="pm", dir="/var/tmp"))
    (home / "portfolio.toml").write_text(PORTFOLIO, encoding="utf-8")
    write_days(home / "bars")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "STATE_DIR": str(home),
            "PORTFOLIO": str(home / "portfolio.toml"),
            "DEMO__SPEED": "600",
            "BACKTEST__DATA": str(home / "bars"),
            "ALERTS__RULE": '[{"name": "limits", "level": "warning", "source": "limit"}]',
            **settings,
        }.items():
            patch.setenv(f"PMPRO_{name}", value)
        patch.setenv("PYTHONPATH", str(REPO))
        with (home / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "pmpro_tui.launch.tui", "--daemon", "--demo"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        engine = Operated(home, process)
        try:
            yield engine
        finally:
            with contextlib.suppress(ControlError):
                engine.send("stop")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()
            process.wait(10)
            remove_database(load_settings(mode="demo"))
            shutil.rmtree(home, ignore_errors=True)


def remove_database(settings: Settings) -> None:
    """End the embedded server of an engine that was stopped or killed, and remove its data."""
    data_dir = settings.state_path / "postgresql"
    if not data_dir.exists():
        return
    EmbeddedServer(data_dir, settings.run_path).end_left(wait_s=30.0)
    cluster = Cluster(data_dir, settings.run_path, BASE_DIR)
    for path in (cluster.home, cluster.socket_dir):
        shutil.rmtree(path)
