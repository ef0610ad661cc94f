"""The engine's side of the control socket.

One thread per client answers requests from the newest immutable snapshot; nothing queues for a
slow client, and no client can make the engine wait. Who speaks is the kernel's word
(SO_PEERCRED): the engine's own user and root are admin, others what `roles` says, anybody else is
refused. When all places are taken a newcomer gets one all the same, so a kill always gets in: a
stranger's, else one of the user with the most, of its process with the most, there of the client
that has been quiet the longest. What a client may take of the engine: `engine.control.toll`.

Publish a snapshot with a new `version` at least every second, changed or not: clients call an
engine quiet whose version stands still.
"""

import contextlib
import secrets
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import MappingProxyType

import structlog

from engine.control.messages import Actor, Role
from engine.control.order import SendOrder
from engine.control.paths import clear_stale, prepare_run_dir
from engine.control.peer import peer_of
from engine.control.results import Results
from engine.control.session import Service, Session
from engine.control.tally import RefusalTally
from engine.control.toll import Toll
from engine.model.errors import ControlError, StateError, Unanswered
from engine.model.seldom import Seldom
from engine.model.views.details import Detail, Question
from engine.model.views.snapshot import Command, ControlView, Reply, Snapshot

log = structlog.get_logger(__name__)

CLIENTS_MAX = 32
# A console has so many connections: fewer are no reason to lose one.
CLIENTS_OF_ONE = 4
LAST_ANSWER_S = 1.0
_BACKLOG = 128
# After a connection that could not be taken (no file handle is left, for example).
_ACCEPT_AGAIN_S = 0.1
# After one that was hung up on, so that hanging up does not take a whole processor.
_HUNG_UP_S = 0.00025


def _no_details(question: Question) -> Detail:  # noqa: ARG001
    raise Unanswered("this engine tells no details")


