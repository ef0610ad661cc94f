"""Frames over TLS between an engine's box and the terminal's: alive, or lost within seconds.

Both ends say something at least every PING_S; an end that hears nothing for SILENCE_S takes the
link for lost, however the network failed. One reader, any number of senders.
"""

import contextlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Final

from engine.child.frames import EVENT, MAX_FRAME, FrameReader, frame_bytes

PING_S: Final = 1.0
SILENCE_S: Final = 5.0
# What a stranger may make this process keep in memory.
GREETING_MAX: Final = 4096
# No event of a host is empty.
_PING: Final = (EVENT, b"")


class SecureLink:
    """A TLS connection that carries frames. Errors of sending are OSError."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        self._sock = sock
        self._sock_lock = threading.Lock()  # OpenSSL's connections are not for two threads
        self._send_lock = threading.Lock()
        self._reader = FrameReader(self._receive, max_frame=GREETING_MAX)
        self._closed = threading.Event()
        threading.Thread(target=self._ping, name="link-ping", daemon=True).start()

    def trust(self) -> None:
        """Take long frames too: the other end has shown who it is."""
        self._reader.max_frame = MAX_FRAME

    def send(self, kind: int, body: bytes) -> None:
        """Send one whole frame; OSError when the link is lost."""
        with self._send_lock:
            left = memoryview(frame_bytes(kind, body))
            deadline_s = time.monotonic() + SILENCE_S
            while left:
                left = left[self._send_some(left, deadline_s) :]

    def read(self) -> tuple[int, bytes] | None:
        """Return the next frame, or None once the link is lost, closed or talks nonsense."""
        while True:
            try:
                frame = self._reader.read()
            except ValueError:
                return None
            if frame != _PING:
                return frame

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """Yield frames until the link ends."""
        while (frame := self.read()) is not None:
            yield frame

    def close(self) -> None:
        """End the link; a reader that waits hears of it at once. Any thread, more than once."""
        self._closed.set()
        with self._sock_lock, contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Close and give the socket back; by the reader, which reads no more."""
        self.close()
        self._sock.close()

    def _send_some(self, data: memoryview, deadline_s: float) -> int:
        try:
            with self._sock_lock:
                if self._closed.is_set():  # from then on the socket would speak without TLS
                    raise BrokenPipeError("the link is closed")
                return self._sock.send(data)
        except ssl.SSLWantWriteError:
            self._wait(deadline_s - time.monotonic(), to_write=True)
        except ssl.SSLWantReadError:
            self._wait(deadline_s - time.monotonic(), to_write=False)
        return 0

    def _receive(self, size: int) -> bytes:
        while True:
            try:
                with self._sock_lock:
                    return b"" if self._closed.is_set() else self._sock.recv(size)
            except ssl.SSLWantReadError:
                self._wait(SILENCE_S, to_write=False)
            except ssl.SSLWantWriteError:
                self._wait(SILENCE_S, to_write=True)

    def _wait(self, timeout_s: float, *, to_write: bool) -> None:
        sockets = [self._sock]
        found = select.select(
            [] if to_write else sockets, sockets if to_write else [], [], max(0.0, timeout_s)
        )
        if not (found[0] or found[1]):
            raise TimeoutError(f"the other end of the link is silent for {SILENCE_S:g} s")

    def _ping(self) -> None:
        while not self._closed.wait(PING_S):
            try:
                self.send(*_PING)
            except OSError:
                self.close()
                return
