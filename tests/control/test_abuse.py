"""Messages that no honest client sends: refused, counted, and nobody else notices."""

import contextlib
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.control.client import ControlClient
from engine.control.frames import send_frame
from engine.control.messages import REQUEST_MAX_BYTES, Execute, Hello, Poll
from engine.control.peer import Credentials, Peer
from engine.control.server import CLIENTS_MAX
from engine.control.toll import PROCESS_COMMANDS, PROCESS_CONNECTIONS
from engine.model.times import NS_PER_S
from engine.model.views.snapshot import PROTOCOL_VERSION, Command
from tests.conftest import REPO
from tests.control.control_engine import START_NS, ScriptedEngine, make_snapshot

HELLO = msgspec.msgpack.encode(Hello(protocol=PROTOCOL_VERSION, client="fuzz"))


def command(name: str = "enable", **changes: object) -> Command:
    fields: dict[str, object] = {"id": "c1", "name": name, "target": "eur", "sent_ns": START_NS}
    return Command(**(fields | changes))  # type: ignore[arg-type]


def talk(engine: ScriptedEngine, *frames: bytes, raw: bytes = b"") -> list[bytes]:
    """Send frames, then bytes as they are; return the answers until the engine hangs up."""
    answers = []
    with socket.socket(socket.AF_UNIX) as sock, contextlib.suppress(OSError):
        sock.settimeout(5)
        sock.connect(str(engine.path))
        for frame in frames:
            sock.sendall(struct.pack("!I", len(frame)) + frame)
        if raw:
            sock.sendall(raw)
        sock.shutdown(socket.SHUT_WR)
        while header := sock.recv(4, socket.MSG_WAITALL):
            answers.append(sock.recv(struct.unpack("!I", header)[0], socket.MSG_WAITALL))
    return answers


def eventually(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 10.0
    while not condition():
        assert time.monotonic() < end_s, "deadline"
        time.sleep(0.002)


def refused(engine: ScriptedEngine) -> dict[str, int]:
    return engine.server.view().refused


@pytest.mark.parametrize(
    ("frames", "raw", "kind"),
    [
        ([b"\x93\x01\x02\x03"], b"", "malformed"),
        ([b""], b"", "malformed"),
        ([b"\x91" * 20_000], b"", "malformed"),
        ([b"\x82\xa4type\xa4poll\xa5since\xd9\x02\xff\xfe"], b"", "malformed"),
        ([HELLO, b"\xc1"], b"", "malformed"),
        ([HELLO, HELLO], b"", "malformed"),
        ([msgspec.msgpack.encode(Poll(since=0))], b"", "malformed"),
        ([HELLO], struct.pack("!I", REQUEST_MAX_BYTES + 1) + b"x", "huge"),
        ([HELLO], b"\xff\xff\xff\xff", "huge"),
    ],
    ids=["array", "empty", "deep", "not text", "noise", "hello again", "no hello", "long", "huge"],
)
def test_no_conversation_is_ended_and_counted(
    engine: ScriptedEngine, frames: list[bytes], raw: bytes, kind: str
) -> None:
    """What is no request gets a reason, loses its connection and counts once."""
    answers = talk(engine, *frames, raw=raw)
    assert b"denied" in answers[-1]
    assert refused(engine) == {kind: 1}
    assert engine.client().snapshot() is not None
    assert not engine.executed


@pytest.mark.parametrize(
    "changes",
    [{"id": "x" * 65}, {"target": "x" * 257}, {"name": "format"}],
    ids=["id", "target", "name"],
)
def test_a_command_beyond_its_bounds_is_no_command(
    engine: ScriptedEngine, changes: dict[str, object]
) -> None:
    """Nothing that is kept may be long: it is refused before it is kept."""
    talk(engine, HELLO, msgspec.msgpack.encode(Execute(command=command(**changes))))
    assert refused(engine) == {"malformed": 1}
    assert not engine.executed


def test_an_id_used_again_is_counted_and_reported(engine: ScriptedEngine) -> None:
    """A replayed id with another content is refused, audited and counted, never answered."""
    client = engine.client()
    assert client.send(command()).ok
    assert client.send(command()).ok
    assert not client.send(command(target="gbp")).ok
    assert refused(engine) == {"replayed": 1}
    assert [c.target for c, _, _ in engine.refusals] == ["gbp"]


def test_a_stale_or_early_command_is_counted(engine: ScriptedEngine) -> None:
    """A command of another time is refused and counted, whichever clock is wrong."""
    client = engine.client()
    for id_, seconds in (("c1", -6), ("c2", 6), ("c3", 5)):
        client.send(command(id=id_, sent_ns=START_NS + seconds * NS_PER_S))
    assert refused(engine) == {"stale": 2}
    assert [c.id for c, _ in engine.executed] == ["c3"]


@pytest.mark.parametrize("newer", ["kill", "enable", "halt"])
def test_a_command_never_undoes_a_newer_one(engine: ScriptedEngine, newer: str) -> None:
    """What was sent first and arrives last is refused; goals that reduce risk are obeyed."""
    one, other = engine.client(client="desk"), engine.client(client="desk")
    assert other.send(command(newer, id="c2", sent_ns=START_NS + 2)).ok
    assert not one.send(command("enable", id="c1", sent_ns=START_NS + 1)).ok
    assert one.send(command("kill", id="c3", sent_ns=START_NS + 1)).ok
    assert refused(engine) == {"disorder": 1}
    assert engine.client(client="other").send(command("enable", sent_ns=START_NS)).ok


def test_an_impossible_time_keeps_nobody_out(engine: ScriptedEngine) -> None:
    """A kill from a clock of next year is obeyed, and the commands after it are too."""
    client = engine.client(client="desk")
    assert client.send(command("kill", id="c1", sent_ns=START_NS + 400 * 86_400 * NS_PER_S)).ok
    assert client.send(command("enable", id="c2", sent_ns=START_NS + 1)).ok


def test_a_flood_of_clients_leaves_nothing_behind(engine: ScriptedEngine) -> None:
    """Clients that vanish at any point are forgotten; the places are free again."""
    kept = engine.client()
    kept.snapshot()
    rng = random.Random(6)
    for _ in range(200):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(engine.path))
            framed = struct.pack("!I", len(HELLO)) + HELLO
            sock.sendall(framed[: rng.randrange(len(framed) + 1)])
    eventually(lambda: engine.server.view().n_clients <= 1)
    assert kept.snapshot(engine.current.version) is None


