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
from functools import partial
from pathlib import Path
from typing import IO, Final

import msgspec
import structlog

from engine.child.frames import REPLY, REQUEST, FrameReader, write_frame
from engine.child.spawner import spawn
from engine.model.errors import BrokerError
from engine.terminal import protocol as p
from engine.terminal.remote import Hello, Welcome, difference, encode
from engine.terminal.secure_link import SecureLink

GREETING_S: Final = 5.0
# An engine that comes back waits for what its lost link has left behind.
SLOT_WAIT_S: Final = 12.0
WRONG_TOKEN_WAIT_S: Final = 1.0
HOST_GRACE_S: Final = 2.0
_STRANGERS_MOST: Final = 16
# Not every system wakes a waiting accept for a signal.
_ACCEPT_S: Final = 0.5
_log = structlog.get_logger(__name__)


class TerminalServer:
    """Listens, lets one engine in, and gives it a host run as `config` says.

    Of the engine's own configuration it takes the account, the clock and the pace; which module
    runs, where its files are, and whose account it serves if it names one, is this box's business.
    """

    def __init__(
        self, listen: tuple[str, int], *, certificate: Path, token: str, config: p.HostConfig
    ) -> None:
        self._token = token
        self._config = config
        self._slot = threading.Lock()
        self._engine = ""
        self._strangers = threading.Semaphore(_STRANGERS_MOST)
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
            try:
                sock, peer = self._socket.accept()
            except TimeoutError:
                continue
            except OSError as error:
                _log.warning("accept_failed", error=str(error))
                self._closing.wait(_ACCEPT_S)
                continue
            if not self._strangers.acquire(blocking=False):
                sock.close()
                continue
            name = f"{peer[0]}:{peer[1]}"
            threading.Thread(target=self._meet, args=(sock, name), name=name, daemon=True).start()

    def stop(self) -> None:
        """Have `run` end soon; also from a signal handler."""
        self._closing.set()

    def close(self) -> None:
        """End the engine's link, and wait for its host's end; `run` has ended."""
        self.stop()
        self._socket.close()
        for link in list(self._links):
            link.close()
        if self._slot.acquire(timeout=HOST_GRACE_S + SLOT_WAIT_S):
            self._slot.release()

    def _meet(self, sock: socket.socket, peer: str) -> None:
        try:
            link, refusal = self._greet(sock)
        except OSError as error:
            _log.info("no_handshake", peer=peer, error=str(error))
            sock.close()
            return
        finally:
            self._strangers.release()
        self._links.add(link)
        try:
            if not refusal and self._slot.acquire(timeout=SLOT_WAIT_S):
                try:
                    self._welcome(link, peer)
                finally:
                    self._slot.release()
                return
            refusal = refusal or f"it serves another engine, {self._engine}"
            _log.warning("engine_refused", peer=peer, why=refusal)
            link.send(REPLY, encode(Welcome(refusal=refusal)))
        except (OSError, msgspec.MsgspecError) as error:
            _log.warning("link_lost", peer=peer, error=str(error))
        finally:
            self._links.discard(link)
            link.release()

    def _greet(self, sock: socket.socket) -> tuple[SecureLink, str]:
        """Return the link, and why who is there is not let in, or ""; nobody takes long over it."""
        sock.settimeout(GREETING_S)
        link = SecureLink(self._tls.wrap_socket(sock, server_side=True))
        patience = threading.Timer(GREETING_S, link.close)
        patience.daemon = True
        patience.start()
        try:
            return link, self._judge(link.read())
        finally:
            patience.cancel()

    def _judge(self, frame: tuple[int, bytes] | None) -> str:
        try:
            hello = msgspec.msgpack.decode(frame[1] if frame else b"", type=Hello)
        except msgspec.MsgspecError:
            return "that is no engine"
        if not hmac.compare_digest(hello.token.encode(), self._token.encode()):
            time.sleep(WRONG_TOKEN_WAIT_S)
            return "wrong token: the engine's must be the one of the terminal's box"
        return difference(hello)

    def _welcome(self, link: SecureLink, peer: str) -> None:
        self._engine = f"{peer} since {time.strftime('%H:%M:%S')}"
        link.send(REPLY, encode(Welcome()))
        link.trust()
        frame = link.read()
        if frame is None or frame[0] != REQUEST or self._closing.is_set():
            return
        asked = msgspec.msgpack.decode(frame[1], type=p.Open).config
        if self._config.login and asked.login not in (0, self._config.login):
            text = f"this box serves account {self._config.login}, the engine has {asked.login}"
            failure = p.Failure(kind="config", text=f"{text}: set terminal.login alike on both")
            link.send(REPLY, encode(p.Reply(failure=failure)))
            return
        _log.info("engine_connected", peer=peer)
        host = self._start_host(asked)
        try:
            self._relay(link, host, self._merged(asked))
        finally:
            link.close()
            _end(host)
            _log.info("engine_gone", peer=peer, host_exit_code=host.returncode)

    def _merged(self, asked: p.HostConfig) -> p.HostConfig:
        own = self._config
        return msgspec.structs.replace(
            asked,
            module=own.module,
            lock_path=own.lock_path,
            log_path=own.log_path,
            terminal_path=own.terminal_path,
            simulated=own.simulated,
            login=asked.login or own.login,
            server=asked.server or own.server,
            password=asked.password or own.password,
        )

    def _start_host(self, asked: p.HostConfig) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-P", "-m", "engine.terminal.host", str(asked.poll_ms)]
        if not self._config.log_path:
            return spawn(command, stderr=None, env=os.environ)
        path = Path(self._config.log_path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as log:
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
