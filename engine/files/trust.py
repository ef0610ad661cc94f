"""Who else could change a file: its owner, its mode, and those of every directory on the way.

As sshd's StrictModes: what runs or decides belongs to the engine's user or to root, and nobody else
may write it or put another one in its place. PMPRO_TRUST names more users and, as @GROUP, groups.
"""

import os
import re
import shlex
import stat
import sys
from collections.abc import Callable, Collection
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from engine.files.places import absolute, own_uid
from engine.model.errors import ConfigError

if sys.platform != "win32":
    import grp
    import pwd

VARIABLE = "PMPRO_TRUST"
_LINKS_MAX = 40
_ACL = "system.posix_acl_access"


class Trusted(NamedTuple):
    """Users and groups, by number, that may change what this process relies on."""

    uids: frozenset[int]
    gids: frozenset[int] = frozenset()

    def also(self, uids: Collection[int]) -> "Trusted":
        """Return these and more users."""
        return Trusted(self.uids.union(uids), self.gids)


def trusted() -> Trusted:
    """Return root, this process's user, and whom PMPRO_TRUST names.

    Raises:
        ConfigError: PMPRO_TRUST names nobody.
    """
    uids, gids = {0, own_uid()}, set()
    for name in filter(None, re.split(r"[,\s]+", os.environ.get(VARIABLE, ""))):
        if name.startswith("@"):
            gids.add(_number(name[1:], "group", lambda text: grp.getgrnam(text).gr_gid))
        else:
            uids.add(_number(name, "user", lambda text: pwd.getpwnam(text).pw_uid))
    return Trusted(frozenset(uids), frozenset(gids))


def fault_of(path: Path, who: Trusted | None = None, *, modes: bool = True) -> str | None:
    """Return in a line how others could change or replace `path`, None if nobody could.

    A path that is not there, or cannot be looked at, has no fault. Without `modes` only owners
    count: whether the way leads over something that a stranger has put there.

    Raises:
        ConfigError: PMPRO_TRUST names nobody.
    """
    if os.name != "posix":
        return None
    who = who or trusted()
    path = absolute(path)
    at = Path("/")
    rest = list(reversed(path.parts[1:]))
    n_links = 0
    try:
        found = _fault(at, at.lstat(), path, who, leaf=not rest, modes=modes)
        while rest and not found:
            part = rest.pop()
            if part == "..":  # `at` is real: what it lies in is its parent
                at = at.parent
                continue
            at /= part
            status = at.lstat()
            found = _fault(at, status, path, who, leaf=not rest, modes=modes)
            if stat.S_ISLNK(status.st_mode):
                n_links += 1
                if n_links > _LINKS_MAX:
                    return f"{path} leads through more than {_LINKS_MAX} symbolic links"
                target = at.readlink()
                at = Path("/") if target.is_absolute() else at.parent
                rest += reversed(target.parts[1:] if target.is_absolute() else target.parts)
    except OSError:
        return None
    return found


def fault_below(directory: Path, who: Trusted | None = None) -> str | None:
    """Return how others could change a directory or anything in it, None if nobody could."""
    if os.name != "posix":
        return None
    who = who or trusted()
    if found := fault_of(directory, who):
        return found
    for parent, directories, files in os.walk(directory):
        for name in [*directories, *files]:
            path = Path(parent, name)
            # A link leads away: whatever it leads to is judged with the whole way there.
            found = fault_of(path, who) if path.is_symlink() else _own_fault(path, who)
            if found:
                return found
    return None


def _own_fault(path: Path, who: Trusted) -> str | None:
    try:
        return _fault(path, path.lstat(), path, who, leaf=True)
    except OSError:  # gone meanwhile
        return None


def require_trusted(path: Path, what: str = "", who: Trusted | None = None) -> None:
    """Refuse a path that others could change or replace.

    Raises:
        ConfigError: `what`, then path, mode, owner and what to run.
    """
    if found := fault_of(path, who):
        raise ConfigError(f"{what}: {found}" if what else found)


