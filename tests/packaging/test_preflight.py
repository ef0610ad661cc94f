"""What a fresh box lacks is said in one line with its remedy, before anything is installed."""

import ast
import fcntl
import os
import pty
import runpy
import struct
import subprocess
import sys
import termios
from pathlib import Path
from types import SimpleNamespace

import pytest

REPO = Path(__file__).resolve().parents[2]
SCRIPT = REPO / ".ci" / "preflight.py"
preflight = SimpleNamespace(**runpy.run_path(str(SCRIPT)))


def run_on_terminal(columns: int, lines: int, term: str = "xterm") -> tuple[int, str]:
    """Return preflight's exit code and stderr on a terminal of that size."""
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        done = subprocess.run(
            [sys.executable, "-I", SCRIPT, "--terminal"],
            stdin=theirs,
            stdout=theirs,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
            env={**os.environ, "TERM": term},
        )
    finally:
        os.close(ours)
        os.close(theirs)
    return done.returncode, done.stderr


@pytest.mark.parametrize("size", [(80, 24), (200, 50), (0, 0)])
def test_a_terminal_of_80_by_24_is_enough(size: tuple[int, int]) -> None:
    """A usable terminal, or one that does not tell its size, passes without a word."""
    assert run_on_terminal(*size) == (0, "")


@pytest.mark.parametrize(
    ("size", "term", "part"),
    [
        ((79, 24), "xterm", "the terminal has 79x24: enlarge it to 80x24"),
        ((80, 23), "xterm", "the terminal has 80x23"),
        ((80, 24), "dumb", "export TERM=xterm-256color"),
    ],
)
def test_a_poor_terminal_is_one_line_with_its_remedy(
    size: tuple[int, int], term: str, part: str
) -> None:
    """The console is not started where it cannot be read."""
    code, text = run_on_terminal(*size, term=term)
    assert code == 1
    assert text.startswith("preflight: ")
    assert part in text
    assert text.count("\n") == 1


def test_without_a_terminal_the_daemon_is_offered() -> None:
    """A pipe or a CI job is told about the headless way."""
    done = subprocess.run(
        [sys.executable, "-I", SCRIPT, "--terminal"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "--daemon" in done.stderr


@pytest.mark.parametrize("version", [(3, 10, 0), (3, 15, 0), (3, 6, 0)])
def test_other_pythons_are_told_which_to_install(
    version: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python below 3.11 and above 3.14 is refused."""
    monkeypatch.setattr(sys, "version_info", version)
    assert "install Python 3.11 to 3.14" in (preflight.python_fault() or "")


def test_a_full_disk_is_noticed_before_the_download(tmp_path: Path) -> None:
    """Room is asked for in advance, with how much there is."""
    assert preflight.disk_fault(tmp_path, needed_gb=0.0) is None
    assert "make room for 1000000000 GB" in (preflight.disk_fault(tmp_path, 1e9) or "")


def test_a_python_without_ensurepip_is_told_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian ships Python without venv's half."""
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    assert "-venv`" in (preflight.venv_fault() or "")


def test_preflight_runs_on_a_python_that_is_too_old() -> None:
    """An old Python must be able to read the script that says it is too old."""
    tree = ast.parse(SCRIPT.read_text(), feature_version=(3, 6))
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert imported <= {"os", "shutil", "sys", "Path", "ensurepip", "venv"}
