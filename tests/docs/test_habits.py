"""The pages for who works on the project: every place that they name is there."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.docs.pages import REPO, code_spans, prose, rows

CONTRIBUTING = REPO / "CONTRIBUTING.md"
TESTS = REPO / "tests" / "README.md"
HOOKS = REPO / ".pre-commit-config.yaml"
_PLACE = re.compile(r"^(?:engine|strategies|backtest|pmpro_tui|tests|docs)/[\w./]+$")
# What stands for a name of the reader's own.
_OWN = re.compile(r"NAME")


@pytest.mark.parametrize("page", [CONTRIBUTING, TESTS, REPO / "SECURITY.md"], ids=lambda p: p.name)
def test_places_that_are_named_exist(page: Path) -> None:
    """A file or folder that a page tells to touch or to run is where the page says."""
    for span in code_spans(prose(page)):
        if _PLACE.match(span) and not _OWN.search(span):
            assert (REPO / span).exists(), span


def test_each_checklist_says_what_proves_it() -> None:
    """Every "Add a …" names numbered places and the tests that pass once all are touched."""
    parts = re.split(r"^## ", prose(CONTRIBUTING), flags=re.MULTILINE)
    lists = [part for part in parts if part.startswith("Add a ")]
    assert [part.splitlines()[0] for part in lists] == [
        "Add a strategy kind",
        "Add a rule before an entry",
        "Add a command",
        "Add a screen of the console",
    ]
    for part in lists:
        assert re.search(r"^1\. `", part, re.MULTILINE), part
        proof = part[part.index("Complete when") :]
        assert sum(span.startswith("tests/") for span in code_spans(proof)) >= 2, part


def test_names_in_checklists_are_the_code_s() -> None:
    """A table or class that a numbered line names occurs in a file that the line names."""
    text = prose(CONTRIBUTING)
    for line in re.findall(r"^\d\. .*$", text, re.MULTILINE):
        spans = code_spans(line)
        files = [REPO / s for s in spans if _PLACE.match(s) and (REPO / s).is_file()]
        names = [s for s in spans if re.fullmatch(r"[A-Z]\w+", s)]
        found = "\n".join(file.read_text(encoding="utf-8") for file in files)
        for name in names if files else ():
            assert re.search(rf"\b{name}\b", found), (line, name)


def test_the_tests_page_lists_every_folder() -> None:
    """The table has each folder of tests, and no folder that is not there."""
    folders = {
        p.parent.relative_to(TESTS.parent).parts[0] for p in TESTS.parent.glob("*/**/test_*.py")
    }
    named = {code_spans(cells[0])[0] for cells in rows(prose(TESTS)) if code_spans(cells[0])}
    assert named == folders


def test_the_tests_page_names_every_marker() -> None:
    """Markers in `pyproject.toml` are explained."""
    options = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))
    for line in options["tool"]["pytest"]["ini_options"]["markers"]:
        assert f"`{line.partition(':')[0]}`" in prose(TESTS)


def test_hooks_are_local_and_fetch_nothing() -> None:
    """A commit hook runs a program of the environment: no repository, no host, no installation."""
    text = HOOKS.read_text(encoding="utf-8")
    assert re.findall(r"repo: *(\S+)", text) == ["local"]
    assert "://" not in text
    entries = re.findall(r"entry: *(\S+)", text)
    assert len(entries) == text.count("- id:") == text.count("language: system")
    assert {entry.rpartition("/")[0] for entry in entries} == {".venv/bin"}
