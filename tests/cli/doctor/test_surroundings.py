"""Commands work wherever the shell stands, whoever runs it, and whatever it has set."""

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

from engine.files import places
from engine.model.errors import ConfigError
from engine.settings.settings import load_settings
from tests.cli.conftest import REPO
from tests.cli.test_engine import AnsweringEngine, sent
from tests.control.control_engine import make_snapshot

COMMANDS = (["halt"], ["flatten", "--yes"], ["kill", "eur"], ["status"], ["stop", "--yes"])


def pmpro(
    *words: str, cwd: Path | None = None, before: str = "", **env: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a command with this environment alone, in a shell that does `before` first."""
    command = [sys.executable, "-P", "-m", "pmpro_tui.cli.main", *words]
    return subprocess.run(
        ["/bin/sh", "-c", f'{before}\nexec "$0" "$@"', *command],
        cwd=cwd,
        env={"PYTHONPATH": str(REPO), "PATH": os.environ["PATH"]} | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def run_dir() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="pm", dir="/var/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def engine(home: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AnsweringEngine]:
    """A scripted engine; `places_of` it are where this home's commands look."""
    monkeypatch.setenv("PMPRO_RUN_DIR", str(run_dir))
    engine = AnsweringEngine(load_settings().socket_path)
    engine.now_ns = time.time_ns()
    engine.current = make_snapshot()
    engine.server.start()
    yield engine
    engine.server.close()


def gone(tmp_path: Path) -> str:
    """Return what makes a shell stand in a directory that was deleted."""
    return f"mkdir '{tmp_path}/gone' && cd '{tmp_path}/gone' && rmdir '{tmp_path}/gone'"


def test_the_kill_switch_works_from_a_deleted_directory(
    engine: AnsweringEngine, tmp_path: Path, run_dir: Path
) -> None:
    """A redeploy under the shell keeps no command from its engine."""
    env = {"PMPRO_RUN_DIR": str(run_dir), "XDG_STATE_HOME": str(tmp_path / "state")}
    for words in COMMANDS[:-1]:
        done = pmpro(*words, before=gone(tmp_path), **env)
        assert (done.returncode, done.stderr) == (0, b"")
    assert sent(engine) == [("halt", ""), ("flatten", ""), ("kill", "eur")]
    config = tmp_path / "c.toml"
    config.write_text(f'run_dir = "{run_dir}"\n', encoding="utf-8")
    done = pmpro("halt", "--config", str(config), before=gone(tmp_path), **env)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("words", "env"),
    [
        (["halt", "--config", "c.toml"], {}),
        (["status"], {"PMPRO_STATE_DIR": "state"}),
        (["init", "here"], {}),
        (["strategy", "check", "mine.py"], {}),
    ],
)
def test_what_is_relative_to_a_deleted_directory_is_refused(
    tmp_path: Path, words: list[str], env: dict[str, str]
) -> None:
    """In one line that says what to do; nothing is looked for elsewhere."""
    done = pmpro(*words, before=gone(tmp_path), HOME=str(tmp_path), **env)
    assert done.returncode == 2
    assert done.stderr.startswith(b"pmpro: the working directory cannot be used (No such file")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"LC_ALL": "C"},
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "xx_XX", "LANG": "yy_YY.KOI8-R"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"},
    ],
)
def test_any_locale_reaches_the_same_engine(
    engine: AnsweringEngine, tmp_path: Path, run_dir: Path, env: dict[str, str]
) -> None:
    """Without a single variable, and in locales that are missing or not UTF-8; texts are whole."""
    engine.current = make_snapshot(server="Börse–7")
    config = tmp_path / "é文.toml"
    config.write_text(f'run_dir = "{run_dir}"\nstate_dir = "{tmp_path}/ü"\n', encoding="utf-8")
    settings = load_settings(config)
    other = AnsweringEngine(settings.socket_path)
    other.now_ns = time.time_ns()
    other.current = engine.current
    other.server.start()
    try:
        done = pmpro("status", "--config", str(config), HOME=str(tmp_path), **env)
        assert (done.returncode, done.stderr) == (0, b"")
        assert "Börse–7" in done.stdout.decode()
        named = pmpro("status", HOME="/", PMPRO_CONFIG=str(config), **env)
        assert named.returncode == 0
    finally:
        other.server.close()


def test_a_home_is_an_absolute_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty or relative $HOME or $XDG_… is none: state never depends on where one stands."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", "state")
    monkeypatch.setenv("XDG_CONFIG_HOME", "")
    assert load_settings().state_root == tmp_path / ".local" / "state" / "pmpro"
    monkeypatch.setenv("HOME", "relative")
    assert places.home().is_absolute()
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.geteuid", lambda: 54_321)
    with pytest.raises(ConfigError, match=r"no entry for uid 54321: set HOME .*PMPRO_STATE_DIR"):
        places.home()
    with pytest.raises(ConfigError, match="no user 'no-such-user' on this box"):
        places.expanded(Path("~no-such-user/x"))
    settings = load_settings(overrides={"state_dir": tmp_path / "own"})
    assert settings.file is None
    assert settings.strategies_path == tmp_path / "own" / "strategies"


@pytest.mark.parametrize(("mask", "mode"), [("0000", 0o755), ("0777", 0o700), ("0027", 0o750)])
def test_no_mask_opens_or_closes_files(tmp_path: Path, mask: str, mode: int) -> None:
    """What is made is its owner's to read and write, and nobody else's to write."""
    done = pmpro("init", str(tmp_path / "made"), before=f"umask {mask}", HOME=str(tmp_path))
    assert done.returncode == 0
    assert (tmp_path / "made").stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("daemon", [True, False])
def test_too_few_open_files_are_said_before_an_engine_starts(tmp_path: Path, daemon: bool) -> None:
    """A low limit is raised where it may be; else an engine is refused, and a command works."""
    words = ["-m", "pmpro_tui.launch.tui", "--daemon", "--demo"] if daemon else ["-m"]
    words = words if daemon else ["-m", "pmpro_tui.cli.main", "halt"]
    done = subprocess.run(
        ["/bin/sh", "-c", 'ulimit -n 40; exec "$0" "$@"', sys.executable, "-P", *words],
        env={"PYTHONPATH": str(REPO), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if daemon:
        assert done.returncode == 2
        assert "may open 40 files, an engine needs 256: `ulimit -n 4096`" in done.stderr
    else:
        assert "no engine is running" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_low_limit_is_raised(tmp_path: Path) -> None:
    """`ulimit -Sn` of a shell is not what the box allows."""
    script = "from pmpro_tui.cli.doctor.surroundings import *; settle(); print(open_files())"
    done = subprocess.run(
        ["/bin/sh", "-c", 'ulimit -Sn 64; exec "$0" "$@"', sys.executable, "-P", "-c", script],
        env={"PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) >= 1024


def test_a_document_survives_any_locale(tmp_path: Path) -> None:
    """`--json` is UTF-8 whatever the locale is."""
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    done = pmpro("doctor", "--json", HOME=str(tmp_path / "ü"), **env)
    assert "ü" in json.dumps(json.loads(done.stdout), ensure_ascii=False)
