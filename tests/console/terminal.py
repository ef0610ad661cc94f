"""A real pseudo-terminal around a program: start, read, press keys, close."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

_ESCAPES = re.compile(
    rb"\x1b\[[0-9;?<>=$ ]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[P_][^\x1b]*\x1b\\|\x1b."
)
_MODE = re.compile(rb"\x1b\[\?([0-9;]+)([hl])")
_ROW = re.compile(rb"\x1b\[([0-9]+);[0-9]+H")
_KEYBOARD_ON, _KEYBOARD_OFF = re.compile(rb"\x1b\[>[0-9]*u"), re.compile(rb"\x1b\[<[0-9]*u")
# DEC private modes that a console sets or, of the cursor, line wrap, resets.
_ALTERNATE_SCREEN, _CURSOR, _WRAP = 1049, 25, 7
_REPORTS = (1000, 1002, 1003, 1004, 1006, 1015, 1016, 2004, 2048)
_TAKE = b"\x1b[?1049h"
REPO = Path(__file__).resolve().parents[2]


def without_escapes(written: bytes) -> str:
    """Return what was written, without control sequences."""
    return _ESCAPES.sub(b"", written).decode(errors="replace")


class Terminal:
    """A program on a terminal of its own; `close` hangs the line up, as a dropped SSH would."""

    def __init__(
        self,
        words: Sequence[str],
        *,
        env: Mapping[str, str],
        size: tuple[int, int] = (120, 40),
        under_shell: bool = True,
    ) -> None:
        self._master, slave = pty.openpty()
        columns, rows = size
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.seen = b""
        self._all = b""
        told, tells = os.pipe()
        self._shell = subprocess.Popen(
            [sys.executable, "-P", "-c", _SHELL if under_shell else _ALONE, str(tells), *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            pass_fds=(tells,),
            env={"TERM": "xterm-256color", "PYTHONPATH": str(REPO), "PATH": os.environ["PATH"]}
            | dict(env),
        )
        os.close(slave)
        os.close(tells)
        with os.fdopen(told) as line:
            self.pid = int(line.read())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        if self._shell.poll() is None:
            self.send_signal(signal.SIGKILL)
        self.wait_gone(10)

    @property
    def text(self) -> str:
        """All that was written so far, without control sequences."""
        return without_escapes(self.seen)

    def read_until(self, text: str, deadline_s: float = 30.0) -> None:
        """Wait until `text` was written since the last key."""
        end_s = time.monotonic() + deadline_s
        while text not in self.text:
            assert time.monotonic() < end_s, f"no {text!r} in\n{self.text[-3000:]}"
            self._read(0.1)

    def read_for(self, seconds: float) -> None:
        """Read what is written in the next seconds."""
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0.0:
            self._read(left_s)

    def read_until_taken(self, deadline_s: float = 30.0) -> None:
        """Wait until the program has taken the terminal again: keys before that may be flushed."""
        end_s = time.monotonic() + deadline_s
        while _TAKE not in self.seen:
            assert time.monotonic() < end_s, f"not taken\n{self.text[-3000:]}"
            self._read(0.1)

    def press(self, keys: str) -> None:
        """Type; what was written before is forgotten."""
        self.seen = b""
        os.write(self._master, keys.encode())

    def wait(self, deadline_s: float = 30.0) -> int:
        """Return the exit code, reading meanwhile."""
        end_s = time.monotonic() + deadline_s
        while self._shell.poll() is None:
            assert time.monotonic() < end_s, f"still running\n{self.text[-3000:]}"
            self._read(0.05)
        read = -1
        while len(self._all) > read:
            read = len(self._all)
            self.read_for(0.1)
        return self._shell.returncode

    def wait_gone(self, deadline_s: float) -> None:
        """Wait until the program has ended, without reading."""
        self._shell.wait(deadline_s)

    def send_signal(self, number: int) -> None:
        """Send a signal to the program."""
        os.kill(self.pid, number)

    def wait_stopped(self, deadline_s: float = 30.0) -> None:
        """Wait until the program is stopped (ctrl+z)."""
        end_s = time.monotonic() + deadline_s
        while self._state() != "T":
            assert time.monotonic() < end_s, f"not stopped but {self._state()}"
            self._read(0.05)

    def resume(self) -> None:
        """Bring a stopped program back, as a shell's `fg` does."""
        os.killpg(self.pid, signal.SIGCONT)

    def resize(self, columns: int, rows: int) -> None:
        """Have another size; the program is told, as the terminal's window would."""
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    def n_threads(self) -> int:
        """Return how many threads the program has."""
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))

    def rows(self) -> list[int]:
        """Return the rows that the cursor was put on since the last key."""
        return [int(row) for row in _ROW.findall(self.seen)]

    def left_behind(self) -> list[str]:
        """Return what is not as a shell wants to find its terminal."""
        modes: dict[int, bool] = {_CURSOR: True, _WRAP: True}
        for numbers, letter in _MODE.findall(self._all):
            modes |= {int(number): letter == b"h" for number in numbers.split(b";")}
        wrong = [f"mode {m} is on" for m in (_ALTERNATE_SCREEN, *_REPORTS) if modes.get(m)]
        wrong += [f"mode {m} is off" for m in (_CURSOR, _WRAP) if not modes[m]]
        if len(_KEYBOARD_ON.findall(self._all)) > len(_KEYBOARD_OFF.findall(self._all)):
            wrong.append("the keyboard's protocol")
        flags = termios.tcgetattr(self._master)[3]
        wrong += [n for n in ("ECHO", "ICANON", "ISIG") if not flags & getattr(termios, n)]
        return wrong

    def close(self) -> None:
        """Hang up."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def _state(self) -> str:
        stat = Path(f"/proc/{self.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0]

    def _read(self, timeout_s: float) -> None:
        if self._master < 0 or not select.select([self._master], [], [], timeout_s)[0]:
            return
        try:
            read = os.read(self._master, 65536)
            self.seen += read
            self._all += read
        except OSError:  # the other side is closed
            time.sleep(timeout_s)


# Makes the pseudo-terminal the session's own, so that closing it sends SIGHUP, and tells the
# program's process; then becomes the program: nobody could bring it back from a stop.
_ALONE = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.write(int(sys.argv[1]), b"%d" % os.getpid())
os.close(int(sys.argv[1]))
os.execv(sys.executable, [sys.executable, "-P", *sys.argv[2:]])
"""
# As a shell does: the program is a job of its own, has the terminal, and hears of its end.
_SHELL = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
pid = os.fork()
if not pid:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpgrp())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.write(int(sys.argv[1]), b"%d" % os.getpid())
    os.close(int(sys.argv[1]))
    os.execv(sys.executable, [sys.executable, "-P", *sys.argv[2:]])
os.close(int(sys.argv[1]))
def hang_up(*_):
    for number in (signal.SIGHUP, signal.SIGCONT):
        os.killpg(pid, number)
signal.signal(signal.SIGHUP, hang_up)
ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
os._exit(ended if ended >= 0 else 128 - ended)
"""
