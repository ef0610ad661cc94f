"""A user's strategy that tries what it may not, and notes what came of it in its own place."""

import contextlib
import ctypes
import json
import os
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Annotated

import numba
import numpy as np
import talib
from msgspec import Meta

from strategies.base import Params, Strategy
from strategies.indicators import sma

BESIDE = Path(__file__).with_name("beside.txt")


class CuriousParams(Params, frozen=True, kw_only=True):
    """What to try."""

    pid: Annotated[int, Meta(ge=0, le=2**40, description="the engine's process")] = 0


@numba.njit(cache=True)
def doubled(values):
    """Return twice the values."""
    return 2.0 * values


def descriptors():
    """Return what this process has open."""
    found = []
    for fd in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            found.append(str(fd.readlink()))
    return found


def outcome(what):
    """Return what doing something gave."""
    try:
        return what()
    except Exception as error:
        return type(error).__name__


class Curious(Strategy):
    """Computes as anybody would, and reports."""

    kind = "curious"
    params_type = CuriousParams
    warmup = 3

    def evaluate(self, bars):
        pid, here = self.params.pid, Path(__file__).parent
        sma(bars.close, 3)
        doubled(bars.close)
        talib.SMA(bars.close, 3)
        scratch = Path(tempfile.mkdtemp())
        tries = {
            "environment": lambda: sorted(os.environ),
            "descriptors": descriptors,
            "status": lambda: [
                line.split()[1]
                for line in Path("/proc/self/status").read_text().splitlines()
                if line.startswith(("NoNewPrivs", "Seccomp:"))
            ],
            "core": lambda: __import__("resource").getrlimit(4),
            "dumpable": lambda: ctypes.CDLL(None).prctl(3, 0, 0, 0, 0),
            "beside": BESIDE.read_text,
            "beside written": lambda: BESIDE.write_text("x"),
            "own code": lambda: Path(__file__).open("a").close(),
            "scratch": lambda: (scratch / "x").write_text("1"),
            "anywhere": lambda: (here / "new").write_text("x"),
            "removed": BESIDE.unlink,
            "moved": lambda: BESIDE.rename(here / "moved"),
            "mode": lambda: BESIDE.chmod(0o666),
            "kernels": lambda: (Path(numba.config.CACHE_DIR).parent / "x").write_text("x"),
            "secret": (here / "secret" / "token").read_text,
            "secrets": lambda: [str(p) for p in (here / "secret").iterdir()],
            "unix": lambda: socket.socket(socket.AF_UNIX),
            "tcp": socket.socket,
            "engine's environment": lambda: Path(f"/proc/{pid}/environ").read_bytes(),
            "engine's memory": lambda: Path(f"/proc/{pid}/mem").open("rb").close(),
            "signal": lambda: os.kill(pid, 0),
            "child": lambda: (
                subprocess.run(
                    ["sh", "-c", f"echo x > {here}/by-child || echo no"],
                    check=True,
                    capture_output=True,
                    text=True,
                ).stdout
            ),
        }
        found = {name: outcome(what) for name, what in tries.items()}
        Path(tempfile.gettempdir(), "found.json").write_text(json.dumps(found))
        return self.signals(np.zeros(bars.n, np.int8), np.zeros(bars.n))
