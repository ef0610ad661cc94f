"""Consoles come and go on real terminals; the engine stays."""

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

import pytest

from engine.control.client import ControlClient, new_command
from engine.model.errors import ControlError
from engine.settings.settings import load_settings
from tests.console.terminal import REPO, Terminal

CONSOLE = ["-m", "tests.console.fake_console"]


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state directory of a short name; an engine left running there is stopped."""
    path = Path(tempfile.mkdtemp(prefix="pm", dir="/var/tmp"))
    monkeypatch.setenv("PMPRO_STATE_DIR", str(path))
    yield path
    with engine() as client, contextlib.suppress(ControlError):
        client.send(new_command("stop", now_ns=time.time_ns))
    shutil.rmtree(path, ignore_errors=True)


def engine() -> ControlClient:
    return ControlClient(load_settings(mode="demo").socket_path)


def terminal(state: Path, *options: str, under_shell: bool = True, **env: str) -> Terminal:
    return Terminal(
        [*CONSOLE, *options],
        env={"PMPRO_STATE_DIR": str(state)} | env,
        under_shell=under_shell,
    )


def engine_pid(state: Path) -> int:
    return int((state / "demo" / "pid").read_text())


def commands(state: Path) -> list[list[object]]:
    path = state / "demo" / "commands.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_consoles_come_and_go_and_the_engine_stays(state: Path) -> None:
    """Hanging up, ctrl+z and q end or stop a console, never the engine it started."""
    with terminal(state, "--demo") as first:
        first.read_until("eur-ma-14")
        pid = engine_pid(state)
        first.close()
        first.wait_gone(20)
    with engine() as client:
        assert client.snapshot() is not None

    with terminal(state, "--demo") as second:
        second.read_until("eur-ma-14")
        assert engine_pid(state) == pid
        second.press("\x1a")
        second.wait_stopped()
        with engine() as client:
            assert client.snapshot() is not None
        second.resume()
        second.press("jK")
        second.read_until("kill done")
        second.press("q")
        assert second.wait() == 0
        assert "the engine keeps running" in second.text
    assert commands(state) == [["kill", "eur-rsi-17", os.geteuid()]]

    with terminal(state, "--demo", "--readonly") as third:
        third.read_until("READ-ONLY")
        third.press("K")
        third.read_until("read-only")
        third.press("q")
        assert third.wait() == 0
    assert engine_pid(state) == pid
    os.kill(pid, 0)


def test_stop_ends_engine_and_console(state: Path) -> None:
    """Q with the typed word stops the engine; the console follows with one line."""
    with terminal(state, "--demo") as console:
        console.read_until("eur-ma-14")
        console.press("Q")
        console.read_until("Stop the engine?")
        console.press("stop\r")
        assert console.wait() == 0
        assert "the engine has stopped" in console.text
    assert commands(state) == [["stop", "", os.geteuid()]]


def test_an_engine_that_cannot_start_says_why(state: Path) -> None:
    """The reason is one line on the terminal after the console is gone, exit code 1."""
    with terminal(state, "--demo", FAKE_DAEMON_FAILS="1") as console:
        assert console.wait() == 1
        assert "pmpro-tui: no luck" in console.text


def test_a_wrong_setting_says_why(state: Path) -> None:
    """A configuration error is one line and exit code 2; no engine is started."""
    bad = state / "bad.toml"
    bad.write_text("mode = 'demo'\nspeling = 1\n")
    with terminal(state, "--config", str(bad)) as console:
        assert console.wait() == 2
        assert "speling" in console.text.replace("\n", " ")
    assert not (state / "demo").exists()


def test_without_a_terminal_it_says_so() -> None:
    """A pipe is no terminal: one line, exit code 2, nothing started."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pmpro_tui.launch.tui", "--demo"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(REPO)},
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("pmpro-tui: the console needs a terminal")
    assert done.stderr.count("\n") == 1


IMPORTS = """
import sys
import pmpro_tui.launch.tui
import pmpro_tui.launch.attach
import pmpro_tui.console.app
import pmpro_tui.console.draw.dialogs
import engine.settings.settings
from textual.widgets import Button, Input, Static
heavy = {"numba", "pandas", "sqlalchemy", "talib", "apprise", "pyarrow", "numpy", "typer"}
print(sorted(heavy & set(sys.modules)))
"""


def test_the_console_imports_nothing_heavy() -> None:
    """First paint waits for none of the engine's packages."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS],
        capture_output=True,
        text=True,
        cwd=REPO,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "[]"
