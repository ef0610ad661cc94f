"""Serve a terminal host to one engine at a time, over TLS.

Each engine gets a host process of its own. When its link ends, however it ends, so does the host,
and no other engine is let in before it has: it may still be inside `order_send`.
"""

import contextlib
import hmac
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import IO, Final

import msgspec
import structlog

from engine.child.frames import REPLY, REQUEST, FrameReader, write_frame
from engine.child.parent import open_log
from engine.child.spawner import spawn
from engine.model.errors import BrokerError
from engine.model.seldom import Seldom
from engine.terminal import protocol as p
from engine.terminal.link.remote import LinkHello, LinkWelcome, difference, encode
from engine.terminal.link.secure_link import SecureLink
from engine.terminal.lobby import Lobby, Network, Stranger

# From the connection to the token, handshake included.
GREETING_S: Final = 5.0
# An engine that comes back waits for what its lost link has left behind.
SLOT_WAIT_S: Final = 12.0
_WAITING_MOST: Final = 8
WRONG_TOKEN_WAIT_S: Final = 1.0
HOST_GRACE_S: Final = 2.0
# Not every system wakes a waiting accept for a signal.
_ACCEPT_S: Final = 0.5
_log = structlog.get_logger(__name__)


class TerminalServer:
    """Listens, lets one engine in, and gives it a host run as `config` says.

    Of the engine's own configuration it takes the clock, the pace, and what this box does not name
    of the account; which module runs, where its files are, and what it names is this box's
    business. `allow`: from where connections are taken, everywhere if empty.
    """

    def __init__(
        self,
        listen: tuple[str, int],
        *,
        certificate: Path,
        token: str,
        config: p.HostConfig,
        allow: Sequence[Network] = (),
    ) -> None:
        self._token = token
        self._config = config
        self._slot = threading.Lock()
        self._waiting = threading.Semaphore(_WAITING_MOST)
        self._engine = ""
        self._lobby = Lobby(allow, patience_s=lambda: GREETING_S)
        self._seldom = Seldom()
        self._closing = threading.Event()
        self._links: set[SecureLink] = set()
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_3
        self._tls.load_cert_chain(certificate)
        try:
            family = socket.AF_INET6 if ":" in listen[0] else socket.AF_INET
            self._socket = socket.create_server(listen, family=family)
        except OSError as error:
            raise BrokerError(
                f"cannot listen on {listen[0]}:{listen[1]}: {error.strerror or error}"
            ) from None
        self._socket.settimeout(_ACCEPT_S)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self._socket.getsockname()[:2]
        return host, port

    def run(self) -> None:
        """Let engines in until `stop`."""
        while not self._closing.is_set():
            self._lobby.sweep()
            try:
                sock, peer = self._socket.accept()
            except TimeoutError:
                continue
            except OSError as error:
                self._say("accept_failed", error=str(error))
                self._closing.wait(_ACCEPT_S)
                continue
            try:
                self._admit(sock, peer[0], f"{peer[0]}:{peer[1]}")
            except Exception as error:  # border: one connection must not end listening
                self._say("not_admitted", peer=peer[0], error=str(error))
                sock.close()

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._closing.is_set()

    def stop(self) -> None:
        """Have `run` end soon; any thread."""
        self._closing.set()

    def close(self) -> None:
        """End the engine's link, and wait for its host's end; `run` has ended."""
        self.stop()
        self._socket.close()
        for link in list(self._links):
            link.close()
        if self._slot.acquire(timeout=HOST_GRACE_S + SLOT_WAIT_S):
            self._slot.release()

    def _admit(self, sock: socket.socket, host: str, peer: str) -> None:
        """Give a connection a place among the strangers and a thread that meets it."""
        if not self._lobby.allows(host):
            self._say("address_refused", peer=host)
            sock.close()
            return
        secure = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        secure.settimeout(GREETING_S)
        stranger = self._lobby.enter(secure, host)
        thread = threading.Thread(target=self._meet, args=(stranger, peer), name=peer, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no thread is to be had
            self._lobby.leave(stranger, known=False)
            secure.close()
            raise

    def _meet(self, stranger: Stranger, peer: str) -> None:
        try:
            link, known, refusal = self._greet(stranger)
        except (OSError, ValueError) as error:
            self._lobby.leave(stranger, known=False)
            self._say("no_handshake", peer=stranger.origin, error=str(error))
            stranger.sock.close()
            return
        self._lobby.leave(stranger, known=known)
        self._links.add(link)
        try:
            if not refusal and self._take_slot():
                try:
                    self._welcome(link, peer)
                finally:
                    self._slot.release()
                return
            refusal = refusal or f"it serves another engine, {self._engine}"
            self._say("engine_refused", peer=stranger.origin, why=refusal)
            link.send(REPLY, encode(LinkWelcome(refusal=refusal)))
        except (OSError, msgspec.MsgspecError) as error:
            _log.warning("link_lost", peer=peer, error=str(error))
        finally:
            self._links.discard(link)
            link.release()

    def _take_slot(self) -> bool:
        """Wait until no other engine is served; False where that takes too long."""
        if not self._waiting.acquire(blocking=False):
            return False
        try:
            return self._slot.acquire(timeout=SLOT_WAIT_S)
        finally:
            self._waiting.release()

    def _greet(self, stranger: Stranger) -> tuple[SecureLink, bool, str]:
        """Return the link, whether it showed the token, and why it is not let in, or "".

        The lobby ends a connection that takes too long over it.
        """
        stranger.sock.do_handshake()
        link = SecureLink(stranger.sock)
        frame = link.read()
        try:
            hello = msgspec.msgpack.decode(frame[1] if frame else b"", type=LinkHello)
        except msgspec.MsgspecError:
            return link, False, "that is no engine"
        if not hmac.compare_digest(hello.token.encode(), self._token.encode()):
            stranger.gone.wait(WRONG_TOKEN_WAIT_S)
            refusal = "wrong token: the engine's must be the one of the terminal's box"
            return link, False, refusal
        return link, True, difference(hello)

    def _say(self, event: str, **about: object) -> None:
        """Log what anybody may cause: once a minute of each kind and origin."""
        if (kept_back := self._seldom.due(event, about.get("peer"))) is not None:
            told = {key: str(value) for key, value in about.items()}
            _log.warning(event, **told, kept_back=kept_back)

    def _welcome(self, link: SecureLink, peer: str) -> None:
        self._engine = f"{peer} since {time.strftime('%H:%M:%S')}"
        link.send(REPLY, encode(LinkWelcome()))
        link.trust()
        frame = link.read()
        if frame is None or frame[0] != REQUEST or self._closing.is_set():
            return
        asked = msgspec.msgpack.decode(frame[1], type=p.Open).config
        if text := overstepping(self._config, asked):
            link.send(REPLY, encode(p.TerminalReply(failure=p.Failure(kind="config", text=text))))
            return
        _log.info("engine_connected", peer=peer)
        host = self._start_host(asked)
        try:
            self._relay(link, host, merged(self._config, asked))
        finally:
            link.close()
            _end(host)
            _log.info("engine_gone", peer=peer, host_exit_code=host.returncode)

    def _start_host(self, asked: p.HostConfig) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-P", "-m", "engine.terminal.host.process", str(asked.poll_ms)]
        if not self._config.log_path:
            return spawn(command, stderr=None, env=os.environ)
        with open_log(Path(self._config.log_path)) as log:
            return spawn(command, stderr=log, env=os.environ)

    def _relay(
        self, link: SecureLink, host: "subprocess.Popen[bytes]", config: p.HostConfig
    ) -> None:
        """Pass frames both ways until the link or the host ends."""
        assert host.stdin is not None
        assert host.stdout is not None
        threading.Thread(
            target=_to_engine, args=(host.stdout, link), name="host-answers", daemon=True
        ).start()
        with contextlib.suppress(OSError):
            write_frame(host.stdin.fileno(), REQUEST, encode(p.Open(config=config)))
            for kind, body in link.frames():
                write_frame(host.stdin.fileno(), kind, body)


def overstepping(own: p.HostConfig, asked: p.HostConfig) -> str:
    """Return what an engine asks of this box's account that this box does not allow, or ""."""
    if own.login and asked.login not in (0, own.login):
        return (
            f"this box serves account {own.login}, the engine has {asked.login}: "
            "set terminal.login alike on both"
        )
    if own.server and asked.server not in ("", own.server):
        return (
            f"this box serves server {own.server!r}, the engine has {asked.server!r}: "
            "set terminal.server alike on both"
        )
    if own.login and own.password and asked.server and not own.server:
        # A broker of the engine's choice would be told this box's password.
        return (
            f"this box has the password of account {own.login} and names no server, the engine "
            f"asks for {asked.server!r}: set terminal.server on the terminal's box too"
        )
    return ""


def merged(own: p.HostConfig, asked: p.HostConfig) -> p.HostConfig:
    """Return how a host is run: as this box says, and as the engine says where it says nothing."""
    return msgspec.structs.replace(
        asked,
        module=own.module,
        lock_path=own.lock_path,
        log_path=own.log_path,
        terminal_path=own.terminal_path,
        simulated=own.simulated,
        login=own.login or asked.login,
        server=own.server or asked.server,
        password=own.password if own.login and own.password else asked.password,
        demo_only=own.demo_only or asked.demo_only,
        remote=None,
    )


def _to_engine(answers: IO[bytes], link: SecureLink) -> None:
    reader = FrameReader(partial(os.read, answers.fileno()))
    with answers, contextlib.suppress(OSError, ValueError):
        while (frame := reader.read()) is not None:
            link.send(*frame)
    link.close()


def _end(host: "subprocess.Popen[bytes]") -> None:
    """Let a host end by itself, else kill it; it is dead afterwards."""
    assert host.stdin is not None
    with contextlib.suppress(OSError):
        host.stdin.close()
    try:
        host.wait(HOST_GRACE_S)
    except subprocess.TimeoutExpired:
        if sys.platform == "win32":
            host.kill()
        else:
            os.killpg(host.pid, signal.SIGKILL)
        host.wait()
