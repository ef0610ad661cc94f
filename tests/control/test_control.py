"""Server and client over a real Unix socket."""

import contextlib
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from engine.control import server as server_module
from engine.control import session as session_module
from engine.control.client import ControlClient, new_command
from engine.control.frames import send_frame
from engine.control.messages import Poll
from engine.control.paths import socket_path
from engine.model.errors import ControlError, StateError, UserError
from engine.model.times import NS_PER_S
from engine.model.views.snapshot import Command
from tests.control.control_engine import START_NS, ScriptedEngine, make_snapshot


def command(name: str = "kill", **changes: object) -> Command:
    fields: dict[str, object] = {"id": "c1", "name": name, "target": "eur", "sent_ns": START_NS}
    return Command(**(fields | changes))  # type: ignore[arg-type]


def wait_for(condition: Callable[[], bool], deadline_s: float = 10.0) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "deadline"
        time.sleep(0.005)


def test_a_snapshot_travels_once(engine: ScriptedEngine) -> None:
    """A client gets a version whole the first time and None while it stays the newest."""
    client = engine.client()
    first = client.snapshot()
    assert first == engine.current
    assert client.snapshot(first.version, events_after=1) is None


def test_only_newer_events_travel(engine: ScriptedEngine) -> None:
    """A client that saw event n gets the events after n."""
    client = engine.client()
    client.snapshot()
    engine.current = make_snapshot(5)
    news = client.snapshot(1, events_after=3)
    assert news is not None
    assert [event.seq for event in news.events] == [4, 5]


def test_a_restarted_engine_is_seen_whole(engine: ScriptedEngine) -> None:
    """Version and event numbers of an engine's former life mean nothing to the next one."""
    client = engine.client()
    assert client.snapshot() is not None
    engine.server.close()
    engine.server = engine.new_server()
    engine.server.start()
    with pytest.raises(ControlError):
        client.snapshot(1, events_after=1)
    again = client.snapshot(1, events_after=1)
    assert again is not None
    assert [event.seq for event in again.events] == [1]


def test_a_resend_runs_once(engine: ScriptedEngine) -> None:
    """The same command id from the same client is executed once, over any connection."""
    first = engine.client(client="desk").send(command())
    second = engine.client(client="desk").send(command())
    assert first == second
    assert first.ok
    assert len(engine.executed) == 1
    assert engine.client(client="other").send(command()).ok
    assert len(engine.executed) == 2


def test_a_resend_during_execution_waits_for_the_first(engine: ScriptedEngine) -> None:
    """A command that is still running is not started again; both senders get its reply."""
    engine.gate.clear()
    replies = []
    clients = [engine.client(client="desk", timeout_s=20) for _ in range(2)]
    threads = [
        threading.Thread(target=lambda c=c: replies.append(c.send(command()))) for c in clients
    ]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(engine.executed) == 1)
    engine.gate.set()
    for thread in threads:
        thread.join(20)
    assert len(engine.executed) == 1
    assert len(replies) == 2
    assert replies[0] == replies[1]


def test_a_result_is_kept_for_ten_minutes(engine: ScriptedEngine) -> None:
    """A resend within ten minutes finds its result although the command has become stale."""
    sent = command("enable")
    client = engine.client()
    first = client.send(sent)
    engine.now_ns += 599 * NS_PER_S
    assert client.send(sent) == first
    engine.now_ns += 2 * NS_PER_S
    assert not client.send(sent).ok
    assert len(engine.executed) == 1


def test_an_id_never_stands_for_two_commands(engine: ScriptedEngine) -> None:
    """A used id with another content is refused, not answered with the old result."""
    client = engine.client()
    assert client.send(command()).ok
    assert not client.send(command(target="gbp")).ok
    assert len(engine.executed) == 1


@pytest.mark.parametrize("name", ["enable", "disable", "resume", "speed", "stop"])
def test_a_stale_command_is_refused(engine: ScriptedEngine, name: str) -> None:
    """What was meant more than 5 s ago is not done now, and the refusal is reported."""
    reply = engine.client().send(command(name, sent_ns=START_NS - 6 * NS_PER_S))
    assert not reply.ok
    assert "old" in reply.text
    assert not engine.executed
    assert [refused.name for refused, _, _ in engine.refusals] == [name]


@pytest.mark.parametrize("name", ["kill", "halt", "flatten"])
def test_what_only_reduces_risk_never_expires(engine: ScriptedEngine, name: str) -> None:
    """Kill, halt and flatten are goals: obeyed however late they arrive."""
    assert engine.client().send(command(name, sent_ns=START_NS - 3600 * NS_PER_S)).ok


def test_a_viewer_may_look_only(engine: ScriptedEngine) -> None:
    """A lowered role sees snapshots; its commands are refused and reported."""
    client = engine.client(role="viewer")
    assert client.snapshot() is not None
    assert not client.send(command()).ok
    assert not engine.executed
    assert engine.refusals[0][1].role == "viewer"


def test_an_operator_does_not_resume(engine: ScriptedEngine) -> None:
    """Resuming after a halt needs an admin; killing needs an operator."""
    client = engine.client(role="operator")
    assert client.send(command()).ok
    assert not client.send(command("resume", id="c2")).ok


def test_actor_is_the_kernels_word(engine: ScriptedEngine) -> None:
    """Uid and pid of a command's sender come from the socket, not from the sender."""
    engine.client().send(command())
    actor = engine.executed[0][1]
    assert (actor.uid, actor.pid, actor.role) == (os.geteuid(), os.getpid(), "admin")


