"""A child for the tests: echoes, streams, prints, raises, hangs, ends, as its request says."""

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Iterator

from engine.child.serve import serve


def _stream() -> Iterator[bytes]:
    for n in range(3):
        yield str(n).encode()


def handle(body: bytes) -> bytes | Iterator[bytes]:
    word = body[:16].split(b" ")[0]
    if word == b"print":
        print("stray print")
        os.write(1, b"\x02\x00\x00\x00\x00 stray bytes\n")
        subprocess.run([sys.executable, "-c", "print('stray grandchild')"], check=True)
    elif word == b"raise":
        raise RuntimeError("no")
    elif word == b"sleep":
        time.sleep(60)
    elif word == b"stuck":  # holds the GIL, as the MetaTrader5 package does
        ctypes.PyDLL(None).sleep(60)
    elif word == b"exit":
        os._exit(7)
    elif word == b"closes":
        os.closerange(3, 64)
        time.sleep(60)
    elif word == b"stream":
        return _stream()
    elif word == b"read":
        return sys.stdin.buffer.read()
    elif word == b"grandchild":
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        return str(process.pid).encode()
    return body


def idle() -> list[bytes]:
    return [b"tick"]


def dawdle() -> None:
    time.sleep(60)


if __name__ == "__main__":
    if "dawdles" in sys.argv:
        serve(handle, after=dawdle)
    elif "events" in sys.argv:
        serve(handle, idle=idle, idle_s=0.005)
    else:
        serve(handle)
