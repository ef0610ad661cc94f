"""A stream that takes nothing is waited for by one thread alone, and what it lost is counted."""

import contextlib
import json
import os
import pty
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from engine.child.output import Output, open_file
from engine.child.parent import Child, ChildFailed


@contextlib.contextmanager
def unread() -> Iterator[int]:
    """A pipe that is full, and whose reader never reads."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    yield writer
    os.close(reader)
    os.close(writer)


@contextlib.contextmanager
def stopped() -> Iterator[int]:
    """A terminal at which somebody pressed Ctrl-S."""
    master, slave = pty.openpty()
    os.write(master, b"\x13")
    termios.tcflow(slave, termios.TCOOFF)
    yield slave
    os.close(slave)
    os.close(master)


@contextlib.contextmanager
def hung_up() -> Iterator[int]:
    """A pipe whose reader is gone."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@contextlib.contextmanager
def full() -> Iterator[int]:
    """A disk without room."""
    fd = os.open("/dev/full", os.O_WRONLY)
    yield fd
    os.close(fd)


@contextlib.contextmanager
def talking(stdout: int | None, *words: str) -> Iterator[tuple[subprocess.Popen[bytes], Any]]:
    """The talker, and what it found out about its log; `stdout` None is closed."""
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "tests.child.talker", str(writer), *words],
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=stdout if stdout is not None else subprocess.DEVNULL,
        pass_fds=(writer,),
        preexec_fn=None if stdout is not None else partial(os.close, 1),  # noqa: PLW1509
    )
    os.close(writer)
    with os.fdopen(reader, "rb") as told:
        try:
            yield process, json.loads(told.readline())
        finally:
            process.kill()
            process.wait(10)
            assert process.stdin is not None
            process.stdin.close()


@pytest.mark.parametrize(
    ("make", "trouble"),
    [
        (unread, "nobody has taken a line for"),
        (stopped, "nobody has taken a line for"),
        (hung_up, "Broken pipe"),
        (full, "No space left on device"),
    ],
)
def test_nobody_waits_for_a_stream_or_hears_of_it(
    make: Callable[[], contextlib.AbstractContextManager[int]], trouble: str
) -> None:
    """Log, print, traceback, warning, a library's log and a dying thread all go on at once; what
    finds no room is counted, and the process ends in time and with its own exit code."""
    with make() as fd, talking(fd) as (process, (took_s, _, found, n_dropped)):
        assert took_s < 5.0
        assert found.startswith(trouble)
        assert n_dropped > 300
        process.communicate(timeout=10)
        assert process.returncode == 0


def test_a_closed_stdout_is_nobodys_file() -> None:
    """No file that is opened later gets the number of a closed stream."""
    with talking(None, "at once") as (process, (_, name, found, _)):
        assert (name, found) == ("stdout (closed)", "")
        assert Path(f"/proc/{process.pid}/fd/1").readlink() == Path(os.devnull)
        process.communicate(timeout=10)
        assert process.returncode == 0


def test_what_is_missing_is_said_where_it_is_missing(tmp_path: Path) -> None:
    """A pipe that is read late brings every line, or in its place one that counts the lost."""
    reader, writer = os.pipe()
    with talking(writer) as (process, found):
        os.close(writer)
        assert process.stdin is not None
        process.stdin.close()
        with os.fdopen(reader, "rb") as pipe:
            lines = pipe.readlines()
        assert process.wait(10) == 0
    told = [json.loads(line) for line in lines if line.startswith(b"{")]
    assert told[0]["event"] == "first"
    assert told[0]["not_rendered"] == "RuntimeError"
    at, n_lost = 0, 0
    for line in told:
        if line["event"] == "log_lines_dropped":
            n_lost += line["n"]
            at += line["n"]
        elif line["event"] in ("line", "last"):
            assert line.get("n", 1000) == at
            at += 1
    assert at == 1001
    assert n_lost >= found[3] > 300
    assert b"printed \\ud800 in parts\n" in lines
    assert b"ZeroDivisionError: division by zero\n" in lines


