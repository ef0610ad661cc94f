"""Strategies of one's own in every command that runs a portfolio: found, named, never in doubt."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from backtest.run import run_backtest
from engine.model.errors import StrategyError
from engine.model.times import NS_PER_DAY
from engine.portfolio.file import parse_portfolio
from pmpro_tui.bench.portfolio import write_bars
from strategies.loader import NO_FILES, OwnFiles, load_file, load_needed, own_code
from strategies.registry import KINDS
from tests.conftest import REPO

HEAD = """import numpy as np
from strategies.base import Params, Signals, Strategy
"""
MINE = (
    HEAD
    + """

class Base(Strategy):
    params_type = Params
    warmup = 1

    def said(self, bars):
        return bars.close_ns // 60_000_000_000 % 60 >= 30

    def evaluate(self, bars, *others):
        late = self.said(bars)
        late[:1] = False
        return self.signals(np.where(late, 1, 0).astype(np.int8), late.astype(float))


class HalfHour(Base):
    kind = "half_hour"
"""
)
PORTFOLIO = """
[[strategy]]
name = "m"
kind = "half_hour"
symbol = "EURUSD"
params = { stop_points = 1000 }
sizing = { method = "fixed_lots", lots = 0.1 }
[[strategy]]
name = "ma"
kind = "ma_cross"
symbol = "EURUSD"
"""
PERIOD = ("--from", "2018-03-05", "--to", "2018-03-06")
FROM_NS = int(np.datetime64("2018-03-05", "ns").astype(np.int64))


@pytest.fixture(scope="module")
def bars(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("bars")
    write_bars(directory, 2018)
    return directory


@pytest.fixture
def world(home, bars) -> Path:
    """A portfolio, a configuration that names a directory, and a strategy in it."""
    (home / "mine").mkdir()
    (home / "mine" / "half_hour.py").write_text(MINE)
    (home / "p.toml").write_text(PORTFOLIO)
    (home / "config.toml").write_text('strategies_dir = "mine"\nportfolio = "p.toml"\n')
    (home / "data").symlink_to(bars)
    return home


def pmpro(world: Path, *words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-P", "-m", "pmpro_tui.cli.main", *words],
        cwd=world,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def ran(world: Path, verb: tuple[str, ...], *words: str, **variables: str) -> dict:
    where = ("--portfolio", "p.toml", "--data", "data", *PERIOD, "--json")
    done = pmpro(world, *verb, *where, *words, **variables)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert {t["strategy"] for t in document["strategies"] if t["trades_count"]} >= {"m"}
    return document


RUN = ("backtest", "run", "--no-store")


def test_the_same_kind_is_known_however_its_directory_is_named(world):
    """Configuration, option, variable; `replay` gives the digest of `backtest run`."""
    tested = ran(world, RUN, "--config", "config.toml")
    played = ran(world, ("replay",), "--config", "config.toml")
    assert tested["digest"] == played["digest"]
    for verb in (RUN, ("replay",)):
        assert ran(world, verb, "--strategies", "mine")["digest"] == tested["digest"]
    found = ran(world, RUN, PMPRO_STRATEGIES_DIR=str(world / "mine"))
    assert found["digest"] == tested["digest"]
    file = world / "mine" / "half_hour.py"
    (own,) = tested["own_strategies"]
    assert own == {
        "kind": "half_hour",
        "file": str(file),
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    shown = pmpro(
        world, *RUN, "--portfolio", "p.toml", "--data", "data", *PERIOD, "--strategies", "mine"
    )
    assert "own strategy half_hour" in shown.stdout
    kinds = pmpro(world, "strategy", "list", "--kinds", "--json", "--strategies", "mine")
    assert "half_hour" in kinds.stdout
    checked = pmpro(
        world, "strategy", "check", "half_hour", "--strategies", "mine", "--data", "data", *PERIOD
    )
    assert "half_hour" in checked.stdout, checked.stderr


def test_a_directory_that_is_not_there_is_refused(world):
    """An option that names nothing is a slip."""
    for words in (
        [*RUN, "--portfolio", "p.toml", "--data", "data", *PERIOD],
        ["replay", "--portfolio", "p.toml", "--data", "data", *PERIOD],
        ["strategy", "check", "half_hour"],
        ["strategy", "list", "--kinds"],
    ):
        done = pmpro(world, *words, "--strategies", "nowhere")
        assert done.returncode == 2
        assert done.stderr == "pmpro: --strategies nowhere: there is no such directory\n"
    tui = [
        sys.executable,
        "-P",
        "-m",
        "pmpro_tui.launch.tui",
        "--daemon",
        "--strategies",
        "nowhere",
    ]
    done = subprocess.run(tui, cwd=world, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "there is no such directory" in done.stderr


BROKEN = {
    "def broken(:\n": ("mine.py, line 1: SyntaxError", "move it out"),
    HEAD + "x = 1 / 0\n": ("mine.py, line 3: ZeroDivisionError", ""),
    "import nowhere_at_all\n": ("mine.py, line 1: ModuleNotFoundError", "nowhere_at_all"),
    "x = 1\n": ("mine.py: defines no class derived from strategies.base.Strategy", "add one"),
    HEAD + "class A(Strategy):\n    params_type = Params\n": (
        "mine.py, line 3: class A has no kind",
        'add kind = "a"',
    ),
    HEAD + "class A(Strategy):\n    params_type = Params\n    kind = 5\n": (
        "line 3: kind of A must be a name in quotes",
        "",
    ),
    HEAD + "class A(Strategy):\n    kind = 'a'\n    params_type = Params\n": (
        "line 3: class A lacks evaluate, warmup",
        "define it",
    ),
    HEAD + "class A(Strategy):\n    kind = 'a'\n    warmup = 1\n    def evaluate(s, b): ...\n": (
        "line 3: params_type of A must be a class derived from Params",
        "",
    ),
    HEAD
    + "class P(Params, frozen=True, kw_only=True):\n    period: int = 5\n"
    + "class A(Strategy):\n    kind = 'a'\n    warmup = 1\n    params_type = P\n"
    + "    def evaluate(s, b): ...\n": (
        "line 5: params_type of A",
        "parameter period has no range",
    ),
    MINE + "class Other(Base):\n    kind = 'half_hour'\n": (
        "line 20: classes HalfHour and Other have the same kind 'half_hour'",
        "rename one",
    ),
    MINE.replace("'half_hour'", "'ma_cross'").replace('"half_hour"', '"ma_cross"'): (
        "line 18: kind 'ma_cross' exists already in pmpro",
        "rename it",
    ),
    "\0": ("mine.py", ""),
    "# caf\xe9\n".encode("latin-1").decode("latin-1"): ("mine.py", ""),
}


@pytest.mark.parametrize("source", BROKEN)
def test_a_broken_file_says_file_line_and_what_to_do(tmp_path, source):
    """Syntax, imports, missing and doubled kinds, parameters without a range."""
    path = tmp_path / "mine.py"
    path.write_text(source, encoding="utf-8")
    with pytest.raises(StrategyError) as caught:
        load_file(path)
    for words in BROKEN[source]:
        assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_kind_of_two_files_is_told_with_the_other_one(tmp_path):
    """The second one is left out, and says which was first."""
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text(MINE)
    files = OwnFiles({str(p): p.read_bytes() for p in sorted(tmp_path.glob("*.py"))})
    portfolio = parse_portfolio(PORTFOLIO, "p.toml")
    (note,) = load_needed(files, portfolio.strategy)
    assert f"b.py, line 18: kind 'half_hour' exists already in {tmp_path / 'a.py'}" in note
    assert [Path(code.file).name for code in own_code(["half_hour", "ma_cross"])] == ["a.py"]


def test_a_base_class_is_no_kind_and_no_fault(tmp_path):
    """What has no kind of its own is there for others to build on."""
    path = tmp_path / "half_hour.py"
    path.write_text(MINE)
    assert load_file(path) == ["half_hour"]
    path.write_text(MINE.replace("    def evaluate", "    def evaluates"))
    with pytest.raises(StrategyError, match="class HalfHour lacks evaluate: define it"):
        load_file(path)
    assert "half_hour" in KINDS  # as it was before


def test_a_file_that_nobody_needs_stops_nothing(world):
    """It is a note; a kind that is in it is an error with the reason."""
    (world / "mine" / "other.py").write_text("def broken(:\n")
    document = ran(world, RUN, "--strategies", "mine")
    (note,) = [n for n in document["notes"] if "other.py" in n]
    assert note.startswith("not loaded: strategy file ")
    assert "line 1: SyntaxError" in note
    (world / "mine" / "half_hour.py").write_text("import nowhere\n")
    done = pmpro(
        world, *RUN, "--portfolio", "p.toml", "--data", "data", *PERIOD, "--strategies", "mine"
    )
    assert done.returncode == 2
    assert "p.toml: strategy 'm': kind 'half_hour' is unknown" in done.stderr
    assert "half_hour.py, line 1: ModuleNotFoundError" in done.stderr
    assert done.stderr.count("\n") == 1
    done = pmpro(world, *RUN, "--portfolio", "p.toml", "--data", "data", *PERIOD)
    assert done.returncode == 2
    assert "kinds of one's own come from" in done.stderr
    assert "--strategies DIR" in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("late[:1] = False", "1 / 0", "line 14: ZeroDivisionError: division by zero"),
        ("late[:1] = False", "raise SystemExit(3)", "line 14: SystemExit"),
        ("late[:1] = False", "return None", "strategy 'm'"),
        ("late[:1] = False", "late = late[:-1]", "strategy 'm'"),
        ("    warmup = 1\n", "    warmup = -1\n", "warmup a whole number of bars"),
        (
            "    warmup = 1\n",
            "    @property\n    def warmup(self):\n        return self.nothing\n",
            "line 9: AttributeError",
        ),
    ],
)
def test_what_a_strategy_raises_is_one_line_with_its_place(world, old, new, words):
    """No internal error: file, line and what was raised, exit code 2."""
    assert old in MINE
    (world / "mine" / "half_hour.py").write_text(MINE.replace(old, new))
    done = pmpro(
        world, *RUN, "--portfolio", "p.toml", "--data", "data", *PERIOD, "--strategies", "mine"
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert words in done.stderr
    assert "internal error" not in done.stderr


def test_one_that_writes_into_its_bars_harms_no_other(bars, tmp_path):
    """As in live: what the others earn does not depend on it."""
    files = {}
    for name, first in (("clean", ""), ("writes", "        bars.close[:] = 1.0\n")):
        path = tmp_path / name / "half_hour.py"
        path.parent.mkdir()
        text = MINE.replace("        late = self.said", f"{first}        late = self.said")
        files[name] = OwnFiles({str(path): text.encode()})
    (tmp_path / "p.toml").write_text(PORTFOLIO)
    earned = []
    for own in files.values():
        KINDS.pop("half_hour", None)
        report = run_backtest(tmp_path / "p.toml", bars, FROM_NS, FROM_NS + NS_PER_DAY, files=own)
        earned.append([s for s in report.document["strategies"] if s["strategy"] == "ma"])
    assert earned[0] == earned[1]
    assert NO_FILES.contents == {}


JOB = """
import json, sys, time
from pathlib import Path
from engine.model.jobs import BacktestSpec
from engine.portfolio.file import read_portfolio
from engine.runtime.jobs import Jobs
from pmpro_tui.launch.daemon import JOBS
world = Path(sys.argv[1])
said = []
jobs = Jobs(
    world, module=JOBS.backtest, database=lambda: "", on_end=lambda level, text: said.append(text),
    now_ns=time.time_ns,
)
spec = BacktestSpec(from_day="2018-03-05", to_day="2018-03-06")
jobs.launch(spec, read_portfolio(world / "p.toml"), world / "data", world / "mine", "me")
while not said:
    time.sleep(0.02)
(view,) = jobs.views()
jobs.close()
print(json.dumps([view.state, view.text, sorted(sys.modules)]))
"""


def test_a_launched_backtest_knows_them_and_the_engine_never_imports_them(world):
    """The engine's side reads the files; its child alone runs them."""
    (world / "mine" / "half_hour.py").write_text(
        MINE + "import sys\nassert 'engine.runtime.engine' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", JOB, str(world)],
        env={**os.environ, "PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    state, text, modules = json.loads(done.stdout.splitlines()[-1])
    assert state == "DONE", text
    assert " trades" in text
    assert not [name for name in modules if name.startswith("pmpro_user_")]
    assert not {"strategies.loader", "strategies.registry", "backtest.run"} & set(modules)
