"""A class name exists once: who reads it, searches for it or finds it in a log has one class."""

import ast
from collections import defaultdict
from pathlib import Path

from tests.docs.pages import REPO

PACKAGES = ("backtest", "engine", "pmpro_tui", "rl", "sql", "strategies")
# The simulated module has the structs of the broker's module under their official names.
OFFICIAL = REPO / "engine" / "terminal" / "simulated" / "module" / "structs.py"


def classes() -> dict[str, set[str]]:
    """Return where each class is defined, by its name: modules and lines, nested classes too."""
    found = defaultdict(set)
    for package in PACKAGES:
        for path in sorted((REPO / package).rglob("*.py")):
            if path == OFFICIAL:
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    found[node.name].add(f"{path.relative_to(REPO)}:{node.lineno}")
    return found


def test_no_class_name_exists_twice() -> None:
    """Over all packages a name stands for one class; a record carries its border in its name."""
    assert {name: places for name, places in classes().items() if len(places) > 1} == {}


def test_the_packages_are_all_there_are() -> None:
    """A package of ours that is added is looked at too."""
    ours = {p.parent.name for p in Path(REPO).glob("*/__init__.py")} - {"tests"}
    assert ours <= set(PACKAGES)
