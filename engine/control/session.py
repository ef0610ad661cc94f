"""One client's conversation: hello, then one request at a time, each under a deadline."""

import contextlib
import os
import socket
from collections.abc import Callable

import msgspec
import structlog

from engine.control.frames import receive_frame, send_frame
from engine.control.messages import (
    ADMIN_COMMANDS,
    AGELESS_COMMANDS,
    COMMAND_AGE_MAX_S,
    REQUEST_MAX_BYTES,
    ROLES,
    Actor,
    Answer,
    Changed,
    Denied,
    Execute,
    Executed,
    Hello,
    Poll,
    Request,
    Role,
    Unchanged,
    Welcome,
)
from engine.control.peer import Peer
from engine.control.results import Results
from engine.model.errors import ControlError, PmproError
from engine.model.snapshot import PROTOCOL_VERSION, Command, Reply, Snapshot
from engine.model.times import NS_PER_S

log = structlog.get_logger(__name__)

HELLO_S = 2.0
IDLE_S = 60.0
FRAME_S = 2.0
EXECUTE_WAIT_S = 30.0

_decode: Callable[[bytes], Request] = msgspec.msgpack.Decoder(Request).decode
_encode = msgspec.msgpack.Encoder().encode


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine offers every client."""

    instance: str
    snapshot: Callable[[], Snapshot]
    execute: Callable[[Command, Actor], Reply]
    refused: Callable[[Command, Actor, str], None]
    now_ns: Callable[[], int]
    results: Results


class Session:
    """Serve one connected client until it leaves, misbehaves or is dropped."""

    def __init__(
        self,
        sock: socket.socket,
        peer: Peer,
        service: Service,
        touched: Callable[["Session"], None],
    ) -> None:
        self.peer = peer
        self._sock = sock
        self._service = service
        self._touched = touched
        self._client = ""

    def finish(self) -> None:
        """Take no further request; an answer under way still goes out."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RD)

    def drop(self) -> None:
        """Cut the connection; the thread in `run` ends."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def run(self) -> None:
        """Greet, then answer requests in turn."""
        hello = self._receive(HELLO_S)
        if hello is None:
            return
        if not isinstance(hello, Hello):
            self._send(Denied(text="the first message must be a hello"))
            return
        greeting = self._greet(hello)
        self._send(greeting)
        if not isinstance(greeting, Welcome):
            return
        self._client = hello.client
        actor = Actor(
            uid=self.peer.uid,
            user=self.peer.user,
            role=greeting.role,
            pid=self.peer.pid,
            tty=hello.tty[:64],
            ssh=hello.ssh[:64],
        )
        while (request := self._receive(IDLE_S)) is not None:
            self._touched(self)
            if isinstance(request, Poll):
                self._send(self._poll(request))
            elif isinstance(request, Execute):
                self._send(Executed(reply=self._execute(request.command, actor)))

    def _receive(self, idle_s: float) -> Request | None:
        frame = receive_frame(
            self._sock, limit_bytes=REQUEST_MAX_BYTES, idle_s=idle_s, frame_s=FRAME_S
        )
        if frame is None:
            return None
        try:
            return _decode(frame)
        except msgspec.MsgspecError as error:
            self._send(Denied(text=f"not a request: {error}"))
            raise ControlError(f"not a request: {error}") from None

    def _send(self, answer: Answer) -> None:
        send_frame(self._sock, _encode(answer), timeout_s=FRAME_S)

    def _greet(self, hello: Hello) -> Welcome | Denied:
        if hello.protocol != PROTOCOL_VERSION:
            return Denied(
                text=f"the engine speaks protocol {PROTOCOL_VERSION}, this program "
                f"{hello.protocol}: use the version the engine was started from"
            )
        role = self.peer.role
        if role is None:
            return Denied(
                text=f"user {self.peer.user} (uid {self.peer.uid}) has no role on this engine",
                refused=True,
            )
        now = self._service.snapshot()
        if hello.mode is not None and hello.mode != now.mode:
            return Denied(text=f"this engine runs {now.mode}, not {hello.mode}", refused=True)
        if hello.account and now.account and hello.account != now.account:
            return Denied(
                text=f"this engine trades account {now.account}, not {hello.account}", refused=True
            )
        asked = hello.role or role
        lower: Role = role if ROLES.index(role) < ROLES.index(asked) else asked
        return Welcome(
            protocol=PROTOCOL_VERSION,
            instance=self._service.instance,
            mode=now.mode,
            account=now.account,
            server=now.server,
            role=lower,
            pid=os.getpid(),
        )

    def _poll(self, poll: Poll) -> Unchanged | Changed:
        now = self._service.snapshot()
        if now.version == poll.since:
            return Unchanged(version=now.version)
        fresh = tuple(event for event in now.events if event.seq > poll.events_after)
        return Changed(snapshot=msgspec.structs.replace(now, events=fresh))

    def _execute(self, command: Command, actor: Actor) -> Reply:
        key = (actor.uid, self._client, command.id)
        return self._service.results.once(
            key, command, lambda: self._run(command, actor), wait_s=EXECUTE_WAIT_S
        )

    def _run(self, command: Command, actor: Actor) -> Reply:
        reason = refusal(command, actor, self._service.now_ns())
        try:
            if reason is not None:
                self._service.refused(command, actor, reason)
                return Reply(ok=False, text=reason)
            return self._service.execute(command, actor)
        except PmproError as error:
            return Reply(ok=False, text=str(error))
        except Exception as error:  # border: the client must hear that it may have run
            log.exception("command_failed", command=command.name, target=command.target)
            text = f"{type(error).__name__}: {error}"
            return Reply(ok=False, text=f"{command.name} failed in the engine ({text})")


def refusal(command: Command, actor: Actor, now_ns: int) -> str | None:
    """Return why `actor` may not have `command` run now, or None."""
    needed = "admin" if command.name in ADMIN_COMMANDS else "operator"
    if ROLES.index(actor.role) < ROLES.index(needed):
        return f"{command.name} needs role {needed}, {actor.user} is {actor.role}"
    age_s = (now_ns - command.sent_ns) / NS_PER_S
    if command.name not in AGELESS_COMMANDS and abs(age_s) > COMMAND_AGE_MAX_S:
        return f"{command.name} is {age_s:.0f} s old, {COMMAND_AGE_MAX_S:.0f} s allowed: send anew"
    return None
