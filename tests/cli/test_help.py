"""Every command's help, walked from the top: whole, plain, and reached by what is typed."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from pmpro_tui.cli.main import LAZY, build_app
from pmpro_tui.launch.tui import parse
from tests.cli.conftest import Pmpro


def tree() -> Iterator[tuple[str, Any]]:
    """Yield every command with its words, groups too."""
    todo = [("", get_command(build_app(list(LAZY))))]
    for words, command in todo:
        yield words, command
        for name, child in getattr(command, "commands", {}).items():
            todo.append((f"{words} {name}".strip(), child))


TREE = dict(tree())


def help_of(command: Any) -> str:
    """Return a command's help as it is written to a pipe."""
    settings = {"resilient_parsing": True, "terminal_width": 10_000}
    with command.make_context("pmpro", [], **settings) as context:
        return str(command.get_help(context))


def test_the_tree_is_walked():
    """Groups and their commands are there, those that are imported only when named too."""
    assert len(TREE) > 45
    assert {"kill", "strategy add", "backtest run", "replay", "terminal run", "db init"} <= set(
        TREE
    )


@pytest.mark.parametrize("words", TREE)
def test_help_is_whole_and_no_markup(words):
    """What a command and its parameters say of themselves is in its help, brackets included."""
    command = TREE[words]
    text = help_of(command)
    paragraphs = [" ".join(p.split()) for p in (command.help or "").split("\n\n")]
    assert paragraphs[0]
    for paragraph in paragraphs:
        assert paragraph in text
    for parameter in command.params:
        said = getattr(parameter, "help", None)
        assert said, f"{words}: {parameter.name} says nothing of itself"
        assert said in text
    for name, child in getattr(command, "commands", {}).items():
        (line,) = [row for row in text.splitlines() if row.split()[:1] == [name]]
        assert line.endswith(" ".join((child.help or "").split("\n\n")[0].split()))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("strategy", "add"), "A file of [[strategy]] and [[book]] tables"),
        (("limit",), "A limit of [risk]. Without a name, all limits are listed."),
        (("replay",), "[from, to)"),
    ],
)
def test_brackets_reach_the_reader(pmpro: Pmpro, words: tuple[str, ...], said: str) -> None:
    """As an operator sees it: tables of TOML and half-open periods keep their brackets."""
    done = pmpro(*words, "--help")
    assert done.returncode == 0
    assert said in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("kill --jsn x", "there is no option --jsn, did you mean --json? (see `--help`)"),
        ("replay --portfolo x", "there is no option --portfolo, did you mean --portfolio?"),
        ("kil x", "No such command 'kil'. Did you mean 'kill'?"),
        ("strategy ad x", "No such command 'ad'. Did you mean 'add'?"),
        ("kill --zzzzzz x", "there is no option --zzzzzz (see `--help`)"),
        ("kill", "Missing argument 'target'"),
        ("status now", "Got unexpected extra argument(s) (now)"),
    ],
)
def test_wrong_words_are_one_line_and_2(pmpro: Pmpro, words: str, said: str) -> None:
    """A slip names what was meant; wrong use is exit code 2 and one line on stderr alone."""
    done = pmpro(*words.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", ["", "strategy", "backtest"])
def test_a_group_alone_shows_its_help(pmpro: Pmpro, words: str) -> None:
    """Without a command the help says which there are; that is wrong use, too."""
    done = pmpro(*words.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: pmpro")
    assert "Commands:" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "parsed"),
    [
        (["gross_exposure_max_frac", "-1"], {"value": -1.0}),
        (["gross_exposure_max_frac", "-0.5", "--yes"], {"value": -0.5, "yes": True}),
        (["--yes", "gross_exposure_max_frac", "-.5e1"], {"value": -5.0, "yes": True}),
        (["gross_exposure_max_frac", "--mode", "demo", "-1"], {"value": -1.0, "mode": "demo"}),
        (["gross_exposure_max_frac", "--", "-1"], {"value": -1.0}),
        (["gross_exposure_max_frac", "-inf"], {"value": float("-inf")}),
    ],
)
def test_a_negative_number_is_no_option(arguments, parsed):
    """Wherever it stands it is the argument; what an option takes stays the option's."""
    with TREE["limit"].make_context("pmpro limit", arguments) as context:
        assert context.params["name"] == "gross_exposure_max_frac"
        assert {key: context.params[key] for key in parsed} == parsed


@pytest.mark.parametrize("words", sorted(w for w in TREE if not hasattr(TREE[w], "commands")))
def test_no_command_takes_a_negative_number_for_an_option(words):
    """Of every command: `-1` is a value, which is judged as one."""
    command = TREE[words]
    context = command.make_context("pmpro", [], resilient_parsing=True)
    said = ""
    try:
        command.parse_args(context, ["-1"])
    except Exception as error:
        said = str(error)
    assert "option" not in said.lower()


def test_the_consoles_options_are_one_line_too(capsys):
    """`pmpro-tui` ends a wrong use as `pmpro` does: one line, what was meant, code 2."""
    for words, said in (
        (["--demoo"], "there is no option --demoo, did you mean --demo? (see `--help`)"),
        (["--as", "viewr"], "--as: there is no lower role 'viewr', did you mean 'viewer'?"),
        (["--data", "x"], "--data needs --demo"),
        (["--attach", "--daemon"], "not allowed with"),
        (["demo"], "unexpected argument 'demo'"),
    ):
        with pytest.raises(SystemExit, match="2"):
            parse(words)
        error = capsys.readouterr().err
        assert error.startswith("pmpro-tui: ")
        assert said in error, error
        assert error.count("\n") == 1


def test_json_of_a_wrong_use_is_still_a_line(pmpro: Pmpro) -> None:
    """`--json` changes the answer's form, not where errors go."""
    done = pmpro("strategy", "list", "--kinds", "--json")
    assert json.loads(done.stdout)["kinds"]
    assert pmpro("limit", "x", "y", "--json").stdout == ""
