"""Where things lie that no configuration names: the user's home and a private temporary place."""

import os
from pathlib import Path

from engine.model.errors import ConfigError

SOCKET_PATH_MAX_BYTES = 107
"""`sun_path` of Linux holds 108 bytes with its final zero (unix(7))."""


_lost = ""


def home() -> Path:
    """Return the user's home: $HOME, else the user database's.

    Raises:
        ConfigError: neither names one.
    """
    named = os.environ.get("HOME" if os.name == "posix" else "USERPROFILE", "")
    if Path(named).is_absolute():
        return Path(named)
    try:
        if os.name == "posix":
            import pwd

            return Path(pwd.getpwuid(own_uid()).pw_dir)
        return Path.home()
    except (KeyError, RuntimeError):
        raise ConfigError(
            "there is no home directory: HOME is not set, and the user database has no entry for "
            f"uid {own_uid()}: set HOME to a directory of this user's own, or state_dir "
            "(PMPRO_STATE_DIR) and PMPRO_CACHE_DIR"
        ) from None


def base_directory(variable: str, below_home: str) -> Path:
    """Return a base directory of the XDG specification, which ignores relative ones."""
    named = Path(os.environ.get(variable, ""))
    return named if named.is_absolute() else home() / below_home


def expanded(path: Path) -> Path:
    """Return the path with a leading `~` or `~user` in place of the home.

    Raises:
        ConfigError: there is no such home.
    """
    first = path.parts[0] if path.parts else ""
    if first == "~":
        return home().joinpath(*path.parts[1:])
    if not first.startswith("~"):
        return path
    try:
        return path.expanduser()
    except RuntimeError:
        raise ConfigError(f"{path}: there is no user {first[1:]!r} on this box") from None


def leave_deleted_directory() -> None:
    """Stand elsewhere if the working directory was deleted: much of Python asks where it stands.

    What is named relative to it is refused by `working_directory`, or is not found.
    """
    global _lost
    try:
        Path.cwd()
    except OSError as error:
        _lost = error.strerror or str(error)
        os.chdir("/proc/self" if Path("/proc/self").exists() else "/")


def working_directory() -> Path:
    """Return where this process was started.

    Raises:
        ConfigError: that directory was deleted, or may not be looked at.
    """
    reason = _lost
    try:
        if not reason:
            return Path.cwd()
    except OSError as error:
        reason = error.strerror or str(error)
    raise ConfigError(
        f"the working directory cannot be used ({reason}): change into another one, or write the "
        "path in full"
    )


def absolute(path: Path) -> Path:
    """Return a path in full; the working directory is looked at only where that is needed."""
    return path if path.is_absolute() else working_directory() / path


def private_temporary(uid: int) -> Path:
    """Return a user's own directory of sockets where no better place is short enough.

    Not below $TMPDIR: the engine and its clients must find the same one.
    """
    return Path("/tmp") / f"pmpro-{uid}"  # noqa: S108  (made and checked by `private_directory`)


def own_uid() -> int:
    """Return who runs this process, by number; 0 where users have none."""
    return os.geteuid() if hasattr(os, "geteuid") else 0
