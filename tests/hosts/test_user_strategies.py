"""The operator's own strategies in a running engine: saved, added, broken, edited, removed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from engine.model.views.snapshot import Snapshot, StrategyView
from engine.portfolio.running import NAME
from tests.faults.engine_process import demo_home, engine, until

DEADLINE_S = 60.0
PORTFOLIO = """
[[strategy]]
name = "other"
kind = "ma_cross"
symbol = "EURUSD"
params = { fast = 5, slow = 20, stop_points = 3000 }
sizing = { risk_frac = 0.001 }
"""
# Notes every process that runs it, in the one place where that may write.
MINE = """import os
import tempfile
from pathlib import Path
import numpy as np
from strategies.base import Params, Strategy

(Path(tempfile.gettempdir()) / "pid").write_text(f"{os.getpid()}")


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
    """A demo with a directory for strategies."""
    with demo_home(PORTFOLIO) as path:
        (path / "own").mkdir()
        monkeypatch.setenv("PMPRO_STRATEGIES_DIR", str(path / "own"))
        yield path


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

    Its code runs in strategy hosts alone, never in the engine's process. Files with names that
    are no plain text are skipped and said, here and by one-shot commands.
    """
    file = home / "own" / "mine.py"
    odd = {b"odd\xff.py": r"odd\udcff.py", b"l\ni\x1b[2Jne.py": r"l\ni\x1b[2Jne.py"}
    for name in odd:
        Path(os.fsdecode(bytes(home / "own") + b"/" + name)).write_text(MINE)
    skipped = [
        f"strategy file {home}/own/{shown} is skipped: its name is no plain text; rename it"
        for shown in odd.values()
    ]
    done = pmpro("strategy", "list", "--kinds")
    assert [line for line in skipped if f"not loaded: {line}" not in done.stdout] == []
    done = pmpro("doctor", "--json")
    (finding,) = [c for c in json.loads(done.stdout)["checks"] if c["check"] == "strategies"]
    assert (finding["status"], sorted(finding["finding"].split("; strategy"))) == (
        "warn",
        sorted("; ".join(sorted(skipped)).split("; strategy")),
    )
    seen_until = partial(until, home=home, deadline_s=DEADLINE_S)
    with engine(home) as process:
        seen_until(lambda s: row(s, "other") is not None)
        for line in skipped:
            seen_until(told(line))
        file.write_text(MINE.replace("CONFIDENCE", "0.25"))
        seen_until(told("mine.py: mine"))
        done = pmpro("strategy", "add", "my", "--kind", "mine", "--symbol", "EURUSD")
        assert (done.returncode, done.stdout.strip()) == (0, "added my"), done.stderr
        seen = seen_until(confident("my", 0.25))
        assert [view.name for view in seen.strategies] == ["other", "my"]

        file.write_text(MINE.replace("CONFIDENCE", "0.75)"))
        fault = next(e for e in seen_until(told("SyntaxError")).events if "SyntaxError" in e.text)
        assert fault.level == "error"
        assert f"{file}, line 16" in fault.text
        assert fault.text.endswith("and my enters nothing until the file is right")
        seen_until(confident("my", 0.25))
        seen = seen_until(lambda s: "not what runs" in (row(s, "my") or s.strategies[0]).detail)
        assert getattr(row(seen, "my"), "detail", "") == (
            "no entries: mine.py on the disk is not what runs"
        )

        file.write_text(MINE.replace("CONFIDENCE", "0.75"))
        seen = seen_until(confident("my", 0.75))
        seen_until(lambda s: "not what runs" not in (row(s, "my") or s.strategies[0]).detail)
        other = row(seen, "other")
        assert other is not None
        assert other.state != "WARMING"

        done = pmpro("strategy", "add", "bad", "--kind", "min", "--symbol", "EURUSD")
        assert done.returncode != 0
        assert "did you mean 'mine'" in done.stderr
        hosts = {int(note.read_text()) for note in home.rglob("*.scratch/pid")}
        assert hosts
        assert process.pid not in hosts
        assert os.getpid() not in hosts

        held = seen_until(lambda s: any(p.owner == "my" for p in s.positions))
        assert row(held, "my") is not None
    assert (home / "demo" / NAME).exists()

    with engine(home):
        seen_until(confident("my", 0.75))
        assert pmpro("strategy", "remove", "my").returncode == 3
        assert pmpro("strategy", "remove", "my", "--flatten").returncode == 0
        gone = seen_until(lambda s: row(s, "my") is None)
        assert not [p for p in gone.positions if p.owner != "other"]
