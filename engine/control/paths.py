"""Where the control socket is: a run directory apart from the state directory."""

import hashlib
import os
import socket
import stat
from pathlib import Path

from engine.files.places import SOCKET_PATH_MAX_BYTES
from engine.files.trust import private_directory
from engine.model.errors import StateError

NAME_CHARS = 16
# The longest of an engine's sockets: that of its console in a browser.
SUFFIXES = (".sock", ".web.sock")


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
    """Tell whether every socket in `run_dir` has a path that is short enough."""
    name_bytes = len("/") + NAME_CHARS + max(map(len, SUFFIXES))
    return len(os.fsencode(run_dir)) + name_bytes <= SOCKET_PATH_MAX_BYTES


def clear_stale(path: Path, what: str) -> None:
    """Remove a socket that nobody listens on; `what` would.

    Raises:
        StateError: somebody listens or may listen there, or it is no socket.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise StateError(f"{path} is in the way of a socket: move it elsewhere")
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    probe.settimeout(1.0)
    try:
        probe.connect(str(path))
    except (ConnectionRefusedError, FileNotFoundError):
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StateError(f"cannot tell whether another {what} listens on {path}: {error}") from None
    else:
        raise StateError(f"another {what} listens on {path}")
    finally:
        probe.close()


def prepare_run_dir(run_dir: Path, *, shared: bool = False) -> None:
    """Make the run directory, which is this user's own; `shared` lets others pass to the socket.

    Raises:
        ConfigError: another user owns it or could put something into it.
        StateError: it cannot be made.
    """
    try:
        private_directory(run_dir, 0o711 if shared else 0o700)
    except OSError as error:
        raise StateError(f"{run_dir}: cannot use the run directory: {error.strerror}") from None