class ControlServer:
    """Listen on `path`, from `start` to `close`.

    Args:
        path: the socket.
        snapshot: the newest picture.
        execute: run a command.
        refused: audit a command that was refused.
        now_ns: the box's wall clock.
        answer: tell details; raises PmproError where it cannot.
        roles: roles of users other than the engine's own and root, by uid.
        person: whose a personal token is; None asks for no tokens.
        needs_person: which commands beside an admin's are a named person's.
        children: processes that the engine has started: neither they nor theirs have a role.
    """

    def __init__(
        self,
        path: Path,
        *,
        snapshot: Callable[[], Snapshot],
        execute: Callable[[Command, Actor], Reply],
        refused: Callable[[Command, Actor, str], None],
        now_ns: Callable[[], int],
        answer: Callable[[Question], Detail] = _no_details,
        roles: Mapping[int, Role] = MappingProxyType({}),
        person: Callable[[str], str | None] | None = None,
        needs_person: Callable[[Command], bool] = lambda command: False,
        children: Callable[[], Collection[int]] = tuple,
    ) -> None:
        self._path = path
        self._roles = dict(roles)
        self._tally = RefusalTally()
        self._toll = Toll()
        self._seldom = Seldom()
        self._service = Service(
            instance=secrets.token_hex(8),
            snapshot=snapshot,
            execute=execute,
            refused=refused,
            answer=answer,
            person=person,
            needs_person=needs_person,
            children=children,
            now_ns=now_ns,
            results=Results(now_ns),
            order=SendOrder(),
            tally=self._tally,
            toll=self._toll,
        )
        self._lock = threading.Lock()
        self._gone = threading.Condition(self._lock)
        self._sessions: dict[Session, float] = {}
        self._closing = threading.Event()
        self._listener: socket.socket | None = None
        self._inode = 0
        self._thread = threading.Thread(target=self._accept, name="control", daemon=True)

    def start(self) -> None:
        """Take over a dead engine's socket and listen; StateError if a living one answers."""
        if not hasattr(socket, "SO_PEERCRED"):
            raise StateError("this system cannot tell who connects to a Unix socket (SO_PEERCRED)")
        prepare_run_dir(self._path.parent, shared=bool(self._roles))
        clear_stale(self._path, "engine")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(self._path))
        # Nobody can connect before listen, so the mode that bind left is never usable. With roles
        # for others everybody may knock: the kernel says who it is, and no role is no entry.
        self._path.chmod(0o666 if self._roles else 0o600)
        listener.listen(_BACKLOG)
        self._inode = self._path.stat().st_ino
        self._listener = listener
        self._thread.start()

    def close(self) -> None:
        """Stop listening, let answers under way go out, drop every client, remove the socket."""
        if self._listener is None:
            return
        self._closing.set()
        _shut(self._listener)
        self._thread.join(timeout=2.0)
        with self._lock:
            for session in self._sessions:
                session.finish()
            self._gone.wait_for(lambda: not self._sessions, timeout=LAST_ANSWER_S)
            sessions = list(self._sessions)
        for session in sessions:
            session.drop()
        if self._path.exists() and self._path.stat().st_ino == self._inode:
            self._path.unlink()
        self._listener = None

    def view(self) -> ControlView:
        """Return who is connected and what was refused."""
        with self._lock:
            n_clients = len(self._sessions)
        return ControlView(n_clients=n_clients, refused=self._tally.counts())

    def _accept(self) -> None:
        assert self._listener is not None
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError as error:
                if self._closing.wait(_ACCEPT_AGAIN_S):
                    return
                self._say("control_accept_failed", 0, reason=str(error))
                continue
            try:
                self._admit(sock)
            except Exception as error:  # border: one bad client must not end listening
                self._say("control_admit_failed", 0, reason=str(error))
                sock.close()

    def _admit(self, sock: socket.socket) -> None:
        """Give a client a place and a thread."""
        peer = peer_of(sock, self._roles)
        if not self._toll.may_connect(peer.credentials):
            self._tally.add("flood")
            self._say("control_flood", peer.uid)
            sock.close()
            self._closing.wait(_HUNG_UP_S)
            return
        if peer.role is None:
            self._say("control_refused", peer.uid)
        session = Session(sock, peer, self._service, self._touch)
        with self._lock:
            if len(self._sessions) >= CLIENTS_MAX:
                victim = self._in_the_way()
                del self._sessions[victim]
                victim.drop()
            self._sessions[session] = time.monotonic()
        thread = threading.Thread(
            target=self._serve, args=(session,), name="control-client", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # no thread is to be had
            with self._lock:
                self._sessions.pop(session, None)
            raise

    def _in_the_way(self) -> Session:
        """Return whose place a newcomer gets."""
        users = Counter(session.peer.uid for session in self._sessions)
        processes = Counter(session.peer.credentials for session in self._sessions)

        def worth(session: Session) -> tuple[bool, int, int, bool, float]:
            peer = session.peer
            return (
                peer.role is not None,
                -users[peer.uid],
                -max(processes[peer.credentials], CLIENTS_OF_ONE),
                session.busy,
                self._sessions[session],
            )

        return min(self._sessions, key=worth)

    def _say(self, event: str, uid: int, **about: str) -> None:
        """Log what any client may cause: once a minute of each kind and user."""
        if (kept_back := self._seldom.due(event, uid)) is not None:
            log.warning(event, uid=uid, kept_back=kept_back, **about)

    def _touch(self, session: Session) -> None:
        with self._lock:
            if session in self._sessions:
                self._sessions[session] = time.monotonic()

    def _serve(self, session: Session) -> None:
        try:
            session.run()
        except ControlError as error:
            self._say("control_client_dropped", session.peer.uid, reason=str(error))
        except Exception as error:  # border: thread
            reason = f"{type(error).__name__}: {error}"
            self._say("control_client_failed", session.peer.uid, reason=reason)
        finally:
            session.drop()
            with self._lock:
                self._sessions.pop(session, None)
                self._gone.notify_all()


def _shut(listener: socket.socket) -> None:
    """Wake the thread in `accept`, then close."""
    with contextlib.suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()
