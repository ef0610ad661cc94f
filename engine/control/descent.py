"""Which processes descend from which: what the engine has started does not command it."""

from collections.abc import Collection
from pathlib import Path

# More generations than that have no end.
_GENERATIONS_MAX = 64


def descends(pid: int, ancestors: Collection[int]) -> bool:
    """Tell whether a process is one of these, descends from one, or is in the session of one.

    What is gone, or cannot be seen, is nobody's.
    """
    session = _family(pid)[1]
    for _ in range(_GENERATIONS_MAX):
        if pid <= 1 or pid in ancestors or session in ancestors:
            break
        pid, session = _family(pid)[0], 0
    return pid in ancestors or session in ancestors


def _family(pid: int) -> tuple[int, int]:
    """Return a process's parent and session, 0 where unknown."""
    try:
        # The second field is a name in brackets, which may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return int(fields[1]), int(fields[3])
    except (OSError, ValueError, IndexError):
        return 0, 0
