"""The tree is one in which a newcomer finds their way: rooms of the trade, none too full."""

from collections import Counter

from tests.conftest import REPO

PACKAGES = ("backtest", "engine", "pmpro_tui", "rl", "sql", "strategies")
FILES_MAX = 18


def test_no_room_is_too_full() -> None:
    """A folder holds at most 18 files; beyond that its name says too little."""
    files = (path for name in PACKAGES for path in (REPO / name).rglob("*.py"))
    rooms = Counter(path.parent.relative_to(REPO) for path in files if path.stem != "__init__")
    assert {str(room): n for room, n in rooms.items() if n > FILES_MAX} == {}


def test_the_engine_names_nothing_above_it() -> None:
    """Not in an import, which a contract forbids, and not in a text either."""
    found = [
        f"{path.relative_to(REPO)}:{number}"
        for path in (REPO / "engine").rglob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if "pmpro_tui" in line
    ]
    assert found == []