def packed() -> st.SearchStrategy[object]:
    """Return anything that msgpack can say, requests in parts among it."""
    words = st.sampled_from(
        ["type", "hello", "poll", "execute", "ask", "command", "question", "id", "name", "kill"]
    )
    leaves = (
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**64 - 1)
        | st.floats()
        | words
        | st.text(max_size=300)
        | st.binary(max_size=50)
    )
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=5) | st.dictionaries(words | st.text(max_size=9), inner)
        ),
        max_leaves=12,
    )


def test_whatever_is_sent_the_engine_serves_on(engine: ScriptedEngine) -> None:
    """No message, well-formed or not, ends the engine, runs a command or holds another client."""
    other = engine.client()
    valid = [
        HELLO,
        msgspec.msgpack.encode(Poll(since=1)),
        msgspec.msgpack.encode(Execute(command=command("enable", sent_ns=0))),
    ]

    def damaged(data: st.DataObject) -> bytes:
        frame = bytearray(data.draw(st.sampled_from(valid)))
        for place in data.draw(st.lists(st.integers(0, len(frame) - 1), max_size=4)):
            frame[place] = data.draw(st.integers(0, 255))
        return bytes(frame[: data.draw(st.integers(0, len(frame)))])

    @settings(
        max_examples=300,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def fuzz(data: st.DataObject) -> None:
        kind = data.draw(st.integers(0, 2))
        if kind == 0:
            frame = msgspec.msgpack.encode(data.draw(packed()))
        elif kind == 1:
            frame = damaged(data)
        else:
            frame = data.draw(st.binary(max_size=200))
        first = [HELLO] if data.draw(st.booleans()) else []
        talk(engine, *first, frame, raw=data.draw(st.binary(max_size=8)))

    fuzz()
    engine.current = make_snapshot(2)
    assert other.snapshot(1) is not None
    assert not engine.executed
    eventually(lambda: engine.server.view().n_clients == 1)


def test_a_huge_answer_is_not_waited_for(engine: ScriptedEngine) -> None:
    """A client that asks and never reads is dropped after its deadline, without a trace."""
    engine.current = make_snapshot(server="x" * 4_000_000)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(engine.path))
        send_frame(sock, HELLO, timeout_s=1.0)
        for _ in range(3):
            send_frame(sock, msgspec.msgpack.encode(Poll(since=0)), timeout_s=1.0)
        eventually(lambda: engine.server.view().n_clients == 0)
    assert engine.client().snapshot() is not None


def hello_from(engine: ScriptedEngine, n: int) -> list[socket.socket]:
    """Return so many connections that were let in and say nothing more."""
    held = []
    for _ in range(n):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(5)
        sock.connect(str(engine.path))
        send_frame(sock, HELLO, timeout_s=1.0)
        assert sock.recv(4, socket.MSG_WAITALL)
        held.append(sock)
    return held


def flooding(engine: ScriptedEngine, over: threading.Event, sent: list[int]) -> None:
    """Send kills that are refused, as fast as they are answered."""
    client = engine.client(role="viewer")
    while not over.is_set():
        client.send(command("kill", id=os.urandom(8).hex()))
        sent.append(1)
    client.close()


def test_a_halt_is_served_while_refused_kills_flood(engine: ScriptedEngine) -> None:
    """Ten clients of this very process send refused kills as fast as they can: a halt, on a
    connection of its own each time, is obeyed within a second, and every refusal is told."""
    over, sent = threading.Event(), []
    threads = [threading.Thread(target=flooding, args=(engine, over, sent)) for _ in range(10)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(sent) > 2_000)
    waits_s = []
    for n in range(5):
        began_s = time.monotonic()
        assert engine.client().send(command("halt", id=f"halt {n}")).ok
        waits_s.append(time.monotonic() - began_s)
    over.set()
    for thread in threads:
        thread.join(10)
    assert max(waits_s) < 1.0, waits_s
    assert len(engine.refusals) == len(sent) == refused(engine)["role"]
    assert [c.name for c, _ in engine.executed] == ["halt"] * 5


