"""Finding and ending a server's processes by the directory they work in.

A pid file can be stale, damaged or name a stranger; a server's processes always have its data
directory as their working directory. Directories are compared by device and inode: the same one has
many names where a symbolic link is on the way. A signal goes only to the process that was found:
psutil compares its start time first.
"""

import signal
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]

QUIT_S = 5.0
POLL_S = 0.01
# Between the start that a process writes down and the one that the kernel knows.
START_SLACK_S = 5.0

_Place = tuple[int, int]


def server_processes(data: Path) -> list[psutil.Process]:
    """Return all server processes of a data directory, the postmaster first if it lives."""
    place = _place(data)
    if place is None:
        return []
    found: list[psutil.Process] = []
    hidden: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if not process.name().startswith("postgres"):
                continue
            works_in = _working_place(process)
            if works_in == place or (works_in is None and _named_place(process) == place):
                found.append(process)
            elif works_in is None:
                hidden.append(process)
        except psutil.Error:  # gone meanwhile
            continue
    # Of another account's processes a root without CAP_SYS_PTRACE sees no directory.
    parents = {process.pid for process in found}
    found += [process for process in hidden if _parent_of(process) in parents]
    found.sort(key=lambda process: not _is_postmaster(process))
    return found


def may_be_server(pid: int, data: Path, uid: int, started_s: float | None) -> bool:
    """Return whether a process may be a server on `data`; False only for what certainly is none.

    Args:
        pid: the process that a lock file names.
        data: the server's data directory.
        uid: the account that the server runs as.
        started_s: when the server of the lock file started, seconds since 1970; None: not known.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        works_in = _working_place(process) or _named_place(process)
        if works_in is not None:
            return works_in == _place(data)
        if process.uids().real != uid or not process.name().startswith("post"):
            return False
        return started_s is None or abs(process.create_time() - started_s) < START_SLACK_S
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:  # nothing at all can be seen of it
        return True


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


def _place(directory: Path) -> _Place | None:
    try:
        status = directory.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _working_place(process: psutil.Process) -> _Place | None:
    """Return where a process works; None where the system does not tell."""
    if Path("/proc/self").exists():
        # The link leads to the directory itself, whatever its name is by now.
        return _place(Path(f"/proc/{process.pid}/cwd"))
    try:
        return _place(Path(process.cwd()))
    except psutil.AccessDenied:
        return None


def _named_place(process: psutil.Process) -> _Place | None:
    """Return the data directory that a postmaster was started with."""
    words = process.cmdline()
    return _place(Path(words[words.index("-D") + 1])) if "-D" in words[:-1] else None


def _parent_of(process: psutil.Process) -> int | None:
    try:
        return int(process.ppid())
    except psutil.Error:
        return None


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
