"""Whether a process has ended, for tests that end one or wait for its end."""

import time
from collections.abc import Iterable

import psutil


def lives(pid: int) -> bool:
    """Whether a process runs: one that has ended and that nobody has waited for yet does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def all_ended(pids: Iterable[int], *, within_s: float = 20.0) -> bool:
    """Wait until none of these processes runs; False if one still does after that time."""
    pids = list(pids)
    deadline_s = time.monotonic() + within_s
    while any(lives(pid) for pid in pids):
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.02)
    return True
