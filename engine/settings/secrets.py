"""Secrets in files: read only from a regular file of the user's that nobody else can read."""

import os
import stat
from pathlib import Path

from pydantic import SecretStr

from engine.files.trust import fault_of
from engine.model.errors import ConfigError


def read_secret(path: Path, option: str) -> SecretStr:
    """Return the file's content without surrounding white space.

    Args:
        path: the secret's file.
        option: what named it, for the error: `config.toml: key "terminal.password_file"`.

    Raises:
        ConfigError: unreadable, empty, not the user's, or open to others.
    """
    try:
        # Without O_NONBLOCK a named pipe would be waited for.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            _require_private(os.fstat(file.fileno()), path, option)
            if fault := fault_of(path):
                raise ConfigError(f"{option}: {fault}")
            content = file.read(65_536).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"{option}: cannot read {path}: {reason}") from None
    if not content:
        raise ConfigError(f"{option}: {path} is empty")
    return SecretStr(content)


def _require_private(status: os.stat_result, path: Path, option: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"{option}: {path} is not a regular file")
    if os.name != "posix":
        return
    if status.st_uid not in (0, os.geteuid()):
        raise ConfigError(f"{option}: {path} belongs to another user: chown it to yours")
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise ConfigError(f"{option}: {path} has mode {mode:o}, others may read it: chmod 600 it")
