"""What runs or decides is the engine's user's or root's: an engine refuses the rest in a line."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.hosts.files import FileWatch, skipped_files, strategy_files
from engine.model.errors import ConfigError, StrategyError
from engine.runtime.engine import Engine
from engine.settings.settings import load_settings
from strategies.loader import load_file
from tests.child.test_child import wait_until
from tests.conftest import REPO
from tests.faults.engine_process import demo_home
from tests.whole.operated import PORTFOLIO

STRANGER = 54_321
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
MINE = """
from strategies.base import Params, Strategy
class Mine(Strategy):
    kind = "mine"
    params_type = Params
    warmup = 2
    def evaluate(self, bars): return self.signals([0] * bars.n)
"""


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A demo with a configuration, a strategy, and a file of secrets, all as they should be."""
    with demo_home(PORTFOLIO) as path:
        for name in ("etc", "own", "secrets", "run"):
            (path / name).mkdir(mode=0o755)
        (path / "own" / "mine.py").write_text(MINE, encoding="utf-8")
        secret = path / "secrets" / "tokens"
        secret.write_text(f"ann sha256:{'0' * 64}\n", encoding="utf-8")
        secret.chmod(0o600)
        text = f'mode = "demo"\nstrategies_dir = "{path}/own"\nrun_dir = "{path}/run"\n'
        text += f'[control]\ntokens_file = "{secret}"\n'
        (path / "etc" / "config.toml").write_text(text, encoding="utf-8")
        (path / "demo").mkdir(mode=0o700)
        for file in path.rglob("*.*"):
            file.chmod(0o644)
        monkeypatch.setenv("PMPRO_CONFIG", str(path / "etc" / "config.toml"))
        yield path


def loosen(path: Path) -> str:
    path.chmod(0o666 if path.is_file() else 0o777)
    return f"{path} has mode {'666' if path.is_file() else '777'}"


def give_away(path: Path) -> str:
    os.chown(path, STRANGER, STRANGER)
    return f"{path} has mode .* belongs to uid {STRANGER}"


DECIDES = [
    "etc/config.toml",
    "etc",
    "portfolio.toml",
    "own",
    "own/mine.py",
    "demo",
    "run",
    "secrets",
]


@needs_root
@pytest.mark.parametrize("how", [loosen, give_away])
@pytest.mark.parametrize("what", DECIDES)
def test_an_engine_refuses_what_others_could_change(
    home: Path, what: str, how: Callable[[Path], str]
) -> None:
    """Configuration, portfolio, strategies, state, run directory, secrets, and where they lie: one
    line with path, mode, owner and command, before anything was started."""
    said = how(home / what)
    with pytest.raises(ConfigError, match=said) as error:
        Engine(load_settings()).start()
    assert "\n" not in str(error.value)
    assert ": chmod go-w " in str(error.value) or ": chown " in str(error.value)
    assert not (home / "demo" / "logs" / "terminal-host.log").exists()


@needs_root
def test_the_daemon_ends_with_that_line(home: Path) -> None:
    """Exit code 2: something must be changed."""
    loosen(home / "own" / "mine.py")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pmpro_tui.launch.tui", "--daemon"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"chmod go-w {home}/own/mine.py" in line


def test_a_file_that_becomes_everybodys_is_not_loaded(home: Path) -> None:
    """While an engine runs, its change is left out and said; once it is mended it is taken."""
    directory, file = home / "own", home / "own" / "mine.py"
    news: list[dict[str, bytes | None]] = []
    said: list[str] = []
    watch = FileWatch(directory, {str(file): file.read_bytes()}, news.append, said.append)
    file.write_text(MINE + "# worse\n", encoding="utf-8")
    file.chmod(0o666)
    watch.look()
    watch.look()
    assert news == []
    assert len(said) == 1
    assert f"{file} is skipped: {file} has mode 666" in said[0]
    assert strategy_files(directory) == []
    assert skipped_files(directory) == said
    file.chmod(0o644)
    watch.look()
    watch.look()
    assert list(news[-1]) == [str(file)]


def test_research_runs_no_file_of_everybodys_either(home: Path) -> None:
    """A strategy's code runs as whoever tests it."""
    file = home / "own" / "mine.py"
    loosen(file)
    with pytest.raises(StrategyError, match=f"{file} is not run: {file} has mode 666"):
        load_file(file)


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_compiled_kernels_of_everybodys_are_not_loaded(tmp_path: Path, depth: int) -> None:
    """Machine code in the cache runs as this process: one file or directory is enough."""
    env = os.environ | {"PMPRO_CACHE_DIR": str(tmp_path / "cache")}
    script = "import engine.kernels.cache as k; print(k.cache_dir())"

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-P", *words],
            env=env | {"PYTHONPATH": str(REPO)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    made = run("-c", script)
    assert made.returncode == 0
    cache = Path(made.stdout.strip())
    assert cache.stat().st_mode & 0o777 == 0o700
    deep = cache / "part"
    deep.mkdir(mode=0o755)
    (deep / "kernel.nbi").touch()
    said = loosen([cache, deep, deep / "kernel.nbi"][depth])
    done = run("-m", "pmpro_tui.cli.main", "compile")
    assert done.returncode == 2
    assert done.stderr.startswith(f"pmpro: compiled kernels: {said}")
    assert done.stderr.count("\n") == 1


@needs_root
def test_a_kill_does_not_fail_for_a_mode(home: Path) -> None:
    """A configuration that others could change stops what adds risk, and warns what takes it away:
    it can lead to an engine of this user's or root's, and to no other."""
    loosen(home / "etc" / "config.toml")

    def pmpro(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-P", "-m", "pmpro_tui.cli.main", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    for words in (["resume", "--yes"], ["enable", "x"], ["limit"], ["stop"]):
        done = pmpro(*words)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "others may write it: chmod go-w" in done.stderr
    for words in (
        ["halt"],
        ["kill", "x"],
        ["flatten", "--yes"],
        ["close", "7", "--yes"],
        ["disable", "x"],
        ["status"],
    ):
        warning, end = pmpro(*words).stderr.splitlines()
        assert warning.startswith("pmpro: warning: configuration ")
        assert end.startswith("pmpro: no engine is running")
    settings = load_settings(lenient=True)
    os.chown(home / "demo", STRANGER, STRANGER)
    assert settings.owners == frozenset()


@needs_root
def test_whom_the_operator_trusts_may_own_files(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deployment's user owns the strategies: PMPRO_TRUST names it, and nobody else."""
    give_away(home / "own")
    give_away(home / "own" / "mine.py")
    monkeypatch.setenv("PMPRO_TRUST", f"{STRANGER}")
    assert load_file(home / "own" / "mine.py") == ["mine"]
    monkeypatch.setenv("PMPRO_TRUST", f"{STRANGER + 1}")
    assert strategy_files(home / "own") == []


def test_a_watch_that_fails_says_so_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Edits that nobody notices are said: what trades is no longer what lies there."""
    said: list[str] = []
    heard = threading.Event()

    def hear(text: str) -> None:
        said.append(text)
        heard.set()

    monkeypatch.setattr("engine.hosts.files.POLL_S", 0.01)
    watch = FileWatch(home / "own", {}, lambda news: None, hear)
    looks = []

    def fail() -> None:
        looks.append(1)
        raise OSError("stale file handle")

    monkeypatch.setattr(watch, "look", fail)
    watch.start()
    assert heard.wait(20)
    assert wait_until(lambda: len(looks) > 5, 20.0)
    watch.close()
    watch._thread.join(20)
    text = "strategy files are not looked at, edits are not taken: OSError: stale file handle"
    assert said == [text]
