"""Exit codes mean one thing: what the caller must do. The guide's table is the code's."""

import ast
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from engine.model import errors
from engine.model.errors import Failure, PmproError, error_of, failure_of
from pmpro_tui.cli import errors as exits_of
from tests.cli.conftest import REPO, Pmpro

KINDS = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, PmproError)]
# Who must change something, whom a rule or a role refused; everything else has failed.
WRONG = {"UserError", "ConfigError", "DataError", "StrategyError"}
REFUSED = {"Refused"}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_has_its_code(kind: type[PmproError]) -> None:
    """2 for the caller's mistake, 3 for a no, 1 for the rest; the same on the engine's side."""
    expected = 2 if kind.__name__ in WRONG else 3 if kind.__name__ in REFUSED else 1
    error = kind("x")
    assert exits_of.exit_code(error) == expected
    crossed = error_of(failure_of(error), "x", PmproError)
    assert exits_of.exit_code(crossed) == expected


def test_what_is_no_error_of_ours_has_its_code() -> None:
    """What the parser refuses is wrong use; what nobody foresaw has failed."""
    assert exits_of.exit_code(typer.BadParameter("x")) == 2
    assert [exits_of.exit_code(e) for e in (ValueError(), OSError(28, "full"), RuntimeError())] == [
        1
    ] * 3
    assert set(Failure.__args__) == {"", *exits_of._EXITS}  # type: ignore[attr-defined]


def test_the_guide_says_the_codes() -> None:
    """The table in the user guide has every code and no other."""
    guide = (REPO / "docs" / "USER_GUIDE.md").read_text(encoding="utf-8")
    table = guide.split("| exit code | means |")[1].split("\n\n")[0]
    codes = [int(n) for n in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)]
    ours = (
        exits_of.EXIT_FAILED,
        exits_of.EXIT_WRONG,
        exits_of.EXIT_REFUSED,
        exits_of.EXIT_INTERRUPTED,
    )
    assert codes == [0, *ours]


def exits() -> set[tuple[str, str]]:
    """Return every place of our programs that ends with a code, and the code as it is written."""
    found = set()
    for path in sorted((REPO / "pmpro_tui").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name, code = ast.unparse(node.func), ", ".join(map(ast.unparse, node.args))
                if name in ("sys.exit", "os._exit", "typer.Exit", "exit", "ctx.exit"):
                    found.add((f"{path.relative_to(REPO / 'pmpro_tui')}", code))
    return found


def test_no_program_ends_with_a_code_of_its_own() -> None:
    """Each exit is one of these; a new one is thought about."""
    assert exits() == {
        ("cli/app.py", "2"),  # a group without a command shows its help
        ("cli/audit.py", "1"),  # the chain is broken
        ("jobs/backtest.py", "0"),
        ("jobs/parity.py", "0"),
        ("cli/main.py", "EXIT_FAILED"),
        ("cli/main.py", "EXIT_INTERRUPTED"),
        ("cli/main.py", "code if isinstance(code, int) else 0"),
        ("cli/main.py", "exit_code(error)"),
        ("cli/strategy/check.py", "1"),  # a check failed
        ("cli/terminal/run.py", "ended"),  # the program's own
        ("launch/tui.py", "code"),
        ("launch/tui.py", "1"),  # nobody can read the screen any more
        ("console/tty/hangup.py", "code"),
    }


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("status", 1, "no engine is running"),
        ("status --mode demmo", 2, "did you mean 'demo'?"),
        ("status --config nowhere.toml", 2, "nowhere.toml: no such file"),
        ("audit explain 5", 1, "there is no database"),
        ("strategy check ma_cros", 2, "did you mean 'ma_cross'?"),
        ("strategy check ma_cross --symbol EURUSDD", 2, "EURUSDD"),
        ("terminal run --account hegding x.py", 2, "no such program"),
        ("terminal run --account hegding -c 1", 2, "did you mean 'hedging'?"),
        (
            "replay --portfolio no.toml --data . --from 2018 --to 2019",
            2,
            "--from '2018' is no date",
        ),
        ("alert test chatt", 2, "no channel has a URL"),
        ("init /dev/null/x", 2, "cannot write"),
    ],
)
def test_codes_as_a_script_sees_them(words: str, code: int, said: str, pmpro: Pmpro) -> None:
    """One line on stderr, nothing on stdout, and the code that the table says."""
    done = pmpro(*words.split())
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_answer_that_nobody_reads_is_no_message(home: Path) -> None:
    """`pmpro … | true`: silent, as other programs; a full disk is a line and 1, not 120."""
    words = [sys.executable, "-P", "-m", "pmpro_tui.cli.main", "strategy", "list", "--kinds"]
    env = {**os.environ, "PYTHONPATH": str(REPO)}
    reader, writer = os.pipe()
    os.close(reader)
    unread = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, env=env, check=False)
    os.close(writer)
    assert (unread.returncode, unread.stderr) == (1, b"")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, env=env, check=False)
    assert (done.returncode, done.stderr) == (1, b"pmpro: No space left on device\n")


def test_no_answer_to_a_question_is_no_yes(home: Path) -> None:
    """ctrl+d at a question: nothing is done, and that is said in one line with code 2."""
    ours, theirs = pty.openpty()
    os.write(ours, b"\x04")
    code = "from pmpro_tui.cli.engine import ask; ask('Close all?', 'yes', False)"
    text = (
        f"from pmpro_tui.cli import errors as exits_of\ntry:\n    {code}\nexcept Exception as e:\n"
    )
    text += "    print(exits_of.one_line(e), exits_of.exit_code(e))"
    env = {**os.environ, "PYTHONPATH": str(REPO)}
    done = subprocess.run(
        [sys.executable, "-c", text],
        stdin=theirs,
        capture_output=True,
        text=True,
        env=env,
        check=True,
    )
    os.close(ours)
    os.close(theirs)
    assert done.stdout.endswith("not confirmed: nothing was done 2\n")
