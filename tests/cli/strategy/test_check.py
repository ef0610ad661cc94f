"""`pmpro strategy check`: users' code runs in children, whatever it does to them is one line."""

import json
import subprocess
from pathlib import Path

import pytest

from strategies.checks.findings import CHECKS
from tests.cli.conftest import REPO, Pmpro
from tests.docs.pages import blocks

FAULTY = REPO / "tests" / "hosts" / "faulty.py"
CHEATS = REPO / "tests" / "strategies" / "cheats.py"


def assert_one_line(done: "subprocess.CompletedProcess[str]", code: int, *parts: str) -> None:
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("pmpro: ")
    assert done.stderr.count("\n") == 1
    for part in parts:
        assert part in done.stderr


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("hangs", "hangs: has not come to an end within 6 s (--deadline)"),
        ("hangs_in_c", "hangs_in_c: has not come to an end within 6 s (--deadline)"),
        ("crashes", "crashes: crashed its process (SIGSEGV) in the check 'contract'"),
        ("dies", "dies: ended its process (exit code 3) in the check 'contract'"),
    ],
)
def test_user_code_that_takes_its_process_along_is_one_line(
    kind: str, words: str, pmpro: Pmpro
) -> None:
    """An endless loop, a segmentation fault and os._exit cost a child, and say who and when."""
    done = pmpro("strategy", "check", FAULTY, "--kind", kind, "--deadline", "6", "--json")
    assert_one_line(done, 1, words)


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("while True:\n    pass\n", 1, "has not come to an end within 4 s (--deadline) while it"),
        ("import os\nos._exit(5)\n", 1, "ended its process (exit code 5) while it was loaded"),
        ("def f(:\n", 2, "line 1: SyntaxError"),
        ("raise KeyError('x')\n", 2, "line 1: KeyError: 'x'"),
        ("x = 1\n", 2, "defines no class derived from"),
        ("import sys\nsys.exit(0)\n", 2, "line 2: SystemExit"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_one_line(
    text: str, code: int, words: str, pmpro: Pmpro, home: Path
) -> None:
    """Also where the import itself hangs or ends the process; what is wrong in it, by line."""
    (home / "mine.py").write_text(text)
    done = pmpro("strategy", "check", "mine.py", "--deadline", "4")
    assert_one_line(done, code, "mine.py", words)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("raises", "raised ZeroDivisionError: no luck at faulty.py, line"),
        ("exits", "raised SystemExit: 0 at faulty.py, line"),
        ("recurses", "raised RecursionError"),
        ("hogs", "raised MemoryError"),
        ("nan", "confidence must be from 0 to 1: it is nan at bar"),
        ("wrong_shape", "direction must have one value a bar"),
        ("nothing", "evaluate must return Signals, not NoneType"),
    ],
)
def test_what_user_code_raises_or_returns_fails_the_contract(
    kind: str, words: str, pmpro: Pmpro
) -> None:
    """The child lives on and the finding names file and line."""
    done = pmpro("strategy", "check", FAULTY, "--kind", kind, "--json")
    assert done.returncode == 1
    assert done.stderr == ""
    (report,) = json.loads(done.stdout)["strategies"]
    (finding,) = report["findings"]
    assert finding["check"] == "contract"
    assert words in finding["text"]


