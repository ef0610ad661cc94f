"""What travels over the control socket: tagged msgpack records, one per frame.

`Hello` and its answers keep their names and types over all protocol versions, so that an old
console and a new engine can still tell each other why they part.
"""

from typing import Annotated, Final, Literal

import msgspec

from engine.model.errors import Failure, UserError
from engine.model.near import meant
from engine.model.views.details import Detail, Question
from engine.model.views.snapshot import Command, Reply, Snapshot

Role = Literal["viewer", "operator", "admin"]
ROLES: Final[tuple[Role, ...]] = ("viewer", "operator", "admin")

ASKS_WHO: Final = "needs a personal token"
"""What a refusal says where a token would help: also of commands that only sometimes need one."""

COMMAND_AGE_MAX_S: Final = 5.0
NAME_MAX_CHARS: Final = 64
REQUEST_MAX_BYTES: Final = 64 * 1024
ANSWER_MAX_BYTES: Final = 32 * 1024 * 1024


ShortText = Annotated[str, msgspec.Meta(max_length=256)]


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who sent a command. `uid`, `user`, `pid` are the kernel's word; `tty`, `ssh` are claims.

    `person`: whose personal token came with it, "" without one.
    """

    uid: int
    user: str
    role: Role
    pid: int = 0
    tty: str = ""
    ssh: str = ""
    person: str = ""

    @property
    def name(self) -> str:
        """The person where known, else the login."""
        return self.person or self.user


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag="hello"):
    """A client introduces itself. `mode` and `account`: what it expects, None for any."""

    protocol: int
    client: Annotated[str, msgspec.Meta(max_length=NAME_MAX_CHARS)]
    role: Role | None = None
    mode: str | None = None
    account: int | None = None
    tty: ShortText = ""
    ssh: ShortText = ""


class Poll(msgspec.Struct, frozen=True, kw_only=True, tag="poll"):
    """Ask for the newest snapshot if it is not `since`, with events after `events_after`."""

    since: int
    events_after: int = 0


class Execute(msgspec.Struct, frozen=True, kw_only=True, tag="execute"):
    """Ask for a command to be run, once. `token`: the sender's personal one, never kept."""

    command: Command
    token: ShortText = ""


class Ask(msgspec.Struct, frozen=True, kw_only=True, tag="ask"):
    """Ask for details that the snapshot has no room for."""

    question: Question


class Welcome(msgspec.Struct, frozen=True, kw_only=True, tag="welcome"):
    """The engine's introduction. `instance` names one life of the engine.

    `wants_token`: commands that need an admin need a personal token too.
    """

    protocol: int
    instance: str
    mode: str
    account: int
    server: str
    role: Role
    pid: int
    wants_token: bool = False


class Denied(msgspec.Struct, frozen=True, kw_only=True, tag="denied"):
    """Why the engine will not talk. `refused`: a role said no, or it is another engine.

    `failure` tells these two apart; consoles of before know `refused` alone.
    """

    text: str
    refused: bool = False
    failure: Failure = ""


class Unchanged(msgspec.Struct, frozen=True, kw_only=True, tag="unchanged"):
    """The snapshot asked about is still the newest."""

    version: int


class Changed(msgspec.Struct, frozen=True, kw_only=True, tag="changed"):
    """A whole new snapshot."""

    snapshot: Snapshot


class Executed(msgspec.Struct, frozen=True, kw_only=True, tag="executed"):
    """What became of a command."""

    reply: Reply


class DetailAnswer(msgspec.Struct, frozen=True, kw_only=True, tag="told"):
    """Details, or why there are none."""

    detail: Detail | None = None
    text: str = ""
    failure: Failure = ""


Request = Hello | Poll | Execute | Ask
Answer = Welcome | Denied | Unchanged | Changed | Executed | DetailAnswer


def role_of(text: str) -> Role:
    """Return the role of that name.

    Raises:
        UserError: there is none.
    """
    for role in ROLES:
        if role == text:
            return role
    raise UserError(f"there is no role {text!r}{meant(text, ROLES) or ':'} {', '.join(ROLES)}")
