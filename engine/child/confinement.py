"""Bounds for a process that runs code of others: Landlock and seccomp, where the kernel has them.

The code may compute, read most of the file system and write to places of its own. It opens no
socket, looks into no other process, signals none, and changes no file's owner or mode. Bounds hold
for everything that the process starts, and nothing lifts them. Elsewhere than on Linux there are
none; `available` says which there are.

Landlock: https://docs.kernel.org/userspace-api/landlock.html; seccomp: seccomp(2).
"""

import contextlib
import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38

# The same on every architecture.
_LANDLOCK_CREATE: Final = 444
_LANDLOCK_ADD_RULE: Final = 445
_LANDLOCK_RESTRICT: Final = 446
_LANDLOCK_VERSION: Final = 1
_RULE_PATH_BENEATH: Final = 1
_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
# Remove and make anything; move between directories since 2, truncate since 3.
_CHANGE_BY_ABI: Final = {1: ((1 << 13) - 1) & ~0b1111, 2: 1 << 13, 3: 1 << 14}
_TRUNCATE: Final = 1 << 14
# Since 4 no TCP; since 6 no abstract sockets and no signals to others.
_TCP: Final = 0b11
_SCOPED: Final = 0b11

_SECCOMP_SET_FILTER: Final = 1
_SECCOMP_ACTION_AVAILABLE: Final = 2
_EVERY_THREAD: Final = 1
_NO_SLOW_DOWN: Final = 4  # mitigations against speculation cost every computation
_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050000 | errno.EPERM


class _Machine(NamedTuple):
    """Numbers of system calls."""

    audit_arch: int
    seccomp: int
    capset: int
    refused: tuple[int, ...]
    """First socket; ptrace, process_vm_readv and _writev; chmod, chown and their kin."""


_REFUSED_ANYWHERE: Final = (425, 438, 452)  # io_uring_setup, pidfd_getfd, fchmodat2
_GENERIC: Final = (198, 117, 270, 271, 52, 53, 54, 55)
_MACHINES: Final = {
    "x86_64": _Machine(0xC000003E, 317, 126, (41, 101, 310, 311, 90, 91, 268, 92, 93, 94, 260)),
    "aarch64": _Machine(0xC00000B7, 277, 91, _GENERIC),
    "riscv64": _Machine(0xC00000F3, 277, 91, _GENERIC),
}
_CAPABILITIES_VERSION: Final = 0x20080522
# CAP_DAC_READ_SEARCH: root may run out of a home that is not root's. CAP_DAC_OVERRIDE: the socket
# of root's own database belongs to another user, and to connect is to write.
_MAY_READ, _MAY_WRITE = 1 << 2, 1 << 1


class Available(NamedTuple):
    """What this kernel has: Landlock's version, 0 for none, and whether seccomp filters."""

    landlock: int
    seccomp: bool


def available() -> Available:
    """Return which bounds this kernel has."""
    machine = _machine()
    if sys.platform != "linux" or machine is None:
        return Available(0, seccomp=False)
    action = ctypes.c_uint32(0x00050000)
    seccomp = _call(machine.seccomp, _SECCOMP_ACTION_AVAILABLE, 0, ctypes.byref(action)) == 0
    return Available(max(0, _call(_LANDLOCK_CREATE, None, 0, _LANDLOCK_VERSION)), seccomp=seccomp)


def harden() -> None:
    """Leave no core dump, show no other process this one's memory, gain no rights from a file."""
    if sys.platform != "linux":
        return
    import resource

    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, AttributeError):
        prctl = ctypes.CDLL(None).prctl
        prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def confine(
    writable: Iterable[Path],
    hidden: Iterable[Path] = (),
    *,
    readable: Iterable[Path] = (),
    sockets: bool = False,
) -> Available:
    """Bound this process for good; return which bounds hold.

    Args:
        writable: directories in which it may make, change and remove files.
        hidden: files and directories that it may not read, but for what is writable there.
        readable: what it may read although it is in a hidden place.
        sockets: it may open some: a database is reached by one.
    """
    here = available()
    if not (here.landlock or here.seccomp):
        return here
    harden()  # what both ask for
    rules = _Rules(writable, hidden, readable, sockets=sockets)
    landlocked = here.landlock > 0 and _landlock(here.landlock, rules)
    _drop_capabilities(_MAY_READ | (_MAY_WRITE if sockets else 0))
    return Available(
        here.landlock if landlocked else 0, seccomp=here.seccomp and _filter_calls(sockets=sockets)
    )


