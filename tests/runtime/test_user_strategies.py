"""The operator's own strategies in a running engine: saved, added, broken, edited, removed."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.control.client import ControlClient
from engine.model.errors import ControlError
from engine.model.snapshot import Snapshot, StrategyView
from engine.runtime.running_portfolio import NAME
from engine.runtime.settings import load_settings
from tests.conftest import REPO

DEADLINE_S = 60.0
PORTFOLIO = """
[[strategy]]
name = "other"
kind = "ma_cross"
symbol = "EURUSD"
params = { fast = 5, slow = 20, stop_points = 3000 }
sizing = { risk_frac = 0.001 }
"""
# Notes every process that runs it.
MINE = """import os
from pathlib import Path
import numpy as np
from strategies.base import Params, Strategy

with (Path(__file__).parent / "pids").open("a") as file:
    file.write(f"{os.getpid()}\\n")


class Mine(Strategy):
    kind = "mine"
    params_type = Params
    warmup = 2

    def evaluate(self, bars):
        signals = self.signals(np.ones(bars.n, np.int8), np.full(bars.n, CONFIDENCE))
        return signals._replace(stop_distance=np.full(bars.n, 0.25))  # never reached
"""


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A demo at 600 times with a directory for strategies, without a database."""
    path = Path(tempfile.mkdtemp(prefix="pm"))
    (path / "portfolio.toml").write_text(PORTFOLIO, encoding="utf-8")
    (path / "own").mkdir()
    for name, value in {
        "PMPRO_STATE_DIR": str(path),
        "PMPRO_PORTFOLIO": str(path / "portfolio.toml"),
        "PMPRO_STRATEGIES_DIR": str(path / "own"),
        "PMPRO_DEMO__SPEED": "600",
        "PMPRO_DATABASE__EMBEDDED": "false",
        "PMPRO_DATABASE__URL": "postgresql://nobody@127.0.0.1:1/none",
        "PYTHONPATH": str(REPO),
    }.items():
        monkeypatch.setenv(name, value)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def engine(home: Path) -> Iterator[int]:
    """A headless engine's process id; whatever is left of it in the end is killed."""
    with (home / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "pmpro_tui.cli.tui", "--daemon", "--demo"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait(10)


def until(found: Callable[[Snapshot], bool]) -> Snapshot:
    """Return the first snapshot with something in it."""
    end_s = time.monotonic() + DEADLINE_S
    seen = None
    while time.monotonic() < end_s:
        with (
            contextlib.suppress(ControlError),
            ControlClient(load_settings(mode="demo").socket_path) as client,
        ):
            seen = client.snapshot()
            if seen is not None and seen.state == "ACTIVE" and found(seen):
                return seen
        time.sleep(0.05)
    raise AssertionError(seen and (seen.strategies, seen.events))


def row(snapshot: Snapshot, name: str) -> StrategyView | None:
    """Return a strategy's row."""
    return next((view for view in snapshot.strategies if view.name == name), None)


def confident(name: str, confidence: float) -> Callable[[Snapshot], bool]:
    """Tell whether a strategy says what one version of its file says."""

    def look(snapshot: Snapshot) -> bool:
        view = row(snapshot, name)
        return view is not None and view.state == "ON" and view.confidence == confidence

    return look


def told(text: str) -> Callable[[Snapshot], bool]:
    """Tell whether an event says so."""
    return lambda snapshot: any(text in event.text for event in snapshot.events)


def pmpro(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a one-shot command against the demo."""
    command = [sys.executable, "-P", "-m", "pmpro_tui.cli.main", *arguments, "--mode", "demo"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.timeout(240)
def test_a_strategy_of_ones_own_lives_in_a_running_engine(home: Path) -> None:
    """Saved, added, edited and removed without a restart; what is broken changes nothing.

    Its code runs in strategy hosts alone, never in the engine's process.
    """
    file = home / "own" / "mine.py"
    with engine(home) as pid:
        until(lambda s: row(s, "other") is not None)
        file.write_text(MINE.replace("CONFIDENCE", "0.25"))
        until(told("mine.py: mine"))
        done = pmpro("strategy", "add", "my", "--kind", "mine", "--symbol", "EURUSD")
        assert (done.returncode, done.stdout.strip()) == (0, "added my"), done.stderr
        seen = until(confident("my", 0.25))
        assert [view.name for view in seen.strategies] == ["other", "my"]

        file.write_text(MINE.replace("CONFIDENCE", "0.75)"))
        fault = next(e for e in until(told("SyntaxError")).events if "SyntaxError" in e.text)
        assert fault.level == "error"
        assert f"{file}, line 16" in fault.text
        until(confident("my", 0.25))

        file.write_text(MINE.replace("CONFIDENCE", "0.75"))
        seen = until(confident("my", 0.75))
        other = row(seen, "other")
        assert other is not None
        assert other.state != "WARMING"

        done = pmpro("strategy", "add", "bad", "--kind", "min", "--symbol", "EURUSD")
        assert done.returncode != 0
        assert "did you mean 'mine'" in done.stderr
        hosts = {int(line) for line in (file.parent / "pids").read_text().split()}
        assert hosts
        assert pid not in hosts
        assert os.getpid() not in hosts

        held = until(lambda s: any(p.owner == "my" for p in s.positions))
        assert row(held, "my") is not None
    assert (home / "demo" / NAME).exists()

    with engine(home):
        until(confident("my", 0.75))
        assert pmpro("strategy", "remove", "my").returncode == 3
        assert pmpro("strategy", "remove", "my", "--flatten").returncode == 0
        gone = until(lambda s: row(s, "my") is None)
        assert not [p for p in gone.positions if p.owner != "other"]
