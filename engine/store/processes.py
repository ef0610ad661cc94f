"""Finding and ending a server's processes by the directory they work in.

A pid file can be stale, damaged or name a stranger; a server's processes always have its data
directory as their working directory. A signal goes only to the process that was found: psutil
compares its start time first.
"""

import signal
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]

QUIT_S = 5.0
POLL_S = 0.01


def server_processes(data: Path) -> list[psutil.Process]:
    """Return all server processes of a data directory, the postmaster first if it lives."""
    found: list[tuple[bool, psutil.Process]] = []
    for process in psutil.process_iter():
        try:
            if process.name().startswith("postgres") and process.cwd() == str(data):
                found.append((_is_postmaster(process), process))
        except psutil.Error:  # gone meanwhile, or another user's
            continue
    found.sort(key=lambda item: not item[0])
    return [process for _, process in found]


def pid_exists(pid: int) -> bool:
    """Whether any process has this number."""
    return bool(psutil.pid_exists(pid))


def end(processes: list[psutil.Process], timeout_s: float) -> bool:
    """Shut a server down: fast, at the deadline at once, then by force; True if all are gone.

    Without their postmaster the others end by themselves; data is safe with each of these.
    """
    if processes and _is_postmaster(processes[0]):
        _signal(processes[:1], signal.SIGINT)
    left = _wait(processes, timeout_s)
    for number in (signal.SIGQUIT, signal.SIGKILL):
        if left:
            _signal(left, number)
            left = _wait(left, QUIT_S)
    return not left


def _wait(processes: list[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    deadline = time.monotonic() + timeout_s
    while (left := [p for p in processes if _lives(p)]) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return left


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _is_postmaster(process: psutil.Process) -> bool:
    # Children overwrite their command line with what they do.
    try:
        return "-D" in process.cmdline()
    except psutil.Error:
        return False


def _signal(processes: list[psutil.Process], number: int) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.Error:
            continue