def test_a_fresh_process_that_says_something_else_fails_determinism(pmpro: Pmpro) -> None:
    """What one process alone cannot see: an answer that hangs on the process."""
    done = pmpro("strategy", "check", CHEATS, "--kind", "process", "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 1
    assert document["ok"] is False
    failed = [f for f in document["strategies"][0]["findings"] if f["status"] == "fail"]
    assert [f["check"] for f in failed] == ["determinism", "outside"]
    assert "a fresh process says something else" in failed[0]["text"]
    assert "hash in cheats.py, line 192" in failed[1]["text"]


def test_a_kind_is_checked_by_name_and_shown_as_a_table(pmpro: Pmpro) -> None:
    """Every check has its row, and the last line sums up."""
    done = pmpro("strategy", "check", "ma_cross", "--param", "fast=5")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "fast=5 slow=60" in done.stdout
    for name in CHECKS:
        assert f"\n{name} " in done.stdout
    assert "11 checks, none failed" in done.stdout
    assert "and so did 3 fresh processes" in done.stdout


def test_the_documented_example_passes(pmpro: Pmpro, home: Path) -> None:
    """What the page on strategies shows as one is one."""
    (example,) = [b.text for b in blocks() if b.language == "python"]
    (home / "momentum.py").write_text(example)
    done = pmpro("strategy", "check", "momentum.py", "--json")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_strategy_of_the_portfolio_is_checked_as_it_stands(pmpro: Pmpro, home: Path) -> None:
    """Its symbol, timeframe and parameters are the file's; options replace some of them."""
    (home / "portfolio.toml").write_text(
        '[[strategy]]\nname = "yen"\nkind = "macd"\nsymbol = "USDJPY"\ntimeframe = "M5"\n'
        "params = { fast = 5, slow = 30 }\n"
    )
    (home / "config.toml").write_text('portfolio = "portfolio.toml"\n')
    done = pmpro(
        *("strategy", "check", "yen", "--param", "slow=35", "--config", "config.toml", "--json")
    )
    (report,) = json.loads(done.stdout)["strategies"]
    strategy = report["strategy"]
    assert done.returncode == 0
    assert (strategy["name"], strategy["kind"]) == ("yen", "macd")
    assert (strategy["symbols"], strategy["timeframe"]) == (["USDJPY"], "M5")
    assert (strategy["params"]["fast"], strategy["params"]["slow"]) == (5, 35)


def test_a_period_and_a_seed_are_taken(pmpro: Pmpro) -> None:
    """Other bars, other figures; the same bars, the same figures."""
    words = ("strategy", "check", "macd", "--from", "2026-02-02", "--to", "2026-02-05", "--json")
    one, again, other = (pmpro(*words, "--seed", seed) for seed in ("1", "1", "2"))
    figures = [
        json.loads(done.stdout)["strategies"][0]["findings"][-1]["figures"]
        for done in (one, again, other)
    ]
    assert figures[0] == figures[1] != figures[2]
    assert figures[0]["periods"] == 3


def test_recorded_bars_are_checked_on(pmpro: Pmpro, data_dir: Path) -> None:
    """With --data the bars are the directory's, from --from to --to."""
    done = pmpro(
        *("strategy", "check", "macd", "--data", data_dir, "--source", "histdata"),
        *("--from", "2018-03-05", "--to", "2018-03-10", "--json"),
    )
    (report,) = json.loads(done.stdout)["strategies"]
    assert report["strategy"]["bars"] == str(data_dir)
    assert report["strategy"]["first"] == "2018-03-05T00:00:00Z"
    assert report["findings"][-1]["figures"]["periods"] == 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "'nonsense' is no strategy of"),
        (["macd", "--param", "fast"], "write KEY=VALUE"),
        (["macd", "--param", "fast=1"], "fast = 1 must be a whole number from 2 to 500 bars"),
        (["macd", "--symbol", "NOSUCH"], "symbol 'NOSUCH' is unknown"),
        (["macd", "--timeframe", "M2"], "timeframe 'M2' must be one of"),
        (["macd", "--kind", "macd"], "--kind needs a FILE.py"),
        (["nowhere.py"], "nowhere.py: cannot be read"),
        ([str(FAULTY), "--kind", "mine"], "not 'mine'"),
        (["macd", "--from", "2030-01-01"], "no closed bar to check on"),
        (["macd", "--from", "now"], "--from 'now' is no date"),
        (["macd", "--data", "empty"], "empty"),
    ],
)
def test_wrong_use_is_one_line(arguments: list[str], words: str, pmpro: Pmpro, home: Path) -> None:
    """What the operator must change has exit code 2."""
    (home / "empty").mkdir()
    assert_one_line(pmpro("strategy", "check", *arguments), 2, words)
