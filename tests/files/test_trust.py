"""Who else could change what runs or decides: owners, modes, parents, links, groups."""

import grp
import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.files import trust
from engine.files.trust import Trusted, fault_below, fault_of, private_directory, require_trusted
from engine.model.errors import ConfigError

STRANGER = 54_321
ME = os.geteuid()
needs_root = pytest.mark.skipif(ME != 0, reason="needs root to give files away")


@pytest.fixture(autouse=True)
def _forget_groups() -> Iterator[None]:
    trust._harmless.cache_clear()
    yield
    trust._harmless.cache_clear()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "d" / "file"
    path.parent.mkdir(mode=0o755)
    path.write_text("x", encoding="utf-8")
    path.chmod(0o644)
    return path


def test_what_is_this_users_alone_has_no_fault(file: Path) -> None:
    """Others may read it, and the temporary directory is everybody's with the sticky bit."""
    assert fault_of(file) is None
    assert fault_of(file.parent) is None
    assert fault_of(file / "not" / "there") is None


@pytest.mark.parametrize("mode", [0o666, 0o646, 0o602])
def test_a_file_that_anybody_may_write(file: Path, mode: int) -> None:
    """Path, mode, owner and what to run, in one line."""
    file.chmod(mode)
    me = trust.user_name(ME)
    assert fault_of(file) == (
        f"{file} has mode {mode:o} and belongs to {me}: others may write it: chmod go-w {file}"
    )
    with pytest.raises(ConfigError, match=f"^option: {file} has mode"):
        require_trusted(file, "option")


@pytest.mark.parametrize("mode", [0o777, 0o757, 0o703])
def test_a_directory_on_the_way_that_anybody_may_write(file: Path, mode: int) -> None:
    """Whoever may rename in a directory may replace what is in it."""
    file.parent.chmod(mode)
    found = fault_of(file)
    assert found is not None
    assert f"{file.parent} has mode {mode:o}" in found
    assert f"others could replace {file}: chmod go-w {file.parent}" in found


def test_a_sticky_directory_keeps_what_is_in_it(file: Path) -> None:
    """As /tmp: others may add to it. A directory that is itself meant must not be one."""
    file.parent.chmod(0o1777)
    assert fault_of(file) is None
    found = fault_of(file.parent)
    assert found is not None
    assert "mode 1777" in found


@needs_root
@pytest.mark.parametrize("which", ["file", "directory", "link", "sticky"])
def test_a_strangers_work_is_refused(file: Path, tmp_path: Path, which: str) -> None:
    """Its owner may change it at any time: file, directory, link, and a file in a sticky place."""
    path = file
    if which == "directory":
        os.chown(file.parent, STRANGER, STRANGER)
    elif which == "link":
        path = tmp_path / "link" / "file"
        path.parent.symlink_to(file.parent)
        os.chown(path.parent, STRANGER, STRANGER, follow_symlinks=False)
    else:
        os.chown(file, STRANGER, STRANGER)
        file.parent.chmod(0o1777 if which == "sticky" else 0o755)
    found = fault_of(path)
    assert found is not None
    assert f"belongs to uid {STRANGER}" in found
    assert "chown 0 " in found
    assert fault_of(path, modes=False) == found
    assert fault_of(path, trust.trusted().also({STRANGER})) is None


@needs_root
def test_each_link_is_followed_and_judged(file: Path, tmp_path: Path) -> None:
    """Relative, through `..`, and to a directory that others may write; a loop ends."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "link").symlink_to("../d")
    assert fault_of(tmp_path / "a" / "link" / "file") is None
    assert fault_of(tmp_path / "a" / "link" / ".." / "d" / "file") is None
    file.parent.chmod(0o777)
    found = fault_of(tmp_path / "a" / "link" / "file")
    assert found is not None
    assert f"{file.parent} has mode 777" in found
    (tmp_path / "round").symlink_to(tmp_path / "round")
    assert "more than 40 symbolic links" in str(fault_of(tmp_path / "round"))


class Groups:
    """A user database of our own."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.members: dict[int, list[str]] = {}
        self.users = {"root": (0, 0), "me": (ME, 77), "bob": (500, 500), "ann": (501, 77)}
        patch.setattr(grp, "getgrgid", self._group)
        patch.setattr(pwd, "getpwnam", lambda name: SimpleNamespace(pw_uid=self.users[name][0]))
        patch.setattr(
            pwd,
            "getpwall",
            lambda: [SimpleNamespace(pw_uid=u, pw_gid=g) for u, g in self.users.values()],
        )

    def _group(self, gid: int) -> SimpleNamespace:
        return SimpleNamespace(gr_mem=self.members[gid])