def _machine() -> _Machine | None:
    # A 32-bit interpreter has other numbers.
    return _MACHINES.get(platform.machine()) if sys.maxsize > 2**32 else None


def _drop_capabilities(kept: int) -> None:
    """Have root's processes see no more of others than anybody's."""
    machine = _machine()
    assert machine is not None
    header = struct.pack("Ii", _CAPABILITIES_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable of 32 each, twice
    if _call(machine.capset - 1, header, sets) == 0:  # capget
        permitted = sets[1] & kept
        _call(machine.capset, header, struct.pack("6I", permitted, permitted, 0, 0, 0, 0))


def _call(number: int, *arguments: object) -> int:
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    given = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return int(syscall(ctypes.c_long(number), *given))


class _Rules(NamedTuple):
    writable: Iterable[Path]
    hidden: Iterable[Path]
    readable: Iterable[Path]
    sockets: bool


def _landlock(abi: int, wanted: _Rules) -> bool:
    """Let files be read but for the hidden ones, and changed in the writable places alone."""
    read = _READ_FILE | _READ_DIR
    change = _WRITE_FILE | sum(bit for since, bit in _CHANGE_BY_ABI.items() if since <= abi)
    handled = struct.pack(
        "QQQ",
        read | change,
        _TCP if abi >= 4 and not wanted.sockets else 0,
        _SCOPED if abi >= 6 else 0,
    )[: 24 if abi >= 6 else 16 if abi >= 4 else 8]
    rules = _call(_LANDLOCK_CREATE, handled, len(handled), 0)
    if rules < 0:
        return False
    try:
        for place in _readable({path.resolve() for path in wanted.hidden}):
            _allow(rules, place, read)
        for place in wanted.readable:
            _allow(rules, place.resolve(), read)
        for place in wanted.writable:
            _allow(rules, place.resolve(), read | change)
        _allow(rules, Path(os.devnull), _READ_FILE | _WRITE_FILE | (change & _TRUNCATE))
        return _call(_LANDLOCK_RESTRICT, rules, 0) == 0
    finally:
        os.close(rules)


def _allow(rules: int, place: Path, access: int) -> None:
    """Add a rule; what is gone, or no file at all, needs none."""
    with contextlib.suppress(OSError):
        fd = os.open(place, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if not place.is_dir():
                access &= _READ_FILE | _WRITE_FILE | _TRUNCATE
            # The kernel's struct is packed.
            _call(_LANDLOCK_ADD_RULE, rules, _RULE_PATH_BENEATH, struct.pack("=Qi", access, fd), 0)
        finally:
            os.close(fd)


def _readable(hidden: set[Path]) -> Iterator[Path]:
    """Yield the largest places without a hidden one; links lead to places of their own."""
    spine = {parent for place in hidden for parent in place.parents}
    # Where the interpreter's modules are, too: they may lie below a directory not ours to list.
    pending = [Path("/"), *_module_places()]
    while pending:
        place = pending.pop()
        if place in hidden or place.is_symlink():
            continue
        if place not in spine:
            yield place
            continue
        with contextlib.suppress(OSError):  # not ours to list
            pending += place.iterdir()


def _module_places() -> set[Path]:
    names = {sys.prefix, sys.base_prefix, *sys.path} - {""}
    return {Path(name).resolve() for name in names}


def _filter_calls(*, sockets: bool) -> bool:
    """Refuse the system calls by which a process reaches others."""
    machine = _machine()
    assert machine is not None
    load, equal, above, answer = 0x20, 0x15, 0x35, 0x06
    refused = (*machine.refused[1 if sockets else 0 :], *_REFUSED_ANYWHERE)
    n = len(refused)
    program = [
        (load, 0, 0, 4),  # the architecture
        (equal, 0, n + 3, machine.audit_arch),
        (load, 0, 0, 0),  # the number
        (above, n + 1, 0, 0x40000000),  # another set of numbers
        *((equal, n - i, 0, number) for i, number in enumerate(refused)),
        (answer, 0, 0, _ALLOW),
        (answer, 0, 0, _REFUSE),
    ]
    code = b"".join(struct.pack("HBBI", *step) for step in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    flags = _EVERY_THREAD | _NO_SLOW_DOWN
    return _call(machine.seccomp, _SECCOMP_SET_FILTER, flags, header) == 0
