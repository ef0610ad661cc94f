"""A client that means no good: `python flooder.py SOCKET UID HOW N_CONNECTIONS`, until told to end.

It becomes that user, floods from so many connections at once as fast as it is let, ends at the end
of its standard input and prints how many commands were answered as refused, and obeyed.
"""

import contextlib
import os
import socket
import struct
import sys
import threading

import msgspec

from engine.control.messages import Execute, Hello, Poll
from engine.model.views.snapshot import PROTOCOL_VERSION, Command

HELLO = msgspec.msgpack.encode(Hello(protocol=PROTOCOL_VERSION, client="flooder"))
over = threading.Event()
counts = {"refused": 0, "obeyed": 0, "connections": 0}
lock = threading.Lock()


def frame(body: bytes) -> bytes:
    return struct.pack("!I", len(body)) + body


def answer(sock: socket.socket) -> bytes:
    header = sock.recv(4, socket.MSG_WAITALL)
    if len(header) < 4:
        raise ConnectionError
    return sock.recv(struct.unpack("!I", header)[0], socket.MSG_WAITALL)


def connected(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10)
    sock.connect(path)
    with lock:
        counts["connections"] += 1
    return sock


def commands(sock: socket.socket, name: str) -> None:
    """Send a command again and again, under a new id each time."""
    sock.sendall(frame(HELLO))
    answer(sock)
    sent_ns = 1
    while not over.is_set():
        command = Command(id=os.urandom(8).hex(), name=name, target="solo-eur", sent_ns=sent_ns)  # type: ignore[arg-type]
        sock.sendall(frame(msgspec.msgpack.encode(Execute(command=command))))
        said = answer(sock)
        with lock:
            counts["refused" if b"needs role" in said else "obeyed"] += 1


def polls(sock: socket.socket) -> None:
    """Ask for everything again and again."""
    sock.sendall(frame(HELLO))
    answer(sock)
    while not over.is_set():
        sock.sendall(frame(msgspec.msgpack.encode(Poll(since=0))))
        answer(sock)


def half(sock: socket.socket) -> None:
    """Begin a frame and never end it; give up sooner or later."""
    sock.sendall(b"\0\0")
    over.wait(1.0)


def huge(sock: socket.socket) -> None:
    """Announce more than anybody reads, and send on."""
    sock.sendall(frame(HELLO))
    answer(sock)
    sock.sendall(b"\xff\xff\xff\xff" + bytes(1 << 20))


def flood(path: str, how: str) -> None:
    while not over.is_set():
        with contextlib.suppress(OSError), connected(path) as sock:
            if how in ("kill", "halt", "flatten", "resume", "disable"):
                commands(sock, how)
            elif how != "connect":
                {"poll": polls, "half": half, "huge": huge}[how](sock)


if __name__ == "__main__":
    place, uid, way, n = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    if uid != os.getuid():
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    threads = [threading.Thread(target=flood, args=(place, way), daemon=True) for _ in range(n)]
    for thread in threads:
        thread.start()
    print("flooding", flush=True)
    sys.stdin.read()
    over.set()
    for thread in threads:
        thread.join(12)
    print(msgspec.json.encode(counts).decode(), flush=True)
