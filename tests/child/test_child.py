"""Supervised children: deadlines hold, frames are never corrupted, nobody is left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import pytest

from engine.child.parent import Child, ChildFailed, ChildGone, ChildTimeout
from tests.processes import lives

START_S = 20.0
MakeChild = Callable[..., Child]


@pytest.fixture
def make_child(tmp_path: Path) -> Iterator[MakeChild]:
    children: list[Child] = []

    def make(*argv: str, **kwargs: object) -> Child:
        child = Child(
            "tests.child.echo_child", argv, name="echo", log_path=tmp_path / "log", **kwargs
        )
        children.append(child)
        assert child.call(b"hello", timeout_s=START_S) == b"hello"
        return child

    yield make
    for child in children:
        child.kill()
        child.close()


def wait_until(condition: Callable[[], bool], deadline_s: float) -> bool:
    end_s = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.005)
    return True


def test_what_comes_after_a_reply_does_not_hold_it_up(make_child: MakeChild) -> None:
    """A child that tidies up for a minute has answered before; and it ends with its parent."""
    child = make_child("dawdles")
    child.close(grace_s=5.0)
    assert child.exit_code == 70


@pytest.mark.parametrize("size", [0, 1, 4_000, 70_000, 3_000_000])
def test_a_body_comes_back_as_it_went(make_child: MakeChild, size: int) -> None:
    """Frames of any size cross the pipes unchanged."""
    body = os.urandom(size)
    assert make_child().call(b"x" + body, timeout_s=10) == b"x" + body


def test_prints_cannot_corrupt_the_frames(make_child: MakeChild, tmp_path: Path) -> None:
    """What code, C code and grandchildren print lands in the log, not between frames."""
    child = make_child()
    assert child.call(b"print", timeout_s=10) == b"print"
    assert child.call(b"again", timeout_s=10) == b"again"
    log = (tmp_path / "log").read_bytes()
    assert b"stray bytes" in log
    assert b"stray grandchild" in log


def test_code_in_the_child_cannot_eat_requests(make_child: MakeChild) -> None:
    """Reading stdin inside the child finds nothing and takes nothing."""
    child = make_child()
    assert child.call(b"read", timeout_s=10) == b""
    assert child.call(b"again", timeout_s=10) == b"again"


def test_a_handler_that_raises_does_not_end_the_child(make_child: MakeChild) -> None:
    """An error is the caller's; the next request is answered."""
    child = make_child()
    with pytest.raises(ChildFailed, match="RuntimeError: no"):
        child.call(b"raise", timeout_s=10)
    assert child.call(b"again", timeout_s=10) == b"again"


@pytest.mark.parametrize("how", [b"sleep", b"stuck"])
def test_a_missed_deadline_kills_before_it_is_reported(make_child: MakeChild, how: bytes) -> None:
    """When the caller hears of the timeout, the child runs no more, even stuck in C code."""
    child = make_child()
    started_s = time.monotonic()
    with pytest.raises(ChildTimeout):
        child.call(how, timeout_s=0.2)
    assert time.monotonic() - started_s < 1.5
    assert not lives(child.pid)
    assert child.exit_code == -signal.SIGKILL
    with pytest.raises(ChildGone) as caught:
        child.call(b"again", timeout_s=1)
    assert not caught.value.sent


def test_a_large_request_to_a_stuck_child_misses_its_deadline(make_child: MakeChild) -> None:
    """A full pipe cannot hold the caller beyond its deadline."""
    child = make_child()
    child.send(b"stuck", timeout_s=1)
    started_s = time.monotonic()
    with pytest.raises(ChildGone) as caught:
        child.send(b"x" * 3_000_000, timeout_s=0.2)
    assert caught.value.sent
    assert time.monotonic() - started_s < 1.5


def test_the_whole_group_is_killed(make_child: MakeChild) -> None:
    """A grandchild does not outlive a killed child."""
    child = make_child()
    grandchild = int(child.call(b"grandchild", timeout_s=10))
    child.kill()
    assert wait_until(lambda: not lives(grandchild), 2)


