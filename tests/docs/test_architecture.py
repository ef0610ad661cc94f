"""ARCHITECTURE.md draws the rooms as they are."""

import re
import tomllib

from tests.docs.pages import REPO, code_spans, rows

ARCHITECTURE = (REPO / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
ROOMS = ARCHITECTURE.split("\n## Rooms\n")[1].split("\n## ", maxsplit=1)[0]
_ALONE = ("backtest", "rl", "sql", "strategies")
_ENGINE_ORDER = "the rooms of the engine stand above one another"


def layers() -> list[set[str]]:
    """Return the rooms of each level, from the import contract."""
    linter = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    (contract,) = (c for c in linter["importlinter"]["contracts"] if c["name"] == _ENGINE_ORDER)
    return [set(re.split(r"[|:\s]+", layer.strip(" ()"))) for layer in contract["layers"]]


def test_every_room_is_listed_and_no_other() -> None:
    """A folder of code that the page does not explain, or explains and has not, is found."""
    folders = {
        f"{top}.{folder.name}"
        for top in ("engine", "pmpro_tui")
        for folder in (REPO / top).iterdir()
        if any(folder.glob("*.py"))
    }
    listed = [code_spans(cells[0])[0] for cells in rows(ROOMS)[1:]]
    assert sorted(listed) == sorted({*folders, *_ALONE})


def test_the_drawing_has_the_levels_of_the_contract() -> None:
    """The rooms stand above one another on the page as import-linter enforces it."""
    drawing = re.search(r"^```\n(.*?)^```", ROOMS, re.MULTILINE | re.DOTALL)
    assert drawing is not None
    assert [set(line.split()) for line in drawing[1].splitlines()] == layers()