def private_directory(path: Path, mode: int = 0o700) -> None:
    """Make a directory of this user's own, or take the one that is there if it is that.

    It has at least the bits of `mode`; who may read it besides is not changed.

    Raises:
        ConfigError: others could put something into it, or it is another user's.
        OSError: it cannot be made.
    """
    make_directory(path)
    require_trusted(path)
    status = path.stat()
    if os.name == "posix" and status.st_uid != own_uid():
        raise ConfigError(f"{path} belongs to {user_name(status.st_uid)}, not to us: name another")
    if status.st_mode & mode != mode:
        path.chmod(stat.S_IMODE(status.st_mode) | mode)


def make_directory(path: Path, mode: int = 0o700) -> None:
    """Make a directory and those above it, whatever the umask takes away or leaves open."""
    if path.is_dir():
        return
    if path.parent != path:
        make_directory(path.parent, 0o755)
    path.mkdir(mode=mode, exist_ok=True)
    status = path.stat()
    if status.st_mode & 0o700 != 0o700 and status.st_uid == own_uid():
        path.chmod(stat.S_IMODE(status.st_mode) | 0o700)


def closed_directory(path: Path, uid: int) -> Path | None:
    """Return the first directory above `path` that a user may not pass, None if all let him."""
    try:
        entry = pwd.getpwuid(uid)
        gids = os.getgrouplist(entry.pw_name, entry.pw_gid)
    except KeyError:
        gids = []
    for directory in reversed(path.resolve().parents):
        if uid == 0 or not directory.exists():
            return None  # what is made from here on lets others pass
        status = directory.stat()
        bit = 0o001
        if status.st_uid == uid:
            bit = 0o100
        elif status.st_gid in gids:
            bit = 0o010
        if not status.st_mode & bit:
            return directory
    return None


def user_name(uid: int) -> str:
    """Return a user as people know it: name and number."""
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"


def _fault(
    at: Path, status: os.stat_result, path: Path, who: Trusted, *, leaf: bool, modes: bool = True
) -> str | None:
    """Return what is wrong with one step on the way to `path`."""
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid not in who.uids:
        does = "" if at == path else f", who could replace {path}"
        remedy = run_on(f"chown {own_uid()}", at)
    elif stat.S_ISLNK(status.st_mode) or not mode & 0o022 or not modes:
        return None
    elif mode & stat.S_ISVTX and stat.S_ISDIR(status.st_mode) and not leaf:
        return None  # others may add to it, but neither remove nor rename what is in it
    elif not mode & 0o002 and not _has_access_list(at) and _harmless(status.st_gid, who):
        return None
    else:
        does = ": others may write it" if at == path else f": others could replace {path}"
        remedy = run_on("chmod go-w", at)
    return f"{at} has mode {mode:o} and belongs to {user_name(status.st_uid)}{does}: {remedy}"


def run_on(words: str, path: Path) -> str:
    """Return a command line for a path, as a shell takes it."""
    return f"{words} {shlex.quote(str(path))}"


def _has_access_list(path: Path) -> bool:
    """Return whether the group's bits stand for an access list, which may name anybody."""
    try:
        return _ACL in os.listxattr(path)
    except (OSError, AttributeError):
        return False


@lru_cache
def _harmless(gid: int, who: Trusted) -> bool:
    """Return whether a group has no members but the trusted: such as a user's private group."""
    if gid in who.gids:
        return True
    try:
        members = {pwd.getpwnam(name).pw_uid for name in grp.getgrgid(gid).gr_mem}
    except KeyError:  # nobody can tell who is in it
        return False
    members |= {entry.pw_uid for entry in pwd.getpwall() if entry.pw_gid == gid}
    return members <= who.uids


def _number(name: str, what: str, look_up: Callable[[str], int]) -> int:
    try:
        return int(name) if name.isdigit() else look_up(name)
    except KeyError:
        raise ConfigError(
            f"environment: {VARIABLE}: there is no {what} {name!r} on this box"
        ) from None
