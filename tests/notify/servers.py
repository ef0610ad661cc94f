"""Small SMTP and HTTP servers that work, hang, refuse or fail."""

import contextlib
import http.server
import json
import queue
import socket
import socketserver
import threading
from collections.abc import Iterator
from typing import Any

WAIT_S = 30.0


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, handler: type[socketserver.BaseRequestHandler], mode: str) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.mode = mode
        self.closing = threading.Event()
        self.arrived = threading.Event()
        self.got: queue.Queue[Any] = queue.Queue()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def next(self) -> Any:
        """Return the next thing that was delivered."""
        return self.got.get(timeout=WAIT_S)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is killed is no news."""


class _Http(http.server.BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.arrived.set()
        if self.server.mode == "hang":
            self.server.closing.wait(WAIT_S)
            return
        if self.server.mode == "drip":  # each byte is in time, the whole never is
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
            while not self.server.closing.wait(0.1):
                self.wfile.write(b"x")
            return
        ok = self.server.mode == "ok"
        if ok:
            self.server.got.put((self.path, json.loads(body)))
        answer = b'{"ok": true, "result": []}' if ok else f"broken at {self.path}".encode()
        self.send_response(200 if ok else 500)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class _Smtp(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        self.server.arrived.set()
        if self.server.mode == "hang":
            self.server.closing.wait(WAIT_S)
            return
        self._say("220 here")
        while line := self.rfile.readline().decode().strip():
            verb = line.split()[0].upper()
            if verb == "QUIT":
                self._say("221 bye")
                return
            if verb == "DATA":
                self._say("354 go on")
                self.server.got.put(self._text())
            if verb == "RCPT" and self.server.mode == "refuse":
                self._say("550 nobody here")
            elif verb == "AUTH":
                self._say("235 in")
            elif verb == "EHLO":
                self._say("250-here\r\n250 AUTH PLAIN")
            else:
                self._say("250 fine")

    def _text(self) -> str:
        lines = []
        while (line := self.rfile.readline().decode().rstrip("\r\n")) != ".":
            lines.append(line)
        return "\n".join(lines)

    def _say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")


@contextlib.contextmanager
def _serving(handler: type[socketserver.BaseRequestHandler], mode: str) -> Iterator[_Server]:
    with _Server(handler, mode) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()


def http_server(mode: str = "ok") -> contextlib.AbstractContextManager[_Server]:
    """An HTTP server: ok, hang, drip or fail (500). `got` has (path, JSON body)."""
    return _serving(_Http, mode)


def smtp_server(mode: str = "ok") -> contextlib.AbstractContextManager[_Server]:
    """An SMTP server: ok, hang or refuse (550). `got` has messages."""
    return _serving(_Smtp, mode)


def closed_port() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
