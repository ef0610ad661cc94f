"""Which processes descend from which: what the engine has started does not command it.

An orphan in a session of its own descends from nobody any more. What it cannot lay off are the
bounds that strategies' code was given (`engine.child.confinement`): they are a mark, too.
"""

import os
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


def bounded(pid: int) -> bool:
    """Tell whether a process has bounds that this one has not, as strategies' code has them.

    All three at once: no new privileges, a system call filter more, and no core dump ever. A
    console that an operator has put into a sandbox of its own beside an engine outside of it is
    taken for one, too, if that forbids core dumps for good.
    """
    theirs, ours = _filters(pid), _filters(os.getpid())
    return theirs > ours and _status(pid).get("NoNewPrivs") == "1" and _dumps_no_core(pid)


def gone(pid: int) -> bool:
    """Tell whether a process has ended; 0, which stands for one of another world, has not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return _status(pid).get("State", "").startswith(("Z", "X"))


def _status(pid: int) -> dict[str, str]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _filters(pid: int) -> int:
    """Return how many filters of system calls hold; before Linux 5.9 whether any does."""
    status = _status(pid)
    said = status.get("Seccomp_filters") or ("1" if status.get("Seccomp") == "2" else "0")
    return int(said) if said.isdecimal() else 0


def _dumps_no_core(pid: int) -> bool:
    try:
        lines = Path(f"/proc/{pid}/limits").read_text(errors="replace").splitlines()
    except OSError:
        return False
    return any(line.startswith("Max core file size") and line.split()[5] == "0" for line in lines)


def _family(pid: int) -> tuple[int, int]:
    """Return a process's parent and session, 0 where unknown."""
    try:
        # The second field is a name in brackets, which may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return int(fields[1]), int(fields[3])
    except (OSError, ValueError, IndexError):
        return 0, 0
