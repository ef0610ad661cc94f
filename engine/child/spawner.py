"""Start processes from one thread that lives as long as this process.

Linux kills a child that asked for it (`PR_SET_PDEATHSIG`) when the *thread* that started it ends,
not the process: children started from short-lived threads would die with them.
"""

import queue
import subprocess
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import IO

_Job = tuple[Sequence[str], IO[bytes] | None, Mapping[str, str], "Future[subprocess.Popen[bytes]]"]

_jobs: "queue.SimpleQueue[_Job]" = queue.SimpleQueue()
_lock = threading.Lock()
_thread: threading.Thread | None = None


def spawn(
    command: Sequence[str], *, stderr: IO[bytes] | None, env: Mapping[str, str]
) -> "subprocess.Popen[bytes]":
    """Start `command` in a session of its own with piped stdin and stdout."""
    global _thread
    with _lock:
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_run, name="child-spawner", daemon=True)
            _thread.start()
    started: Future[subprocess.Popen[bytes]] = Future()
    _jobs.put((command, stderr, env, started))
    return started.result()


def _run() -> None:
    while True:
        command, stderr, env, started = _jobs.get()
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=env,
                bufsize=0,
                start_new_session=True,
            )
        except Exception as error:
            started.set_exception(error)
        else:
            started.set_result(process)
