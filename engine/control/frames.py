"""Frames on a stream socket: four bytes of length, then that many bytes; all under deadlines."""

import socket
import struct
import time

from engine.model.errors import ControlError

_HEADER = struct.Struct("!I")


class NoAnswer(ControlError):
    """The other side is there and silent."""


class HungUp(ControlError):
    """The other side has ended the connection."""


class TooLong(ControlError):
    """A frame is longer than is read."""


def send_frame(sock: socket.socket, payload: bytes, *, timeout_s: float) -> None:
    """Send one frame within `timeout_s`, or raise ControlError."""
    sock.settimeout(timeout_s)
    try:
        sock.sendall(_HEADER.pack(len(payload)) + payload)
    except TimeoutError:
        raise NoAnswer(f"nothing was read within {timeout_s:g} s") from None
    except OSError as error:
        raise HungUp(f"connection lost: {error.strerror or error}") from error


def receive_frame(
    sock: socket.socket, *, limit_bytes: int, idle_s: float, frame_s: float
) -> bytes | None:
    """Return one frame, or None when the other side closed between frames.

    Args:
        sock: a connected stream socket.
        limit_bytes: longest frame accepted.
        idle_s: how long the first byte may take.
        frame_s: how long the rest may take, in all.
    """
    try:
        sock.settimeout(idle_s)
        first = sock.recv(_HEADER.size)
        if not first:
            return None
        end_s = time.monotonic() + frame_s
        header = first + _receive_exactly(sock, _HEADER.size - len(first), end_s)
        (length,) = _HEADER.unpack(header)
        if length > limit_bytes:
            raise TooLong(f"a frame of {length} bytes, {limit_bytes} allowed")
        return _receive_exactly(sock, length, end_s)
    except TimeoutError:
        raise NoAnswer("no answer in time") from None
    except OSError as error:
        raise HungUp(f"connection lost: {error.strerror or error}") from error


def _receive_exactly(sock: socket.socket, length: int, end_s: float) -> bytes:
    parts = bytearray()
    while len(parts) < length:
        left_s = end_s - time.monotonic()
        if left_s <= 0.0:
            raise TimeoutError
        sock.settimeout(left_s)
        part = sock.recv(min(length - len(parts), 1 << 20))
        if not part:
            raise HungUp("connection lost inside a frame")
        parts += part
    return bytes(parts)
