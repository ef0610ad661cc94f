"""`pmpro strategy new` and `list`: what is written passes, what is there is shown."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from strategies.registry import KINDS
from tests.cli.conftest import REPO, Pmpro
from tests.cli.strategy.test_check import assert_one_line
from tests.cli.test_engine import AnsweringEngine, engine

__all__ = ["engine"]


def own(home: Path) -> Path:
    return home / "config" / "pmpro" / "strategies"


@pytest.mark.parametrize(
    ("name", "options"), [("my_move", []), ("strategy", ["--kind-name", "params"]), ("X", [])]
)
def test_what_is_written_passes_its_check_and_its_test(
    name: str, options: list[str], pmpro: Pmpro, home: Path
) -> None:
    """As written: no check fails or warns, and its own test passes, where nothing else is."""
    done = pmpro("strategy", "new", name, "--dir", "own", *options, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    kind = options[-1] if options else name
    file, test = home / "own" / f"{name}.py", home / "own" / f"test_{name}.py"
    assert document == {"strategy": str(file), "test": str(test), "kind": kind}

    checked = pmpro("strategy", "check", file, "--json")
    assert checked.returncode == 0, checked.stdout
    (report,) = json.loads(checked.stdout)["strategies"]
    assert report["strategy"]["kind"] == kind
    # What a bar costs is this machine's affair, and of what else it does just now.
    untimed = [f for f in report["findings"] if f["check"] != "cost"]
    assert {f["status"] for f in untimed} == {"ok"}

    # As `make run` has it there is no pytest: the file runs by itself, too.
    no_pytest = "import runpy, sys; sys.modules['pytest'] = None; sys.path.insert(0, '.'); "
    alone = ["-c", f"{no_pytest}runpy.run_path({test.name!r}, run_name='__main__')"]
    for words, said in (
        (alone, "test_no_check_fails: passed\ntest_a_straight_move_is_followed: passed\n"),
        (["-m", "pytest", "-q", "-p", "no:cacheprovider", test.name], "2 passed"),
    ):
        tested = subprocess.run(
            [sys.executable, *words],
            cwd=home / "own",
            env={**os.environ, "PYTHONPATH": str(REPO)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert tested.returncode == 0, tested.stderr
        assert said in tested.stdout


def test_it_is_written_where_the_engine_looks_and_found_by_its_kind(
    pmpro: Pmpro, home: Path
) -> None:
    """Without --dir it goes to strategies_dir, made private; `check` and `list` know it."""
    assert pmpro("strategy", "new", "my_move").returncode == 0
    assert stat.S_IMODE(own(home).stat().st_mode) == 0o700
    assert sorted(p.name for p in own(home).iterdir()) == ["my_move.py", "test_my_move.py"]

    assert pmpro("strategy", "check", "my_move").returncode == 0
    listed = json.loads(pmpro("strategy", "list", "--kinds", "--json").stdout)
    files = {info["kind"]: info["file"] for info in listed["kinds"]}
    assert files == dict.fromkeys(KINDS, "") | {"my_move": str(own(home) / "my_move.py")}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["1x"], "use letters, digits and _"),
        (["my-move"], "use letters, digits and _"),
        (["../x"], "use letters, digits and _"),
        (["class"], "no Python keyword"),
        (["größe"], "use letters, digits and _"),
        (["_x"], "not loaded"),
        (["test_x"], "not loaded"),
        (["random"], "is a Python module"),
        (["numpy"], "is a Python module"),
        (["macd"], "kind 'macd' exists in pmpro"),
        (["mine", "--kind-name", "ma_cross"], "kind 'ma_cross' exists in pmpro"),
        (["mine", "--kind-name", "a b"], "--kind-name 'a b'"),
    ],
)
def test_bad_names_are_refused_and_nothing_is_written(
    arguments: list[str], words: str, pmpro: Pmpro, home: Path
) -> None:
    """One line, exit code 2, no file and no directory."""
    assert_one_line(pmpro("strategy", "new", *arguments), 2, words)
    assert not own(home).exists()


@pytest.mark.parametrize("present", ["mine.py", "test_mine.py"])
def test_an_existing_file_is_left_alone(present: str, pmpro: Pmpro, home: Path) -> None:
    """With either there, neither is written."""
    own(home).mkdir(parents=True)
    (own(home) / present).write_text("# mine")
    assert_one_line(pmpro("strategy", "new", "mine"), 2, f"{present} exists")
    assert [(p.name, p.read_text()) for p in own(home).iterdir()] == [(present, "# mine")]


def test_a_kind_of_another_users_file_is_taken(pmpro: Pmpro, home: Path) -> None:
    """Two files cannot define one kind."""
    assert pmpro("strategy", "new", "one").returncode == 0
    done = pmpro("strategy", "new", "two", "--kind-name", "one")
    assert_one_line(done, 2, "kind 'one' exists in", "one.py")
    assert not (own(home) / "two.py").exists()


def test_a_directory_that_cannot_be_made_is_one_line(pmpro: Pmpro, home: Path) -> None:
    """A file in its place is named."""
    (home / "own").write_text("")
    assert_one_line(pmpro("strategy", "new", "mine", "--dir", "own"), 2, "own")


def test_kinds_are_listed_with_parameters_ranges_and_units(pmpro: Pmpro, home: Path) -> None:
    """People get a table a kind, machines all of it; a broken file is told, the rest is there."""
    own(home).mkdir(parents=True)
    (own(home) / "broken.py").write_text("def f(:\n")
    document = json.loads(pmpro("strategy", "list", "--kinds", "--json").stdout)
    (fault,) = document["faults"]
    assert "broken.py, line 1: SyntaxError" in fault
    macd = next(info for info in document["kinds"] if info["kind"] == "macd")
    assert macd["parameters"][0] == {
        "name": "fast",
        "type": "int",
        "default": 12,
        "low": 2.0,
        "high": 500.0,
        "choices": [],
        "unit": "bars",
        "description": "fast average",
        "allowed": "a whole number from 2 to 500 bars",
    }

    text = pmpro("strategy", "list", "--kinds").stdout
    assert "macd: MACD: with the momentum" in text
    assert "a whole number from 2 to 500 bars" in text
    assert "not loaded: strategy file" in text


def test_a_file_that_hangs_does_not_hang_the_list(pmpro: Pmpro, home: Path) -> None:
    """A file that ends its process is one line."""
    own(home).mkdir(parents=True)
    (own(home) / "ends.py").write_text("import os\nos._exit(9)\n")
    done = pmpro("strategy", "list", "--kinds")
    assert_one_line(done, 1, "ends.py", "exit code 9")


def test_the_running_engines_strategies_are_listed(engine: AnsweringEngine, pmpro: Pmpro) -> None:
    """State, book, signal, weight and result of each, as the snapshot has them."""
    document = json.loads(pmpro("strategy", "list", "--json").stdout)
    views = engine.current.strategies
    assert [s["name"] for s in document["strategies"]] == [s.name for s in views]
    text = pmpro("strategy", "list").stdout
    for view in views:
        weight = f"{view.weight_frac:.1%}"
        for part in (view.name, view.book, view.state, view.signal, weight):
            assert part in text


def test_without_an_engine_the_list_says_so(pmpro: Pmpro) -> None:
    """Nothing to list is no empty table."""
    assert_one_line(pmpro("strategy", "list"), 1, "no engine is running")
