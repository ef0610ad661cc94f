"""The console's and the one-shot commands' side of the control socket.

Not for several threads at once: give each its own client, so that a hung fetch never delays a
kill. A lost connection is opened again at the next call.
"""

import os
import socket
import struct
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Self

import msgspec

from engine.control.frames import HungUp, NoAnswer, receive_frame, send_frame
from engine.control.messages import (
    ANSWER_MAX_BYTES,
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
from engine.control.peer import credentials_of
from engine.files.trust import Trusted, fault_of, trusted, user_name
from engine.model.errors import ControlError, Failure, Refused, Unanswered, error_of
from engine.model.views.commands import CommandName
from engine.model.views.details import Detail, Question
from engine.model.views.snapshot import PROTOCOL_VERSION, Command, Reply, Snapshot

# An engine that is flooded hangs up on newcomers of the flood's user.
KNOCK_S = 2.0
KNOCK_AGAIN_S = 0.03

_decode: Callable[[bytes], Answer] = msgspec.msgpack.Decoder(Answer).decode
_encode = msgspec.msgpack.Encoder().encode


class ControlClient:
    """Talk to the engine behind `path`.

    Args:
        path: the engine's socket (`engine.control.paths.socket_path`).
        role: a lower role than one's own; None keeps it.
        mode: refuse an engine of another mode.
        account: refuse an engine of another account; None or 0 for any.
        client: names one console over all its connections, so that resends run once.
        timeout_s: deadline of each request.
        owners: whose processes may be that engine; None: this user's and root's.
    """

    def __init__(
        self,
        path: Path,
        *,
        role: Role | None = None,
        mode: str | None = None,
        account: int | None = None,
        client: str | None = None,
        timeout_s: float = 6.0,
        owners: Collection[int] | None = None,
    ) -> None:
        self.path = path
        self._owners = owners
        self.welcome: Welcome | None = None
        self._role = role
        self._mode = mode
        self.account = account
        self._client = client or os.urandom(8).hex()
        self._timeout_s = timeout_s
        self._sock: socket.socket | None = None
        self._known_instance = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def connect(self) -> Welcome:
        """Connect if not connected.

        Raises:
            ControlError: nobody answers.
            Refused: this user has no role there, or a stranger listens.
            UserError: it is another mode's or account's engine.
        """
        if self._sock is not None and self.welcome is not None:
            return self.welcome
        until_s = time.monotonic() + min(KNOCK_S, self._timeout_s)
        while True:
            try:
                return self._knock()
            except HungUp:
                if time.monotonic() >= until_s:
                    raise
            time.sleep(KNOCK_AGAIN_S)

    def _knock(self) -> Welcome:
        who = self._trusted()
        if who and (fault := fault_of(self.path.parent, who, modes=False)):
            raise Refused(f"not connected, nothing was sent: {fault}")
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # A deadline of the kernel's own: where there is no room to wait, it lets us queue.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(self._timeout_s))
            sock.connect(str(self.path))
        except (FileNotFoundError, ConnectionRefusedError):
            sock.close()
            raise ControlError(f"no engine is running (nobody listens on {self.path})") from None
        except BlockingIOError:  # so many wait to be let in that there is no room to wait
            sock.close()
            raise HungUp(f"{self.path}: too many clients wait for the engine") from None
        except OSError as error:
            sock.close()
            raise ControlError(f"cannot reach {self.path}: {error.strerror or error}") from error
        self._sock = sock
        if who and (uid := credentials_of(sock).uid) not in who.uids:
            self.close()
            raise Refused(
                f"{self.path} is served by {user_name(uid)}, which is not the engine's user: "
                "nothing was sent"
            )
        answer = self._exchange(self._hello())
        if not isinstance(answer, Welcome):
            self.close()
            raise ControlError(f"unexpected greeting from {self.path}")
        self.welcome = answer
        return answer

    def _trusted(self) -> Trusted | None:
        """Return whose engine it may be; None where the system does not tell."""
        if not hasattr(socket, "SO_PEERCRED"):
            return None
        return trusted().also(self._owners or ())

    def snapshot(self, since: int = 0, *, events_after: int = 0) -> Snapshot | None:
        """Return the newest snapshot, or None if it is still `since`.

        Its events are those after `events_after`. An engine that was restarted in between has
        other numbers: its whole snapshot is returned.
        """
        welcome = self.connect()
        if welcome.instance != self._known_instance:
            since = events_after = 0
        answer = self._exchange(Poll(since=since, events_after=events_after))
        self._known_instance = welcome.instance
        if isinstance(answer, Changed):
            return answer.snapshot
        if isinstance(answer, Unchanged):
            return None
        raise self._unexpected(answer)

    def ask(self, question: Question) -> Detail:
        """Return details.

        Raises:
            UserError: there is no such thing.
            Unanswered: the engine cannot tell; it says why.
        """
        self.connect()
        answer = self._exchange(Ask(question=question))
        if not isinstance(answer, DetailAnswer):
            raise self._unexpected(answer)
        if answer.detail is None:
            raise error_of(answer.failure, answer.text, Unanswered)
        return answer.detail

    def send(self, command: Command, *, token: str = "") -> Reply:
        """Have `command` run once, also over a connection that breaks in between.

        `token`: the operator's own, where the engine asks for one.
        """
        self.connect()
        request = Execute(command=command, token=token)
        try:
            answer = self._exchange(request)
        except NoAnswer:
            raise
        except ControlError:
            self.connect()
            answer = self._exchange(request)
        if isinstance(answer, Executed):
            return answer.reply
        raise self._unexpected(answer)

    def close(self) -> None:
        """Leave; the next call connects again."""
        if self._sock is not None:
            self._sock.close()
        self._sock = None
        self.welcome = None

    def _hello(self) -> Hello:
        return Hello(
            protocol=PROTOCOL_VERSION,
            client=self._client,
            role=self._role,
            mode=self._mode,
            account=self.account,
            tty=_tty_name()[:256],
            ssh=os.environ.get("SSH_CONNECTION", "").partition(" ")[0][:256],
        )

    def _exchange(self, request: Request) -> Answer:
        assert self._sock is not None
        try:
            send_frame(self._sock, _encode(request), timeout_s=self._timeout_s)
            frame = receive_frame(
                self._sock,
                limit_bytes=ANSWER_MAX_BYTES,
                idle_s=self._timeout_s,
                frame_s=self._timeout_s,
            )
            if frame is None:
                raise HungUp("the engine closed the connection")
            answer = _decode(frame)
        except msgspec.MsgspecError as error:
            self.close()
            raise ControlError(f"the engine's answer is not understood: {error}") from None
        except BaseException:
            self.close()
            raise
        if isinstance(answer, Denied):
            self.close()
            failure: Failure = answer.failure or ("refused" if answer.refused else "failed")
            raise error_of(failure, answer.text, ControlError)
        return answer

    def _unexpected(self, answer: Answer) -> ControlError:
        self.close()
        return ControlError(f"unexpected answer {type(answer).__name__} from the engine")


def new_command(
    name: CommandName,
    target: str = "",
    *,
    value: float = 0.0,
    text: str = "",
    seen_version: int = 0,
    now_ns: Callable[[], int],
) -> Command:
    """Return a command with a new id, stamped now."""
    return Command(
        id=os.urandom(8).hex(),
        name=name,
        target=target,
        value=value,
        text=text,
        seen_version=seen_version,
        sent_ns=now_ns(),
    )


def _timeval(seconds: float) -> bytes:
    return struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000))


def _tty_name() -> str:
    try:
        return os.ttyname(sys.stdin.fileno())
    except (OSError, ValueError, AttributeError):
        return ""
