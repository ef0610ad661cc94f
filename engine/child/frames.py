"""Frames on a pipe between a parent and its child: kind, length, body.

The header is little-endian: one byte of kind, four bytes of length. A frame longer than
MAX_FRAME is a corrupt stream, not a long message.
"""

import os
import struct
from collections.abc import Callable
from typing import Final

REQUEST: Final = 1
REPLY: Final = 2
PART: Final = 3
ERROR: Final = 4
EVENT: Final = 5

MAX_FRAME: Final = 1 << 30
_HEADER = struct.Struct("<BI")
_READ_SIZE: Final = 1 << 16


class FrameReader:
    """Reads frames; buffers, so that a small frame is one system call.

    `receive` waits for bytes, at most as many as asked for; nothing or an OSError is the end.
    """

    def __init__(self, receive: Callable[[int], bytes], *, max_frame: int = MAX_FRAME) -> None:
        self.max_frame = max_frame
        self._receive = receive
        self._buffer = bytearray()

    @property
    def buffered(self) -> bool:
        """Tell whether a part of a frame, or more, has been read ahead."""
        return bool(self._buffer)

    def read(self) -> tuple[int, bytes] | None:
        """Return the next frame's kind and body, or None at the end of the stream.

        A stream that ends inside a frame has ended; a header that cannot be one raises ValueError.
        """
        if not self._fill(_HEADER.size):
            return None
        kind, length = _HEADER.unpack_from(self._buffer)
        if not REQUEST <= kind <= EVENT or length > self.max_frame:
            raise ValueError(f"corrupt frame header: kind {kind}, length {length}")
        end = _HEADER.size + length
        if not self._fill(end):
            return None
        body = bytes(memoryview(self._buffer)[_HEADER.size : end])
        del self._buffer[:end]
        return kind, body

    def _fill(self, size: int) -> bool:
        while len(self._buffer) < size:
            try:
                chunk = self._receive(_READ_SIZE)
            except OSError:
                return False
            if not chunk:
                return False
            self._buffer += chunk
        return True


def frame_bytes(kind: int, body: bytes) -> bytes:
    """Return a frame as it is sent."""
    return _HEADER.pack(kind, len(body)) + body


def write_frame(fd: int, kind: int, body: bytes) -> None:
    """Write one whole frame; OSError when the other end is gone."""
    left = memoryview(frame_bytes(kind, body))
    while left:
        left = left[os.write(fd, left) :]
