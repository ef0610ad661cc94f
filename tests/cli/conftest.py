"""A home of its own for each test, and `pmpro` run as a user runs it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]

Pmpro = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, configuration and state, and no PMPRO_ variable but the kernel cache's."""
    for name in list(os.environ):
        if name.startswith("PMPRO_") and name != "PMPRO_CACHE_DIR":
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def pmpro(home: Path) -> Pmpro:
    """Run `pmpro …` in the test's home; never raises on an exit code."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "pmpro_tui.cli.main", *map(str, arguments)],
            cwd=home,
            env={**os.environ, "PYTHONPATH": str(REPO), "COLUMNS": "100"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run
