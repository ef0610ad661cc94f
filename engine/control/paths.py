"""Where the control socket is: a run directory apart from the state directory."""

import hashlib
import os
import stat
from pathlib import Path

from engine.model.errors import StateError

GROUP = "pmpro"
NAME_CHARS = 16
SOCKET_PATH_MAX_BYTES = 107
"""`sun_path` of Linux holds 108 bytes with its final zero (unix(7))."""


def socket_path(run_dir: Path, state_dir: Path) -> Path:
    """Return the socket of the engine that owns `state_dir`: a short hashed name."""
    name = hashlib.sha256(os.fsencode(state_dir.resolve())).hexdigest()[:NAME_CHARS]
    path = run_dir / f"{name}.sock"
    length = len(os.fsencode(path))
    if length > SOCKET_PATH_MAX_BYTES:
        raise StateError(
            f"the socket path {path} has {length} bytes, {SOCKET_PATH_MAX_BYTES} allowed: "
            "choose a shorter run directory"
        )
    return path


def fits(run_dir: Path) -> bool:
    """Tell whether a socket in `run_dir` has a path that is short enough."""
    name_bytes = len("/") + NAME_CHARS + len(".sock")
    return len(os.fsencode(run_dir)) + name_bytes <= SOCKET_PATH_MAX_BYTES


def prepare_run_dir(run_dir: Path) -> None:
    """Create the run directory, 0750, group `pmpro` where that exists; refuse a stranger's."""
    run_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
    status = run_dir.stat()
    if not hasattr(os, "geteuid"):
        return
    if status.st_uid != os.geteuid():
        raise StateError(f"the run directory {run_dir} belongs to uid {status.st_uid}, not to us")
    if stat.S_IMODE(status.st_mode) & 0o022:
        run_dir.chmod(0o750)
    group = group_id()
    if group is not None and status.st_gid != group:
        os.chown(run_dir, -1, group)


def group_id() -> int | None:
    """Return the id of group `pmpro` if it exists and we may hand files to it."""
    import grp

    try:
        group = grp.getgrnam(GROUP).gr_gid
    except KeyError:
        return None
    return group if os.geteuid() == 0 or group in os.getgroups() else None