def python(code: str, *words: str) -> None:
    subprocess.run([sys.executable, "-P", "-c", code, *words], check=True, timeout=30)


AGAIN = """
import resource, sys, time
from pathlib import Path
from engine.child import output
output.RETRY_S = 0.01
resource.setrlimit(resource.RLIMIT_FSIZE, (1050, resource.RLIM_INFINITY))
file = output.open_file(Path(sys.argv[1]))
log = output.Output(file.fileno())
for n in range(100):
    log.put(f"{n:099}\\n")
while not log.state.trouble:
    time.sleep(0.01)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
while log.state.trouble:
    time.sleep(0.01)
log.close(10.0)
"""


def test_a_disk_with_room_again_gets_what_waited(tmp_path: Path) -> None:
    """Lines wait while there is no room; the one that was begun is written to its end."""
    python(AGAIN, str(tmp_path / "log"))
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines == [f"{n:099}" for n in range(100)]


def test_a_pipe_in_a_logs_place_is_not_waited_for(tmp_path: Path) -> None:
    """Opening a named pipe that nobody reads fails at once instead of waiting for a reader."""
    os.mkfifo(tmp_path / "log")
    with pytest.raises(OSError, match="No such device"):
        open_file(tmp_path / "log")


def test_a_put_inside_a_put_is_taken() -> None:
    """A finaliser that the collector runs in the midst of logging may log itself."""
    reader, writer = os.pipe()
    output = Output(writer)
    with output._lock:  # as if in the midst of one
        output.put("inner\n")
    output.put("outer\n")
    output.close()
    os.close(writer)
    with os.fdopen(reader) as pipe:
        assert pipe.read() == "inner\nouter\n"


TOGETHER = """
import sys, threading
from pathlib import Path
from engine.child.output import Output, Stream, open_file
file = open_file(Path(sys.argv[1]))
out = Stream(Output(file.fileno()))
def talk(word):
    for n in range(2000):
        print(word, n, "end", file=out)
threads = [threading.Thread(target=talk, args=(word,)) for word in "abc"]
for thread in threads: thread.start()
for thread in threads: thread.join()
out.output.close(10.0)
"""


def test_lines_of_threads_do_not_mix(tmp_path: Path) -> None:
    """Each print of many parts is one line, whoever else prints meanwhile."""
    python(TOGETHER, str(tmp_path / "log"))
    lines = (tmp_path / "log").read_text().splitlines()
    assert sorted(lines) == sorted(f"{w} {n} end" for w in "abc" for n in range(2000))


@contextlib.contextmanager
def nobody_reads(path: Path) -> Iterator[None]:
    """A named pipe in a log's place: full, with a reader that never reads."""
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.close(writer)
    yield
    os.close(reader)


@contextlib.contextmanager
def no_room(path: Path) -> Iterator[None]:
    """A log on a full disk."""
    path.symlink_to("/dev/full")
    yield


@contextlib.contextmanager
def no_file(path: Path) -> Iterator[None]:
    """A log that cannot be opened at all."""
    path.mkdir()
    yield


@pytest.mark.parametrize("make", [nobody_reads, no_room, no_file])
def test_a_child_answers_whatever_becomes_of_its_log(
    make: Callable[[Path], contextlib.AbstractContextManager[None]], tmp_path: Path
) -> None:
    """What its handler raises is told and logged, if it can be; the child lives on."""
    with make(tmp_path / "log"):
        child = Child("tests.child.echo_child", name="echo", log_path=tmp_path / "log")
        for _ in range(200):
            with pytest.raises(ChildFailed, match="RuntimeError: no"):
                child.call(b"raise", timeout_s=20.0)
        assert child.call(b"hello", timeout_s=5.0) == b"hello"
        child.close()
        assert not child.killed
