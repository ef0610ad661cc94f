"""A line between an engine and a terminal's box that a test can cut or hold."""

import contextlib
import select
import socket
import threading
import time
from typing import Literal


class Wire:
    """Forwards bytes to `target`; `fate` decides what becomes of them."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._server = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self.fate: Literal["whole", "held", "deaf"] = "whole"
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        """Where the engine connects to."""
        return f"127.0.0.1:{self._server.getsockname()[1]}"

    def cut(self) -> None:
        """End what is connected; the next connection goes through."""
        pairs, self._pairs = self._pairs, []
        for sock in (s for pair in pairs for s in pair):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def hold(self) -> None:
        """Deliver nothing any more, and tell nobody."""
        self.fate = "held"

    def deafen(self) -> None:
        """Deliver what the engine says, and nothing of what it is told."""
        self.fate = "deaf"

    def mend(self) -> None:
        """Let new connections through; what was held is lost."""
        self.cut()
        self.fate = "whole"

    def close(self) -> None:
        self.cut()
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            if self.fate != "whole":
                near.close()
                continue
            far = socket.create_connection(self._target)
            for sock in (near, far):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pairs.append((near, far))
            threading.Thread(target=self._forward, args=(near, far), daemon=True).start()

    def _forward(self, near: socket.socket, far: socket.socket) -> None:
        with near, far, contextlib.suppress(OSError):
            while True:
                ready, _, _ = select.select([near, far], [], [], 0.05)
                if self.fate == "held":
                    if (near, far) not in self._pairs:
                        return
                    time.sleep(0.01)
                    continue
                for source in ready:
                    data = source.recv(65536)
                    if not data:
                        return
                    if source is near:
                        far.sendall(data)
                    elif self.fate != "deaf":
                        near.sendall(data)