def test_an_exit_is_told_with_its_code(make_child: MakeChild) -> None:
    """The request may have been seen; the message carries the exit code."""
    codes: list[int | None] = []
    child = make_child(on_exit=codes.append)
    with pytest.raises(ChildGone, match="exit code 7") as caught:
        child.call(b"exit", timeout_s=10)
    assert caught.value.sent
    assert wait_until(lambda: codes == [7], 2)


def test_a_child_that_drops_its_pipe_is_ended(make_child: MakeChild) -> None:
    """A child that can no longer answer is not left running."""
    child = make_child()
    with pytest.raises(ChildGone):
        child.call(b"closes", timeout_s=10)
    assert not lives(child.pid)


def test_parts_arrive_in_order_before_the_reply(make_child: MakeChild) -> None:
    """A streamed reply is complete and ordered, and the next call is clean."""
    parts: list[bytes] = []
    child = make_child()
    assert child.call(b"stream", timeout_s=10, on_frame=parts.append) == b""
    assert parts == [b"0", b"1", b"2"]
    assert child.call(b"again", timeout_s=10) == b"again"


def test_events_flow_however_busy_the_parent_is(make_child: MakeChild) -> None:
    """Requests in a row do not starve the idle work; events are not taken for replies."""
    events: list[bytes] = []
    child = make_child("events", on_event=events.append)
    before, end_s = len(events), time.monotonic() + 0.25
    while time.monotonic() < end_s:
        assert child.call(b"again", timeout_s=10) == b"again"
    assert len(events) - before >= 10


def test_closing_the_pipe_ends_the_child(make_child: MakeChild) -> None:
    """End of input is a clean end."""
    child = make_child()
    child.close()
    assert child.exit_code == 0


def test_closing_the_pipe_ends_a_sleeping_child(make_child: MakeChild) -> None:
    """End of input ends a child whose handler does not return, within 2 s and by itself."""
    child = make_child()
    child.send(b"sleep", timeout_s=1)
    child.close(grace_s=2.0)
    assert child.exit_code == 70


def test_calls_from_many_threads_do_not_mix(make_child: MakeChild) -> None:
    """Each caller gets its own reply."""
    child = make_child()
    wrong: list[bytes] = []

    def work(n: int) -> None:
        for i in range(50):
            body = f"again {n} {i}".encode()
            if child.call(body, timeout_s=10) != body:
                wrong.append(body)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(sys.platform != "linux", reason="parent-death signal is Linux's")
@pytest.mark.parametrize("busy", ["again", "sleep", "stuck"])
def test_a_killed_parent_takes_its_child_along(busy: str) -> None:
    """kill -9 of the parent ends the child within 2 s, idle or stuck, and not before:
    the end of the thread that started it means nothing."""
    command = [sys.executable, "-m", "tests.child.parent_of_one", busy]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child_pid = int(parent.stdout.readline())
        assert lives(child_pid)
        parent.kill()
        parent.wait()
        assert wait_until(lambda: not lives(child_pid), 2)


def test_a_small_round_trip_is_fast(make_child: MakeChild) -> None:
    """A small frame and back takes well under a millisecond (the limit allows a busy machine)."""
    child = make_child()
    took_s = []
    for _ in range(300):
        started_s = time.perf_counter()
        child.call(b"again", timeout_s=10)
        took_s.append(time.perf_counter() - started_s)
    print(f"round trip: median {median(took_s) * 1e6:.0f} µs, best {min(took_s) * 1e6:.0f} µs")
    assert min(took_s) < 0.001


def test_an_event_that_cannot_be_taken_ends_the_child(make_child: MakeChild) -> None:
    """What it carried is lost: no reply is taken from a child whose word was not heard, and who
    started it hears of its end and starts another one."""

    def fail(_: bytes) -> None:
        raise KeyError("on purpose")

    child = make_child("events", on_event=fail)
    with pytest.raises(ChildGone):
        ask_for_ever(child)
    assert not lives(child.pid)


def ask_for_ever(child: Child) -> None:
    while True:
        child.call(b"again", timeout_s=10)