def test_other_modes_and_accounts_are_refused(engine: ScriptedEngine) -> None:
    """A console of one mode or account never shows another's engine."""
    with pytest.raises(UserError, match="runs demo, not live"):
        engine.client(mode="live").connect()
    with pytest.raises(UserError, match="account 1001, not 7"):
        engine.client(mode="demo", account=7).connect()
    engine.client(mode="demo", account=1001).connect()


def test_another_protocol_parts_with_a_reason(
    engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Console and engine of different versions say so instead of guessing."""
    monkeypatch.setattr(session_module, "PROTOCOL_VERSION", 99)
    with pytest.raises(ControlError, match="protocol 99"):
        engine.client().connect()


STRANGER = """
import os, sys
from pathlib import Path
from engine.control.client import ControlClient
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    ControlClient(Path(sys.argv[1])).connect()
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_a_stranger_is_refused(engine: ScriptedEngine, run_dir: Path) -> None:
    """A user without a role is told so, even where file modes let it connect."""
    run_dir.chmod(0o755)
    engine.path.parent.chmod(0o755)
    engine.path.chmod(0o666)
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, str(engine.path)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout.startswith("Refused"), done
    assert "no role" in done.stdout


def test_socket_is_private(engine: ScriptedEngine) -> None:
    """Nobody but its owner reaches the socket."""
    assert stat.S_IMODE(engine.path.stat().st_mode) & 0o077 == 0
    assert stat.S_IMODE(engine.path.parent.stat().st_mode) == 0o700


def test_a_dead_engines_socket_is_taken_over(run_dir: Path) -> None:
    """A socket file nobody listens on does not keep the next engine from starting."""
    path = run_dir / "e.sock"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    engine = ScriptedEngine(path)
    engine.server.start()
    with ControlClient(path) as client:
        assert client.snapshot() is not None
    engine.server.close()
    assert not path.exists()


def test_a_living_engines_socket_is_not_taken(engine: ScriptedEngine) -> None:
    """A second engine on the same socket refuses to start and leaves the first one alone."""
    with pytest.raises(StateError, match="another engine"):
        engine.new_server().start()
    assert engine.client().snapshot() is not None


def test_a_file_in_the_way_is_kept(run_dir: Path) -> None:
    """The server never removes what is not a socket."""
    path = run_dir / "e.sock"
    path.write_text("precious")
    with pytest.raises(StateError, match="in the way"):
        ScriptedEngine(path).server.start()
    assert path.read_text() == "precious"


def test_no_engine_is_one_line(run_dir: Path) -> None:
    """Without an engine a client says so in one line."""
    with pytest.raises(ControlError, match=r"^no engine is running \(.*\)$"):
        ControlClient(run_dir / "none.sock").snapshot()


@pytest.mark.parametrize(
    "garbage",
    [b"\xff" * 400, b"\x00\x00\x00\x05hello", b"\x7f\xff\xff\xff", b"\x00\x00\x00\x00"],
    ids=["noise", "no msgpack", "huge", "empty"],
)
def test_garbage_ends_only_its_own_connection(engine: ScriptedEngine, garbage: bytes) -> None:
    """A client that speaks nonsense is dropped; the others do not notice."""
    other = engine.client()
    assert other.snapshot() is not None
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(engine.path))
        sock.sendall(garbage)
        sock.settimeout(10)
        with contextlib.suppress(ConnectionResetError):
            while sock.recv(4096):
                pass
    engine.current = make_snapshot(2)
    assert other.snapshot(1) is not None


def test_a_client_that_does_not_read_blocks_nobody(engine: ScriptedEngine) -> None:
    """While one client leaves its answers unread, others are served without waiting for it."""
    engine.current = make_snapshot(
        server="x" * 4_000_000  # far more than a socket buffers
    )
    slow = engine.client()
    slow.connect()
    assert slow._sock is not None
    send_frame(slow._sock, msgspec.msgpack.encode(Poll(since=0)), timeout_s=1.0)
    fast = engine.client()
    started = time.monotonic()
    assert fast.send(command()).ok
    assert time.monotonic() - started < 1.0


def test_a_full_house_lets_a_kill_in(
    engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When all places are taken, the quietest client loses its place, never the newcomer."""
    monkeypatch.setattr(server_module, "CLIENTS_MAX", 3)
    idle = [engine.client() for _ in range(3)]
    for client in idle:
        client.connect()
    assert engine.client().send(command()).ok
    with pytest.raises(ControlError):
        idle[0].snapshot()
    assert idle[2].snapshot() is not None


def test_a_failing_command_answers(engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error inside the engine reaches the operator as text and ends no connection."""
    monkeypatch.setattr(engine, "executed", None)
    client = engine.client()
    reply = client.send(command())
    assert not reply.ok
    assert "AttributeError" in reply.text
    assert client.snapshot() is not None


def test_socket_path_is_short_and_own(tmp_path: Path) -> None:
    """Each state directory has its own short socket name; a path too long is named."""
    one, two = (socket_path(Path("/run/pmpro"), tmp_path / n) for n in ("one", "two"))
    assert one != two
    assert len(os.fsencode(one)) < 40
    with pytest.raises(StateError, match="107"):
        socket_path(Path("/" + "x" * 100), tmp_path)


def test_new_commands_never_share_an_id() -> None:
    """Each key press is a command of its own."""
    ids = {new_command("kill", "eur", now_ns=lambda: START_NS).id for _ in range(100)}
    assert len(ids) == 100
