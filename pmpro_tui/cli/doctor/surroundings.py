"""What a shell, cron or a service manager has set for this process, made harmless at its start."""

import os
import sys

from engine.files.places import leave_deleted_directory
from engine.model.errors import UserError

FILES_WANTED = 4096
ENGINE_FILES = 256
"""Open files that an engine with its consoles and hosts may need."""
_UMASK_ALWAYS, _UMASK_NEVER = 0o022, 0o700


def settle() -> None:
    """Stand somewhere, speak UTF-8, keep files this user's, open as many files as are allowed.

    A locale that is missing or another one makes paths and texts unreadable: where Python has not
    noticed by itself it begins anew, in UTF-8.
    """
    leave_deleted_directory()
    if os.name != "posix":
        return
    if not sys.flags.utf8_mode and not _utf8():
        os.environ["PYTHONUTF8"] = "1"
        os.environ.pop("PYTHONIOENCODING", None)
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606
    # A mask of 0 would let others write, one of 0777 nobody read, not even this user.
    os.umask(os.umask(_UMASK_ALWAYS) & ~_UMASK_NEVER | _UMASK_ALWAYS)
    _raise_files()


def require_files() -> None:
    """Refuse to start an engine that would run out of open files.

    Raises:
        UserError: the limit, and how to set another.
    """
    if (allowed := open_files()) < ENGINE_FILES:
        raise UserError(
            f"this process may open {allowed} files, an engine needs {ENGINE_FILES}: "
            f"`ulimit -n {FILES_WANTED}`, or LimitNOFILE={FILES_WANTED} in its unit"
        )


def open_files() -> int:
    """Return how many files this process may have open."""
    if os.name != "posix":
        return FILES_WANTED
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft >= 0 else FILES_WANTED


def _utf8() -> bool:
    encodings = {sys.getfilesystemencoding()}
    encodings |= {f.encoding for f in (sys.stdin, sys.stdout, sys.stderr) if f is not None}
    return all(encoding.lower().replace("-", "") == "utf8" for encoding in encodings)


def _raise_files() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard < 0 else min(hard, FILES_WANTED)
    if 0 <= soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
