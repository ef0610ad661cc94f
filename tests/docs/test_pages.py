"""Pages keep their promises: links lead somewhere, commands exist, examples work."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.main import get_command

from engine.model.bars import BAR_DTYPE
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE
from engine.portfolio.file import parse_portfolio, read_portfolio
from engine.settings.settings import load_settings
from pmpro_tui.cli.main import build_app
from pmpro_tui.cli.terminal.world import conditions, generated
from pmpro_tui.launch import tui
from strategies import registry
from strategies.base import as_columns
from strategies.loader import load_file
from strategies.windows import evaluate_period
from tests.docs.pages import DECISIONS, PAGES, REPO, anchor, blocks, code_spans, headings, prose

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_PROGRAM = re.compile(r"^(?:[\w./]*bin/)?(pmpro-tui|pmpro|make)(?: (.*))?$")
# What stands for the reader's own values, and for several words at once.
_PLACEHOLDER = re.compile(r"^[A-Z]+$|…")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    """A file that is linked exists, and so does the heading of a fragment."""
    for link in _LINK.findall(prose(page)):
        if "://" in link:
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(REPO), link
        if fragment:
            assert fragment in map(anchor, headings(target)), link


@pytest.mark.parametrize("page", DECISIONS, ids=lambda p: p.name)
def test_a_decision_has_context_decision_and_consequences(page: Path) -> None:
    """One page, its number in name and title, the three headings and no other."""
    title, *rest = headings(page)
    assert title.startswith(f"{int(page.name[:4])}. ")
    assert rest == ["Context", "Decision", "Consequences"]
    assert len(page.read_text(encoding="utf-8").splitlines()) < 60


def test_a_decision_s_number_is_its_own() -> None:
    """A number is a decision's name for ever; it stands in the file's name and in its title."""
    numbers = [int(p.name[:4]) for p in DECISIONS]
    assert numbers == sorted(set(numbers))
    for number, page in zip(numbers, DECISIONS, strict=True):
        assert page.read_text(encoding="utf-8").startswith(f"# {number}. "), page


def shell_lines() -> list[str]:
    """Return the commands in blocks of shell, without comments."""
    lines = [
        line.partition("#")[0].strip()
        for block in blocks()
        if block.language == "sh"
        for line in block.text.splitlines()
    ]
    return [line for line in lines if _PROGRAM.match(line)]


def mentions() -> list[str]:
    """Return the commands named in running text, `pmpro a|b` and `pmpro a`, `b` left to others."""
    spans = [span for page in PAGES for span in code_spans(prose(page))]
    return sorted({s for s in spans if _PROGRAM.match(s) and not re.search(r"[|<>]", s)})


def pmpro_command(words: list[str]) -> tuple[Any, list[str]]:
    """Return the command that words name, and what is left of them."""
    command: Any = get_command(build_app(words))
    rest = list(words)
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        if command.invoke_without_command or _PLACEHOLDER.search(rest[0]):
            break
        name = rest.pop(0)
        assert name in command.commands, f"no command {name!r} in {words}"
        command = command.commands[name]
    return command, rest


def check_options(command: Any, words: list[str]) -> None:
    """Assert that the command has each option among the words."""
    known = {name for p in command.params for name in (*p.opts, *p.secondary_opts)} | {"--help"}
    for word in words:
        if word.startswith("-"):
            assert word.partition("=")[0] in known, f"{word} is no option of {command.name}"


@pytest.mark.parametrize("line", sorted({*shell_lines(), *mentions()}))
def test_commands_exist(line: str) -> None:
    """Every command, subcommand, option and make target that a page shows is there."""
    match = _PROGRAM.match(line)
    assert match is not None
    program, words = match[1], (match[2] or "").split()
    if program == "make":
        targets = re.findall(r"^([\w-]+):", (REPO / "Makefile").read_text(), re.MULTILINE)
        assert {w for w in words if "=" not in w} <= set(targets)
    elif program == "pmpro":
        check_options(*pmpro_command([w for w in words if w != "--debug"]))
    elif not {"--help", "--version"} & set(words):
        tui.parse(words)


@pytest.mark.parametrize("line", [x for x in shell_lines() if re.match(r"([\w./]*bin/)?pmpro ", x)])
def test_shown_commands_are_complete(line: str) -> None:
    """A command that is shown to be typed parses: nothing required is missing."""
    words = line.split()[1:]
    command, rest = pmpro_command(words)
    command.make_context(command.name, rest)


def run(*words: str, home: Path) -> "subprocess.CompletedProcess[str]":
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PMPRO_")}
    own = {"XDG_CONFIG_HOME": str(home / "config"), "XDG_STATE_HOME": str(home / "state")}
    return subprocess.run(
        [sys.executable, "-P", "-m", *words],
        env={**kept, **own, "PYTHONPATH": str(REPO)},
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_first_commands_work(tmp_path: Path) -> None:
    """Help answers, `pmpro init` writes a configuration and a portfolio that are read back."""
    for module in ("pmpro_tui.cli.main", "pmpro_tui.launch.tui"):
        assert run(module, "--help", home=tmp_path).returncode == 0

    assert run("pmpro_tui.cli.main", "init", home=tmp_path).returncode == 0

    folder = tmp_path / "config" / "pmpro"
    assert load_settings(folder / "config.toml").mode == "demo"
    assert read_portfolio(folder / "portfolio.toml").strategy
    assert run("pmpro_tui.cli.main", "init", home=tmp_path).returncode == 2
    assert run("pmpro_tui.cli.main", "status", home=tmp_path).returncode == 1


def test_toml_examples_are_read(tmp_path: Path) -> None:
    """What a page shows of a portfolio, a configuration or an account is valid as it stands."""
    found = [b for b in blocks() if b.language == "toml"]
    assert found
    for block in found:
        if "[[strategy]]" in block.text:
            parse_portfolio(block.text, block.page.name)
            continue
        options = tomllib.loads(block.text)
        if "broker" in options:
            path = tmp_path / "account.toml"
            path.write_text(block.text)
            generated(conditions(str(path)), seed=1, start_ns=0, speed=0.0).close()
            continue
        secret = tmp_path / "secret"
        secret.touch(mode=0o600)
        secret.write_text("x")
        path = tmp_path / "config.toml"
        path.write_text(block.text)
        load_settings(path)
        assert options


def test_the_strategy_example_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The strategy that the page shows loads and keeps the output contract."""
    monkeypatch.setattr(registry, "KINDS", dict(registry.KINDS))
    monkeypatch.setattr("strategies.loader.KINDS", registry.KINDS)
    (example,) = [b for b in blocks() if b.language == "python"]
    path = tmp_path / "example.py"
    path.write_text(example.text)

    (kind,) = load_file(path)

    strategy = registry.create(kind, {}, "EURUSD", "M1", 1e-5)
    bars = np.zeros(600, BAR_DTYPE)
    bars["time_ns"] = 3 * NS_PER_DAY + np.arange(-300, 300) * NS_PER_MINUTE
    rng = np.random.default_rng(1)
    for name in ("open", "high", "low", "close"):
        bars[name] = 1.1 + rng.normal(0, 1e-4, len(bars)).cumsum()
    columns = as_columns(bars, bars["time_ns"] + NS_PER_MINUTE)
    signals = evaluate_period(strategy, columns, 300, 600)
    assert set(np.unique(signals.direction)) == {-1, 1}
