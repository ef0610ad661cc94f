"""A class name exists once: who reads it, searches for it or finds it in a log has one class."""

import ast
from collections import defaultdict
from pathlib import Path

from tests.docs.pages import REPO, code_spans, rows

GLOSSARY = REPO / "docs" / "GLOSSARY.md"
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


def identifiers() -> set[str]:
    """Return every name that our code defines, reads or keeps as a key."""
    found = set()
    for package in PACKAGES:
        for path in (REPO / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                match node:
                    case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                        found.add(name)
                    case (
                        ast.Name(id=name) | ast.Attribute(attr=name) | ast.Constant(value=str(name))
                    ):
                        found.add(name)
    return found


def test_words_of_the_glossary_are_names_of_the_code() -> None:
    """Each word's name exists in the code, and no word and no name stands there twice."""
    listed = [r for r in rows(GLOSSARY.read_text(encoding="utf-8")) if code_spans(r[-1])]
    words = [word for word, *_ in listed]
    names = [code_spans(cells[-1])[0] for cells in listed]
    assert len(words) >= 40
    assert sorted(set(words)) == sorted(words)
    assert sorted(set(names)) == sorted(names)
    assert set(names) - identifiers() == set()


# Words that once stood for several things, and have a name of their own each now.
RETIRED = {"Contents", "Desk", "Explained", "Picture", "Seen", "Told"}


def test_no_class_is_named_by_a_word_that_is_retired() -> None:
    """A word with several senses names no class again."""
    assert RETIRED & set(classes()) == set()