def test_too_many_commands_are_refused_and_kills_are_not(engine: ScriptedEngine) -> None:
    """Beyond the rate a command is refused, counted and reported; kill, halt and flatten wait a
    moment and are obeyed."""
    client = engine.client()
    n_sent = int(PROCESS_COMMANDS.at_once) + 100
    replies = [client.send(command("enable", id=f"e{n}")) for n in range(n_sent)]
    n_refused = sum(not reply.ok for reply in replies)
    assert 0 < n_refused <= 100
    assert "commands a second: send enable anew" in replies[-1].text
    assert refused(engine) == {"rate": n_refused}
    assert len(engine.refusals) == n_refused
    assert all(client.send(command(name, id=name)).ok for name in ("kill", "halt", "flatten"))


def test_a_full_house_lets_a_newcomer_in(engine: ScriptedEngine) -> None:
    """When all places are taken somebody who is quiet gives one up, and whoever comes is served."""
    kept = engine.client()
    kept.snapshot()
    held = hello_from(engine, CLIENTS_MAX + 10)
    assert engine.client().send(command("halt")).ok
    assert engine.server.view().n_clients <= CLIENTS_MAX
    for sock in held:
        sock.close()


def test_connections_have_a_rate_and_a_client_knocks_again(engine: ScriptedEngine) -> None:
    """A process that connects without end is hung up on, counted once each, and still gets its
    halt through soon after."""
    n_sent = int(PROCESS_CONNECTIONS.at_once) + 100
    for _ in range(n_sent):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(engine.path))
    assert engine.client().send(command("halt")).ok
    assert 0 < refused(engine)["flood"] <= n_sent


LITTLE_ROOM = """
import resource, sys
from pathlib import Path
from engine.control.server import ControlServer
from tests.control.control_engine import ScriptedEngine
engine = ScriptedEngine(Path(sys.argv[1]))
engine.server.start()
resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
print("listening", flush=True)
sys.stdin.read()
engine.server.close()
"""


def test_an_engine_without_file_handles_listens_on(run_dir: Path) -> None:
    """When no connection can be taken for a while, later ones are."""
    path = run_dir / "run" / "e.sock"
    with subprocess.Popen(
        [sys.executable, "-c", LITTLE_ROOM, str(path)],
        cwd=REPO,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert "listening" in process.stdout.readline()
        held = []
        for _ in range(40):
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(str(path))
            held.append(sock)
        assert "control_accept_failed" in process.stdout.readline()
        for sock in held:
            sock.close()
        with ControlClient(path) as client:
            assert client.snapshot() is not None
        process.communicate("")
    assert process.returncode == 0


def test_a_client_without_a_thread_leaves_no_place_taken(
    engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no thread can be had the connection is given up, and its place is free."""
    start = threading.Thread.start

    def fail(thread: threading.Thread) -> None:
        if thread.name == "control-client":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", fail)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(str(engine.path))
        assert sock.recv(1) == b""
    assert engine.server.view().n_clients == 0
    monkeypatch.undo()
    assert engine.client().snapshot() is not None


def test_strangers_and_floods_fill_no_log(
    engine: ScriptedEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    """What any client may cause a hundred times is a line, with how many were kept back later."""
    for _ in range(100):
        talk(engine, HELLO, b"\xc1")
    assert capsys.readouterr().out.count("control_client_dropped") == 1


class Present:
    """Stands where a session that was let in stands."""

    busy = False

    def __init__(self, uid: int, pid: int, known: bool) -> None:
        self.peer = Peer(credentials=Credentials(uid, pid), role="viewer" if known else None)


@pytest.mark.parametrize(
    ("clients", "victim"),
    [
        ([(1, 1, True), (9, 9, False), (1, 2, True)], 1),
        ([(1, 1, True), (2, 5, True), (2, 6, True)], 1),
        ([(1, 1, True), (1, 1, True), (1, 1, True), *[(2, 5, True)] * 4], 3),
        ([*[(1, n, True) for n in range(2)], *[(1, 7, True)] * 6], 2),
        ([(1, 1, True)] * 3, 0),
    ],
    ids=["a stranger", "the greater user", "not a console's", "the greater process", "the quiet"],
)
def test_whose_place_a_newcomer_gets(
    engine: ScriptedEngine, clients: list[tuple[int, int, bool]], victim: int
) -> None:
    """A stranger's before a user's, the user's with the most, its greatest process's, the
    quietest's: who opens many connections loses its own, never another user's only one."""
    sessions: dict[Any, float] = {Present(*client): n for n, client in enumerate(clients)}
    engine.server._sessions, kept = sessions, engine.server._sessions
    found = engine.server._in_the_way()
    engine.server._sessions = kept
    assert list(sessions).index(found) == victim
