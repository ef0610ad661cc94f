"""`pmpro` as a user runs it: exit codes, one-line errors, JSON alone on stdout."""

import json
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from engine.model.errors import ConfigError, OutcomeUnknown, Refused, StoreError
from engine.portfolio.compile import compile_portfolio
from engine.portfolio.file import read_portfolio
from engine.settings.settings import demo_portfolio, load_settings
from pmpro_tui.cli.errors import exit_code, one_line
from pmpro_tui.cli.init import write_new
from strategies.registry import create
from tests.cli.conftest import REPO, Pmpro

COMMANDS = ("status", "stop", "halt", "resume", "flatten", "kill x", "enable x", "disable x")
HEAVY = ("numba", "pandas", "sqlalchemy", "talib", "apprise", "textual", "numpy")


def assert_one_line(done: subprocess.CompletedProcess[str], code: int) -> None:
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("pmpro: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_without_an_engine_each_command_fails_in_one_line(command: str, pmpro: Pmpro) -> None:
    """A command that reached nobody says so with exit code 1, also with --json."""
    done = pmpro(*command.split(), "--json")
    if command == "status":  # that nobody answers is its answer
        told = json.loads(done.stdout)
        assert (told["word"], told["age_s"]) == ("LOST", None)
        done.stdout = ""
    assert_one_line(done, 1)
    assert "no engine is running" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["status", "--nonsense"], "--nonsense"),
        (["kill"], "Missing argument"),
        (["status", "--config", "nowhere.toml"], "nowhere.toml: no such file"),
        (["status", "--mode", "lve"], "command line: \"mode\" must be 'demo', 'paper' or 'live'"),
    ],
)
def test_wrong_use_is_one_line_with_exit_code_2(
    arguments: list[str], part: str, pmpro: Pmpro
) -> None:
    """Scripts tell a mistake of theirs from a failure of ours."""
    done = pmpro(*arguments)
    assert_one_line(done, 2)
    assert part in done.stderr


def test_exit_codes_tell_what_the_caller_must_do() -> None:
    """2: change something; 3: a rule said no; 1: it failed."""
    assert exit_code(ConfigError("")) == 2
    assert exit_code(Refused("")) == 3
    assert [exit_code(e) for e in (StoreError(""), OutcomeUnknown(""), ValueError(""))] == [1] * 3
    assert one_line(StoreError("a\n  b")) == "a b"
    assert one_line(ValueError("x")).startswith("internal error, ValueError: x")


def test_a_traceback_comes_only_with_debug(pmpro: Pmpro) -> None:
    """--debug may stand anywhere."""
    assert "Traceback" in pmpro("status", "--debug", "--config", "nowhere.toml").stderr
    assert "Traceback" in pmpro("--debug", "status").stderr


def test_init_writes_what_pmpro_reads(pmpro: Pmpro, home: Path) -> None:
    """A fresh box is set up by one command: private config, portfolio that trades."""
    done = pmpro("init", "--json")
    written = json.loads(done.stdout)

    config, portfolio = Path(written["config"]), Path(written["portfolio"])
    assert config == home / "config" / "pmpro" / "config.toml"
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    settings = load_settings()
    assert settings.file == config
    assert settings.portfolio_path == portfolio
    assert read_portfolio(portfolio) == read_portfolio(demo_portfolio())
    assert sorted(p.name for p in config.parent.iterdir()) == ["config.toml", "portfolio.toml"]


@pytest.mark.parametrize("present", ["config.toml", "portfolio.toml"])
def test_init_overwrites_nothing_and_leaves_nothing_half_written(
    present: str, pmpro: Pmpro, home: Path
) -> None:
    """With one file there, both stay as they were."""
    (home / present).write_text("mine")
    done = pmpro("init", ".")
    assert_one_line(done, 2)
    assert f"{present} exists" in done.stderr
    assert [p.name for p in home.iterdir()] == [present]
    assert (home / present).read_text() == "mine"


def test_init_takes_back_the_first_file_when_the_second_fails(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name taken between check and write leaves no file of ours behind."""
    first, second = home / "a" / "config.toml", home / "a" / "portfolio.toml"
    second.parent.mkdir()
    second.write_text("theirs")
    monkeypatch.setattr(Path, "exists", lambda _: False)
    with pytest.raises(ConfigError.__mro__[1], match="portfolio"):
        write_new({first: ("1", 0o600), second: ("2", 0o644)})
    assert [p.name for p in second.parent.iterdir()] == ["portfolio.toml"]
    assert second.read_text() == "theirs"


def test_the_demo_portfolio_is_24_strategies_of_known_kinds_on_5_symbols() -> None:
    """What is packaged runs: kinds, parameters, books and symbols are all valid."""
    portfolio = read_portfolio(demo_portfolio())
    compiled = compile_portfolio(portfolio)
    assert len(compiled.strategies) == 24
    assert [s.name for s in compiled.symbols] == ["EURUSD", "GBPUSD", "USDJPY", "AUDUSD", "XAUUSD"]
    assert {b.combine for b in portfolio.book} == {"weighted", "vote"}
    assert len({s.kind for s in portfolio.strategy}) == 6
    for s in portfolio.strategy:
        create(s.kind, s.params, symbol=s.symbol, timeframe=s.timeframe, point=1e-5, name=s.name)


def test_doctor_reports_every_check_as_json(pmpro: Pmpro) -> None:
    """Machines get one document with a finding for each check, also when one fails."""
    report = json.loads(pmpro("doctor", "--json").stdout)
    checks = {c["check"]: c for c in report["checks"]}
    assert report["ok"] == all(c["status"] != "fail" for c in report["checks"])
    for name in (
        "python",
        "ta-lib",
        "settings",
        "portfolio",
        "state",
        "disk",
        "socket",
        "database",
    ):
        assert checks[name]["status"] in ("ok", "warn"), checks[name]


def test_doctor_finds_what_is_wrong(
    pmpro: Pmpro, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An open state directory, an open secret and a dead database are each a failed check."""
    (home / "state" / "pmpro" / "demo").mkdir(parents=True, mode=0o755)
    (home / "state" / "pmpro" / "demo").chmod(0o757)
    monkeypatch.setenv("PMPRO_DATABASE__EMBEDDED", "false")
    monkeypatch.setenv("PMPRO_DATABASE__URL", "postgresql://u:hunter2@127.0.0.1:9/x")
    done = pmpro("doctor", "--json")
    checks = json.loads(done.stdout)["checks"]
    failed = {c["check"]: c for c in checks if c["status"] == "fail"}
    assert done.returncode == 1
    assert "mode 757" in failed["owners"]["finding"]
    assert "mode 757" in {c["check"]: c for c in checks}["state"]["finding"]
    assert "database" in failed
    assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.parametrize("arguments", ["--help", "status"])
def test_light_commands_import_nothing_heavy(arguments: str, home: Path) -> None:
    """The first answer comes at once: no number library, database or console is loaded."""
    code = (
        "import sys\n"
        f"sys.argv = ['pmpro', {arguments!r}]\n"
        "from pmpro_tui.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"sys.exit(' '.join(m for m in {HEAVY!r} if m in sys.modules) or 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(REPO), "HOME": str(home), "PATH": ""},
    )
    assert done.returncode == 0, done.stderr


def test_init_text_is_valid_toml(pmpro: Pmpro, home: Path) -> None:
    """The written file parses, comments and all."""
    pmpro("init", "there")
    assert tomllib.loads((home / "there" / "config.toml").read_text())["mode"] == "demo"
