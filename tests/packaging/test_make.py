"""The Makefile's help, and what the base installation is made of."""

import ast
import re
import subprocess
import tomllib

from tests.conftest import REPO

MAKEFILE = (REPO / "Makefile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_help_lists_every_target() -> None:
    """With the text that stands beside it, and starts nothing."""
    done = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    [targets] = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert set(lines) == set(targets.split())
    assert lines["check"].startswith("format, lint, types, import contracts")


def test_no_shipped_code_imports_pandas() -> None:
    """It is the `research` extra's: the base installation does without."""
    assert not any(name.startswith("pandas") for name in PROJECT["dependencies"])
    assert any(name.startswith("pandas>") for name in PROJECT["optional-dependencies"]["research"])
    for package in ("backtest", "engine", "pmpro_tui", "rl", "sql", "strategies"):
        for path in (REPO / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                assert not any(name.split(".")[0] == "pandas" for name in names), path
