"""A whole engine where nothing is as usual: no name, no home, no locale, no place to stand."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.files.places import private_temporary
from engine.kernels.cache import cache_dir
from engine.store.processes import server_processes
from tests.conftest import REPO
from tests.store.servers import NAMELESS, as_user, system_python
from tests.whole.operated import PORTFOLIO

DEADLINE_S = 90.0


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory of a nameless user's, with compiled kernels that he may use."""
    path = Path(tempfile.mkdtemp(prefix="pm", dir="/var/tmp"))
    (path / "portfolio.toml").write_text(PORTFOLIO, encoding="utf-8")
    shutil.copytree(cache_dir(), path / "cache" / "kernels" / cache_dir().name)
    for at in (path, *path.rglob("*")):
        os.chown(at, NAMELESS, NAMELESS)
    yield path
    shutil.rmtree(path)
    shutil.rmtree(private_temporary(NAMELESS), ignore_errors=True)


def command(home: Path, *words: str) -> dict[str, Any]:
    """Return how a command is run from a deleted directory, with hardly any environment."""
    user = as_user(REPO, NAMELESS)
    user["env"] = {
        "PYTHONPATH": f"{REPO}:{user['env']['PYTHONPATH']}",
        "PMPRO_STATE_DIR": str(home / 'state, of "Zoë\'s"'),
        "PMPRO_CACHE_DIR": str(home / "cache"),
        "PMPRO_PORTFOLIO": str(home / "portfolio.toml"),
        "PMPRO_DEMO__SPEED": "600",
        "LC_ALL": "xx_XX",
        "PYTHONUTF8": "0",
    }
    stand = f"umask 0777; mkdir -m 700 '{home}/gone' && cd '{home}/gone' && rmdir '{home}/gone'"
    shell = ["/bin/sh", "-c", f'{stand}; exec "$0" "$@"', system_python(), "-P", *words]
    return {"args": shell, "stdin": subprocess.DEVNULL, **user}


def pmpro(home: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    asked = command(home, "-m", "pmpro_tui.cli.main", *words)
    return subprocess.run(**asked, capture_output=True, text=True, check=False, timeout=60)


def until(home: Path, what: str, found: str, value: Any = None) -> dict[str, Any]:
    """Return the first status in which a field is as wanted."""
    end_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < end_s:
        done = pmpro(home, "status", "--json")
        if done.returncode == 0:
            status: dict[str, Any] = json.loads(done.stdout)
            if status[found] if value is None else status[found] == value:
                return status
        time.sleep(0.2)
    raise AssertionError(f"never {what}: {done}\n{(home / 'log').read_text()[-2000:]}")


@pytest.mark.timeout(300)
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_a_nameless_user_trades_from_a_deleted_directory(home: Path) -> None:
    """With a missing locale, no home, a mask that closes every file and a comma in the path, an
    engine trades with its database, obeys the kill switch, and stops with all its processes."""
    version = [system_python(), "-c", "import sys; print(sys.version_info[:2])"]
    said = subprocess.run(version, capture_output=True, text=True, check=True).stdout.strip()
    if said != str(tuple(sys.version_info[:2])) or not os.access(REPO, os.X_OK):
        pytest.skip("another user has no Python for these packages")
    with (home / "log").open("ab") as log:
        engine = subprocess.Popen(
            **command(home, "-m", "pmpro_tui.launch.tui", "--daemon", "--demo"),
            stdout=log,
            stderr=log,
        )
    try:
        until(home, "in the market", "positions")
        until(home, "in the database", "database", "ok")
        data = next(home.glob("state*")) / "demo" / "postgresql" / "data"
        assert {p.uids().real for p in server_processes(data)} == {NAMELESS}
        assert pmpro(home, "halt").stdout == "entries halted\n"
        assert pmpro(home, "flatten", "--yes").returncode == 0
        until(home, "flat", "positions", [])
        text = (home / "log").read_text()
        assert '"error"' not in text
        assert '"critical"' not in text
        done = pmpro(home, "stop", "--yes")
        assert (done.returncode, done.stderr) == (0, "")
        assert engine.wait(30) == 0
        assert server_processes(data) == []
    finally:
        with contextlib.suppress(ProcessLookupError):
            engine.kill()
        engine.wait()
