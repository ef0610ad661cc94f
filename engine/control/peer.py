"""Who is at the other end of a Unix socket, by the kernel's word (SO_PEERCRED, unix(7))."""

import os
import socket
import struct
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from engine.control.messages import Role

_UCRED = struct.Struct("3i")


class Credentials(NamedTuple):
    """A process and its user."""

    uid: int
    pid: int


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """A process that connected. `role` None: nobody this engine knows."""

    credentials: Credentials
    role: Role | None

    @property
    def uid(self) -> int:
        """Whose process it is."""
        return self.credentials.uid

    @property
    def pid(self) -> int:
        """Its number."""
        return self.credentials.pid

    @property
    def user(self) -> str:
        """The login's name; asking for it may take as long as the box's user database takes."""
        return user_name(self.uid)


def peer_of(sock: socket.socket, roles: Mapping[int, Role]) -> Peer:
    """Return who connected: the engine's own user and root are admin, others what `roles` says."""
    credentials = credentials_of(sock)
    uid = credentials.uid
    role: Role | None = "admin" if uid in (0, os.geteuid()) else roles.get(uid)
    return Peer(credentials=credentials, role=role)


def credentials_of(sock: socket.socket) -> Credentials:
    """Return the process at the other end: who connected, or who listens."""
    packed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, _ = _UCRED.unpack(packed)
    return Credentials(uid, pid)


def user_name(uid: int) -> str:
    """Return the login name of `uid`, or its number where there is none."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
