"""The host's lock file: while it is held, an earlier host may still be inside `order_send`."""

import os
import sys
import time
from pathlib import Path
from typing import Final

from engine.model.errors import StateError

_RETRY_S: Final = 0.02


def hold_lock(path: Path, *, wait_s: float) -> int:
    """Take the lock exclusively, waiting at most `wait_s`; return its descriptor.

    The kernel frees it when the process ends, however it ends. Nothing else ever frees it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    deadline_s = time.monotonic() + wait_s
    while not _try_lock(fd):
        if time.monotonic() >= deadline_s:
            os.close(fd)
            raise StateError(
                f"terminal host lock {path} is still held after {wait_s:g} s: an earlier terminal "
                "host is running and may be sending an order; nothing is sent until it has ended"
            )
        time.sleep(_RETRY_S)
    return fd


def _try_lock(fd: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
