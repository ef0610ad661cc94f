"""One client's conversation: hello, then one request at a time, each under a deadline."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Collection

import msgspec
import structlog

from engine.control.descent import bounded, descends, gone
from engine.control.frames import TooLong, receive_frame, send_frame
from engine.control.messages import (
    ASKS_WHO,
    COMMAND_AGE_MAX_S,
    REQUEST_MAX_BYTES,
    ROLES,
    Actor,
    Answer,
    Ask,
    Changed,
    Denied,
    DetailAnswer,
    Execute,
    Executed,
    Hello,
    Poll,
    Request,
    Role,
    Unchanged,
    Welcome,
)
from engine.control.order import SendOrder
from engine.control.peer import Peer
from engine.control.results import Results
from engine.control.tally import Kind, RefusalTally
from engine.control.toll import PROCESS_COMMANDS, Toll
from engine.model.errors import ControlError, Failure, PmproError, failure_of
from engine.model.printable import described, printable_record
from engine.model.times import NS_PER_S
from engine.model.views.commands import COMMANDS
from engine.model.views.details import Detail, Question
from engine.model.views.snapshot import PROTOCOL_VERSION, Command, Reply, Snapshot

log = structlog.get_logger(__name__)

HELLO_S = 2.0
IDLE_S = 60.0
FRAME_S = 2.0
EXECUTE_WAIT_S = 30.0

_decode: Callable[[bytes], Request] = msgspec.msgpack.Decoder(Request).decode
_encode = msgspec.msgpack.Encoder().encode


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine offers every client.

    `person`: whose a personal token is, None for nobody's; `person` None asks for no tokens.
    `needs_person`: whether a command that is no admin's is a named person's too.
    `children`: processes that the engine has started, which have no role.
    """

    instance: str
    snapshot: Callable[[], Snapshot]
    execute: Callable[[Command, Actor], Reply]
    refused: Callable[[Command, Actor, str], None]
    answer: Callable[[Question], Detail]
    person: Callable[[str], str | None] | None
    needs_person: Callable[[Command], bool]
    children: Callable[[], Collection[int]]
    now_ns: Callable[[], int]
    results: Results
    order: SendOrder
    tally: RefusalTally
    toll: Toll


