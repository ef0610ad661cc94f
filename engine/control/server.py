"""The engine's side of the control socket.

One thread per client answers requests from the newest immutable snapshot; nothing queues for a
slow client, and no client can make the engine wait. Who speaks is the kernel's word
(SO_PEERCRED): the engine's own user and root are admin, others what `roles` says, anybody else is
refused. When all places are taken the client that has been quiet the longest loses its place, so a
kill always gets in.

Publish a snapshot with a new `version` at least every second, changed or not: clients call an
engine quiet whose version stands still.
"""

import contextlib
import os
import secrets
import socket
import stat
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import structlog

from engine.control.messages import Actor, Role
from engine.control.order import SendOrder
from engine.control.paths import group_id, prepare_run_dir
from engine.control.peer import peer_of
from engine.control.results import Results
from engine.control.session import Service, Session
from engine.control.tally import Tally
from engine.model.details import Detail, Question
from engine.model.errors import ControlError, StateError, Unanswered
from engine.model.snapshot import Command, ControlView, Reply, Snapshot

log = structlog.get_logger(__name__)

CLIENTS_MAX = 32
LAST_ANSWER_S = 1.0
_BACKLOG = 64


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
    ) -> None:
        self._path = path
        self._roles = dict(roles)
        self._tally = Tally()
        self._service = Service(
            instance=secrets.token_hex(8),
            snapshot=snapshot,
            execute=execute,
            refused=refused,
            answer=answer,
            person=person,
            now_ns=now_ns,
            results=Results(now_ns),
            order=SendOrder(),
            tally=self._tally,
        )
        self._lock = threading.Lock()
        self._gone = threading.Condition(self._lock)
        self._sessions: dict[Session, float] = {}
        self._listener: socket.socket | None = None
        self._inode = 0
        self._thread = threading.Thread(target=self._accept, name="control", daemon=True)

    def start(self) -> None:
        """Take over a dead engine's socket and listen; StateError if a living one answers."""
        if not hasattr(socket, "SO_PEERCRED"):
            raise StateError("this system cannot tell who connects to a Unix socket (SO_PEERCRED)")
        prepare_run_dir(self._path.parent)
        _clear_stale(self._path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(self._path))
        # Nobody can connect before listen, so the wide mode bind left is never usable.
        group = group_id()
        if group is not None:
            os.chown(self._path, -1, group)
        self._path.chmod(0o600 if group is None else 0o660)
        listener.listen(_BACKLOG)
        self._inode = self._path.stat().st_ino
        self._listener = listener
        self._thread.start()

    def close(self) -> None:
        """Stop listening, let answers under way go out, drop every client, remove the socket."""
        if self._listener is None:
            return
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
            except OSError:
                return
            try:
                self._admit(sock)
            except Exception:  # border: one bad client must not end listening
                log.warning("control_admit_failed", exc_info=True)
                sock.close()

    def _admit(self, sock: socket.socket) -> None:
        session = Session(sock, peer_of(sock, self._roles), self._service, self._touch)
        if session.peer.role is None:
            log.warning("control_refused", uid=session.peer.uid, user=session.peer.user)
        with self._lock:
            if len(self._sessions) >= CLIENTS_MAX:
                if session.peer.role is None:
                    session.drop()
                    return
                oldest = min(self._sessions, key=self._sessions.__getitem__)
                del self._sessions[oldest]
                oldest.drop()
            self._sessions[session] = time.monotonic()
        threading.Thread(
            target=self._serve, args=(session,), name="control-client", daemon=True
        ).start()

    def _touch(self, session: Session) -> None:
        with self._lock:
            if session in self._sessions:
                self._sessions[session] = time.monotonic()

    def _serve(self, session: Session) -> None:
        try:
            session.run()
        except ControlError as error:
            log.info("control_client_dropped", uid=session.peer.uid, reason=str(error))
        except Exception:  # border: thread
            log.warning("control_client_failed", uid=session.peer.uid, exc_info=True)
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


def _clear_stale(path: Path) -> None:
    """Remove a socket that nobody listens on; refuse anything else."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise StateError(f"{path} is in the way of the control socket: move it elsewhere")
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    probe.settimeout(1.0)
    try:
        probe.connect(str(path))
    except (ConnectionRefusedError, FileNotFoundError):
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StateError(f"cannot tell whether an engine listens on {path}: {error}") from error
    else:
        raise StateError(f"another engine listens on {path}")
    finally:
        probe.close()
