"""What travels over the control socket: tagged msgpack records, one per frame.

`Hello` and its answers keep their names and types over all protocol versions, so that an old
console and a new engine can still tell each other why they part.
"""

from typing import Final, Literal

import msgspec

from engine.model.snapshot import Command, Reply, Snapshot

Role = Literal["viewer", "operator", "admin"]
ROLES: Final[tuple[Role, ...]] = ("viewer", "operator", "admin")

ADMIN_COMMANDS: Final = frozenset({"resume", "stop", "add", "limit", "adopt"})
"""Commands that add risk or leave positions unattended; all others need an operator."""

AGELESS_COMMANDS: Final = frozenset({"kill", "halt", "flatten"})
"""Goals that only reduce risk: obeyed however late they arrive."""

COMMAND_AGE_MAX_S: Final = 5.0
REQUEST_MAX_BYTES: Final = 64 * 1024
ANSWER_MAX_BYTES: Final = 32 * 1024 * 1024


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who sent a command. `uid`, `user`, `pid` are the kernel's word; `tty`, `ssh` are claims."""

    uid: int
    user: str
    role: Role
    pid: int = 0
    tty: str = ""
    ssh: str = ""


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag="hello"):
    """A client introduces itself. `mode` and `account`: what it expects, None for any."""

    protocol: int
    client: str
    role: Role | None = None
    mode: str | None = None
    account: int | None = None
    tty: str = ""
    ssh: str = ""


class Poll(msgspec.Struct, frozen=True, kw_only=True, tag="poll"):
    """Ask for the newest snapshot if it is not `since`, with events after `events_after`."""

    since: int
    events_after: int = 0


class Execute(msgspec.Struct, frozen=True, kw_only=True, tag="execute"):
    """Ask for a command to be run, once."""

    command: Command


class Welcome(msgspec.Struct, frozen=True, kw_only=True, tag="welcome"):
    """The engine's introduction. `instance` names one life of the engine."""

    protocol: int
    instance: str
    mode: str
    account: int
    server: str
    role: Role
    pid: int


class Denied(msgspec.Struct, frozen=True, kw_only=True, tag="denied"):
    """Why the engine will not talk. `refused`: a role or a mode said no."""

    text: str
    refused: bool = False


class Unchanged(msgspec.Struct, frozen=True, kw_only=True, tag="unchanged"):
    """The snapshot asked about is still the newest."""

    version: int


class Changed(msgspec.Struct, frozen=True, kw_only=True, tag="changed"):
    """A whole new snapshot."""

    snapshot: Snapshot


class Executed(msgspec.Struct, frozen=True, kw_only=True, tag="executed"):
    """What became of a command."""

    reply: Reply


Request = Hello | Poll | Execute
Answer = Welcome | Denied | Unchanged | Changed | Executed
