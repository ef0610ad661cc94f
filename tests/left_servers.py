"""PostgreSQL servers that a test session has started and not ended.

A server has no environment and no parent of its session's once its engine is dead. What it keeps is
the limits it was born with: the session gives itself a number of its own as its limit of message
queues, which nothing here uses, and every process that comes from it has the same.
"""

import os
import sys
import threading
import time
from pathlib import Path

import psutil

from engine.store.processes import _is_postmaster, end

# An engine that was told to stop may still be ending its server.
GRACE_S = 15.0


def mark_session() -> int:
    """Give this process, and all that come from it, a number; return it."""
    if sys.platform != "linux":
        return 0
    import resource

    _, hard = resource.getrlimit(psutil.RLIMIT_MSGQUEUE)
    mark = 100_000 + os.getpid() % 700_000
    resource.setrlimit(psutil.RLIMIT_MSGQUEUE, (mark, hard))
    return mark


def marked_servers(mark: int) -> list[psutil.Process]:
    """Return the postmasters that come from the session with this number."""
    return [
        process
        for process in psutil.process_iter()
        if mark
        and process.name().startswith("postgres")
        and _mark_of(process.pid) == mark
        and _is_postmaster(process)
    ]


def now_s() -> float:
    """Return the time by the clock that the starts of processes are told by."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def end_left(mark: int, tests: list[tuple[float, str]]) -> list[str]:
    """End the servers that are left after a session; say of each which test ran as it started.

    `tests`: each one's start by `now_s` and name, in order.
    """
    deadline_s = time.monotonic() + GRACE_S
    pause = threading.Event()
    while (left := marked_servers(mark)) and time.monotonic() < deadline_s:
        if all(_mark_of(process.ppid()) != mark for process in left):
            break  # orphans: nobody ends them
        pause.wait(0.2)
    said = []
    for process in left:
        stat = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8")
        began_s = int(stat.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        before = [name for at_s, name in tests if at_s <= began_s]
        words = process.cmdline()
        said.append(
            f"PostgreSQL left running: pid {process.pid}, {words[words.index('-D') + 1]}, "
            f"started during {before[-1] if before else 'the collection'}"
        )
        end([process, *process.children()], 10.0)
    return said


def _mark_of(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/limits").read_text(encoding="ascii").splitlines()
    except OSError:  # gone
        return -1
    for line in lines:
        if line.startswith("Max msgqueue size"):
            soft = line.split()[3]
            return int(soft) if soft.isdecimal() else -1
    return -1