class Session:
    """Serve one connected client until it leaves, misbehaves or is dropped.

    `busy`: a command of this client is being run.
    """

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
        self._ending = threading.Event()
        self.busy = False

    def finish(self) -> None:
        """Take no further request; an answer under way still goes out."""
        self._ending.set()
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RD)

    def drop(self) -> None:
        """Cut the connection; the thread in `run` ends."""
        self._ending.set()
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def run(self) -> None:
        """Greet, then answer requests in turn."""
        hello = self._receive(HELLO_S)
        if hello is None:
            return
        if not isinstance(hello, Hello):
            self._deny("the first message must be a hello")
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
        spent_s = time.thread_time()
        while (request := self._receive(IDLE_S)) is not None:
            self._touched(self)
            wait_s = self._service.toll.wait_s(
                self.peer.credentials, command=isinstance(request, Execute)
            )
            if wait_s and self._ending.wait(wait_s):
                return
            match request:
                case Poll():
                    self._send(self._poll(request))
                case Execute():
                    self._send(Executed(reply=self._execute(request, actor)))
                case Ask():
                    self._send(self._tell(request.question))
                case Hello():
                    self._deny("there was a hello before")
                    return
            before_s, spent_s = spent_s, time.thread_time()
            self._service.toll.charge(self.peer.credentials, spent_s - before_s)

    def _receive(self, idle_s: float) -> Request | None:
        try:
            frame = receive_frame(
                self._sock, limit_bytes=REQUEST_MAX_BYTES, idle_s=idle_s, frame_s=FRAME_S
            )
        except TooLong as error:
            self._deny(str(error), "huge")
            raise
        if frame is None:
            return None
        try:
            return _cleaned(_decode(frame))
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            self._deny(f"not a request: {error}")
            raise ControlError(f"not a request: {error}") from None

    def _deny(self, text: str, kind: Kind = "malformed") -> None:
        """Count what is no conversation, and say so to a client that still reads."""
        self._service.tally.add(kind)
        with contextlib.suppress(ControlError):
            self._send(Denied(text=text))

    def _send(self, answer: Answer) -> None:
        send_frame(self._sock, _encode(answer), timeout_s=FRAME_S)

    def _greet(self, hello: Hello) -> Welcome | Denied:
        if hello.protocol != PROTOCOL_VERSION:
            return Denied(
                text=f"the engine speaks protocol {PROTOCOL_VERSION}, this program "
                f"{hello.protocol}: use the version the engine was started from"
            )
        if (why := self._why_nobody()) is not None:
            self._service.tally.add("child")
            log.warning("control_child_refused", pid=self.peer.pid, uid=self.peer.uid, why=why)
            text = f"process {self.peer.pid} {why}: it has no role on it"
            return Denied(text=text, refused=True)
        role = self.peer.role
        if role is None:
            self._service.tally.add("stranger")
            return Denied(
                text=f"user {self.peer.user} (uid {self.peer.uid}) has no role on this engine",
                refused=True,
                failure="refused",
            )
        now = self._service.snapshot()
        if hello.mode is not None and hello.mode != now.mode:
            return Denied(
                text=f"this engine runs {now.mode}, not {hello.mode}", refused=True, failure="wrong"
            )
        if hello.account and now.account and hello.account != now.account:
            return Denied(
                text=f"this engine trades account {now.account}, not {hello.account}",
                refused=True,
                failure="wrong",
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
            wants_token=self._service.person is not None,
        )

    def _why_nobody(self) -> str | None:
        """Return why a process has no role whoever runs it, None for one that has its user's."""
        if descends(self.peer.pid, self._service.children()):
            return "was started by this engine"
        if bounded(self.peer.pid):
            return "has the bounds that this engine gives to strategies' code"
        if gone(self.peer.pid):
            return "connected to this engine and ended, and another one has its connection"
        return None

    def _poll(self, poll: Poll) -> Unchanged | Changed:
        now = self._service.snapshot()
        if now.version == poll.since:
            return Unchanged(version=now.version)
        fresh = tuple(event for event in now.events if event.seq > poll.events_after)
        return Changed(snapshot=msgspec.structs.replace(now, events=fresh))

    def _tell(self, question: Question) -> DetailAnswer:
        """Answer on this thread; what it takes is the answer's own deadline."""
        try:
            return DetailAnswer(detail=self._service.answer(question))
        except PmproError as error:
            return DetailAnswer(text=str(error), failure=failure_of(error))
        except Exception as error:  # border: one question must not end the conversation
            log.exception("question_failed", question=type(question).__name__)
            return DetailAnswer(text=f"failed in the engine ({described(error)})", failure="failed")

    def _execute(self, request: Execute, actor: Actor) -> Reply:
        command = request.command
        key = (actor.uid, self._client, command.id)
        self.busy = True
        try:
            reply = self._service.results.once(
                key, command, lambda: self._run(request, actor), wait_s=EXECUTE_WAIT_S
            )
        finally:
            self.busy = False
        if reply is not None:
            return reply
        return self._refuse(command, actor, "replayed", f"command id {command.id} was used before")

    def _run(self, request: Execute, actor: Actor) -> Reply:
        command = request.command
        try:
            if self._service.person is not None and request.token:
                person = self._service.person(request.token)
                actor = msgspec.structs.replace(actor, person=person or "")
            if (why := self._why_not(command, actor)) is not None:
                return self._refuse(command, actor, *why)
            return self._service.execute(command, actor)
        except PmproError as error:
            return Reply(ok=False, text=str(error), failure=failure_of(error))
        except Exception as error:  # border: the client must hear that it may have run
            log.exception("command_failed", command=command.name, target=command.target)
            text = f"{command.name} failed in the engine ({described(error)})"
            return Reply(ok=False, text=text, failure="failed")

    def _why_not(self, command: Command, actor: Actor) -> tuple[Kind, str] | None:
        """Return what forbids a command now, None for nothing."""
        name, now_ns = command.name, self._service.now_ns()
        if (text := role_refusal(command, actor)) is not None:
            return "role", text
        if self._service.person is not None and not actor.person and self._is_a_persons(command):
            return "token", f"{name} {ASKS_WHO}: `pmpro token` makes one"
        toll, sender = self._service.toll, self.peer.credentials
        if not COMMANDS[name].ages:
            self._ending.wait(toll.kill_wait_s(sender))
        elif not toll.may_command(sender):
            most = f"{PROCESS_COMMANDS.per_s:g} commands a second"
            return "rate", f"more than {most}: send {name} anew in a moment"
        if (text := age_refusal(command, now_ns)) is not None:
            return "stale", text
        if self._service.order.overtaken((actor.uid, self._client), command, now_ns):
            return "disorder", f"{name} was overtaken by a newer command: send anew"
        return None

    def _is_a_persons(self, command: Command) -> bool:
        needs_admin = COMMANDS[command.name].role == "admin"
        return needs_admin or self._service.needs_person(command)

    def _refuse(self, command: Command, actor: Actor, kind: Kind, text: str) -> Reply:
        self._service.tally.add(kind)
        self._service.refused(command, actor, text)
        # What came late, twice or out of order is nobody's no: it may be sent anew.
        failure: Failure = "refused" if kind in ("role", "token") else "failed"
        return Reply(ok=False, text=text, failure=failure)


def _cleaned(request: Request) -> Request:
    """Return a request whose claims and names are printable; a text that is parsed stays."""
    if isinstance(request, Hello):
        return printable_record(request)
    if isinstance(request, Execute):
        command = request.command
        kept = printable_record(command)
        if kept.text != command.text:
            kept = msgspec.structs.replace(kept, text=command.text)
        return msgspec.structs.replace(request, command=kept)
    return request


def role_refusal(command: Command, actor: Actor) -> str | None:
    """Return why `actor` may not have `command` run at all, or None."""
    needed = COMMANDS[command.name].role
    if ROLES.index(actor.role) < ROLES.index(needed):
        return f"{command.name} needs role {needed}, {actor.user} is {actor.role}"
    return None


def age_refusal(command: Command, now_ns: int) -> str | None:
    """Return why `command` is not of now, or None."""
    age_s = (now_ns - command.sent_ns) / NS_PER_S
    if COMMANDS[command.name].ages and abs(age_s) > COMMAND_AGE_MAX_S:
        return f"{command.name} is {age_s:.0f} s old, {COMMAND_AGE_MAX_S:.0f} s allowed: send anew"
    return None