@pytest.mark.parametrize(
    ("members", "primary", "harmless"),
    [
        ([], {}, True),  # nobody is in it
        (["me"], {}, True),
        (["me", "root"], {}, True),
        (["bob"], {}, False),
        (["me", "bob"], {}, False),
        (["gone"], {}, False),  # a name that may come back as anybody
        ([], {"bob": 900}, False),  # it is bob's first group, which lists no members
        ([], {"me": 900}, True),  # the user's private group
    ],
)
def test_a_group_of_trusted_users_alone_may_write(
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    members: list[str],
    primary: dict[str, int],
    harmless: bool,
) -> None:
    """With a umask of 002 files belong to their owner's private group: that is nobody else."""
    groups = Groups(monkeypatch)
    groups.members[900] = members
    groups.users |= {name: (groups.users[name][0], gid) for name, gid in primary.items()}
    who = Trusted(frozenset({0, ME}))
    assert trust._harmless(900, who) is harmless
    assert trust._harmless(900, Trusted(who.uids, frozenset({900}))) is True


@needs_root
def test_a_group_that_others_are_in_may_not_write(file: Path) -> None:
    """And an access list may name anybody behind the group's bits."""
    file.chmod(0o664)
    os.chown(file, 0, pwd.getpwnam("nobody").pw_gid)
    assert "others may write it: chmod go-w" in str(fault_of(file))
    os.chown(file, 0, 0)
    assert fault_of(file) is None  # root's own group
    entries = [(0x01, 6, 0xFFFFFFFF), (0x02, 6, STRANGER), (0x04, 4, 0xFFFFFFFF)]
    entries += [(0x10, 6, 0xFFFFFFFF), (0x20, 4, 0xFFFFFFFF)]
    packed = b"\x02\0\0\0" + b"".join(
        tag.to_bytes(2, "little") + bits.to_bytes(2, "little") + who.to_bytes(4, "little")
        for tag, bits, who in entries
    )
    try:
        os.setxattr(file, "system.posix_acl_access", packed)
    except OSError:
        pytest.skip("no access lists on this file system")
    assert "others may write it" in str(fault_of(file))


def test_more_users_and_groups_may_be_trusted(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    """By name or number, groups behind an @; a name that nobody has is an error."""
    monkeypatch.setenv("PMPRO_TRUST", "4321, daemon @0\t@nogroup")
    assert trust.trusted() == Trusted(
        frozenset({0, ME, 4321, pwd.getpwnam("daemon").pw_uid}),
        frozenset({0, grp.getgrnam("nogroup").gr_gid}),
    )
    for text, said in (("nobody-here", "no user 'nobody-here'"), ("@none", "no group 'none'")):
        monkeypatch.setenv("PMPRO_TRUST", text)
        with pytest.raises(ConfigError, match=f"PMPRO_TRUST: there is {said} on this box"):
            fault_of(file)


@needs_root
def test_one_file_among_many_is_found(file: Path) -> None:
    """All that lies below a directory is looked at, links to elsewhere too."""
    deep = file.parent / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "kernel").write_text("x", encoding="utf-8")
    assert fault_below(file.parent) is None
    (deep / "kernel").chmod(0o666)
    assert f"{deep / 'kernel'} has mode 666" in str(fault_below(file.parent))
    (deep / "kernel").unlink()
    target = file.parent.parent / "target"
    target.write_text("x", encoding="utf-8")
    (deep / "kernel").symlink_to(target)
    assert fault_below(file.parent) is None
    os.chown(target, STRANGER, STRANGER)
    assert f"{target} has mode" in str(fault_below(file.parent))


def test_a_directory_of_ones_own(tmp_path: Path) -> None:
    """It is made for its owner alone whatever the umask is, and taken by a link as well."""
    before = os.umask(0)
    try:
        private_directory(tmp_path / "new" / "run", 0o711)
        os.umask(0o777)
        private_directory(tmp_path / "own")
    finally:
        os.umask(before)
    assert (tmp_path / "new" / "run").stat().st_mode & 0o777 == 0o711
    assert (tmp_path / "own").stat().st_mode & 0o777 == 0o700
    (tmp_path / "link").symlink_to(tmp_path / "own")
    private_directory(tmp_path / "link")
    (tmp_path / "own").chmod(0o777)
    with pytest.raises(ConfigError, match=r"has mode 777 .* chmod go-w"):
        private_directory(tmp_path / "link")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="File exists"):
        private_directory(tmp_path / "file")


@needs_root
@pytest.mark.parametrize("kind", ["directory", "link"])
def test_a_squatted_directory_is_not_used(tmp_path: Path, kind: str) -> None:
    """Where everybody may make it, a stranger may have been first."""
    tmp_path.chmod(0o1777)
    place = tmp_path / f"pmpro-{ME}"
    if kind == "directory":
        place.mkdir()
    else:
        (tmp_path / "mine").mkdir()
        place.symlink_to(tmp_path / "mine")
    os.chown(place, STRANGER, STRANGER, follow_symlinks=False)
    with pytest.raises(ConfigError, match=f"{place} has mode .* belongs to uid {STRANGER}"):
        private_directory(place)
