"""Who may do what: every role with every command, and the personal tokens of a shared login."""

import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from engine.child.confinement import available
from engine.control.client import new_command
from engine.control.messages import ASKS_WHO, ROLES, Role
from engine.model.errors import Unanswered
from engine.model.views.commands import CommandName
from engine.model.views.details import Correlations, Rules, RulesOf
from engine.model.views.snapshot import Reply
from tests.control.control_engine import ScriptedEngine

COMMANDS: tuple[CommandName, ...] = get_args(CommandName)
# Written down here a second time, so that no change of the code alone widens what a role may do.
OPERATORS = {
    "kill",
    "enable",
    "disable",
    "halt",
    "flatten",
    "speed",
    "remove",
    "allocate",
    "ack",
    "close",
    "backtest",
    "cancel",
}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_role_has_its_commands_and_no_other(
    engine: ScriptedEngine, role: Role, name: CommandName
) -> None:
    """A command runs for the roles it is meant for; every other one is refused and reported."""
    allowed = role == "admin" or (role == "operator" and name in OPERATORS)
    client = engine.client(role=role)
    reply = client.send(new_command(name, "eur", now_ns=lambda: engine.now_ns))
    assert reply.ok is allowed
    assert [c.name for c, _ in engine.executed] == [name] * allowed
    assert [(c.name, a.role) for c, a, _ in engine.refusals] == [(name, role)] * (not allowed)
    assert engine.server.view().refused == ({} if allowed else {"role": 1})


@pytest.mark.parametrize("role", ROLES)
def test_every_role_may_ask(engine: ScriptedEngine, role: Role) -> None:
    """Details are for looking: a viewer gets them; what cannot be told is said in words."""
    client = engine.client(role=role)
    assert isinstance(client.ask(RulesOf()), Rules)
    with pytest.raises(Unanswered, match="no samples"):
        client.ask(Correlations())
    assert client.snapshot() is not None


def with_tokens(engine: ScriptedEngine, people: dict[str, str]) -> None:
    """Serve with personal tokens from now on."""
    engine.server.close()
    engine.person = people.get
    engine.server = engine.new_server()
    engine.server.start()


@pytest.mark.parametrize("name", COMMANDS)
def test_an_admin_s_command_asks_for_a_personal_token(
    engine: ScriptedEngine, name: CommandName
) -> None:
    """On a shared login what adds risk needs a person; who it was stands beside the login."""
    with_tokens(engine, {"secret": "alice"})
    client = engine.client()
    assert client.connect().wants_token
    for token, person in (("", ""), ("wrong", ""), ("secret", "alice")):
        command = new_command(name, "eur", now_ns=lambda: engine.now_ns)
        asks = name not in OPERATORS
        reply = client.send(command, token=token)
        assert reply.ok is (not asks or person == "alice")
        assert "secret" not in reply.text
        if reply.ok:
            assert engine.executed[-1][1].person == person
    assert "secret" not in repr((engine.executed, engine.refusals))


def test_some_commands_need_a_person_only_now_and_then(engine: ScriptedEngine) -> None:
    """What the engine knows to be a named person's is refused without one, in the same words."""
    engine.server.close()
    engine.person = {"secret": "alice"}.get
    engine.server = engine.new_server(needs_person=lambda command: command.target == "barred")
    engine.server.start()
    client = engine.client()

    def enable(target: str, token: str = "") -> Reply:
        command = new_command("enable", target, now_ns=lambda: engine.now_ns)
        return client.send(command, token=token)

    assert enable("free").ok
    refused = enable("barred")
    assert (refused.ok, ASKS_WHO in refused.text) == (False, True)
    assert not enable("barred", "wrong").ok
    assert enable("barred", "secret").ok
    assert engine.executed[-1][1].person == "alice"


def test_without_tokens_nobody_is_asked_who_they_are(engine: ScriptedEngine) -> None:
    """A desk without personal tokens has nothing to ask for."""
    engine.server.close()
    engine.server = engine.new_server(needs_person=lambda command: True)
    engine.server.start()
    assert engine.client().send(new_command("enable", "x", now_ns=lambda: engine.now_ns)).ok


CHILD = """
import sys
from pathlib import Path
from engine.control.client import ControlClient
from engine.model.errors import PmproError
try:
    with ControlClient(Path(sys.argv[1])) as client:
        print(client.connect().role)
except PmproError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("how", ["itself", "child", "orphan", "none"])
def test_what_the_engine_started_has_no_role(run_dir: Path, how: str) -> None:
    """Neither a child of the engine's, nor a child of that, nor an orphan in its session.

    The same uid is admin, this process is the engine's own, and any other process is let in.
    """
    engine = ScriptedEngine(run_dir / "run" / "e.sock")
    children: set[int] = set()
    engine.server = engine.new_server(children=lambda: children)
    engine.server.start()
    python = [sys.executable, "-c", CHILD, str(engine.path)]
    wait = "read line; "
    shell = {
        "itself": f'{wait} exec "$@"',
        "child": f'{wait} "$@"; true',
        "orphan": f'{wait} ( ( sleep 0.2; "$@"; ) & ); sleep 3',
        "none": f'{wait} "$@"',
    }[how]
    process = subprocess.Popen(
        ["sh", "-c", shell, "sh", *python],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    if how != "none":
        children.add(process.pid)
    said, _ = process.communicate("go\n", timeout=60)
    with engine.client() as client:
        assert client.connect().role == "admin"
    refused = engine.server.view().refused
    engine.server.close()
    if how == "none":
        assert (said.strip(), refused) == ("admin", {})
    else:
        assert "was started by this engine: it has no role on it" in said
        assert refused == {"child": 1}


ESCAPED = """
import os, socket, subprocess, sys
from pathlib import Path
from engine.child.confinement import confine
how, path = sys.argv[1:3]
if how == "bounded":
    confine([Path("/tmp")], [], sockets=True)
    if os.fork():
        os._exit(0)  # its child has init for its parent
    os.setsid()
    if os.fork():
        os._exit(0)
    os.execv(sys.executable, [sys.executable, "-c", sys.argv[3], path])
from engine.control.frames import receive_frame, send_frame
from engine.control.messages import Answer, Hello
from engine.model.views.snapshot import PROTOCOL_VERSION
import msgspec
sock = socket.socket(socket.AF_UNIX)
sock.connect(path)
before = os.getpid()
if os.fork():
    os._exit(0)
os.setsid()
while Path(f"/proc/{before}").exists() and " Z " not in Path(f"/proc/{before}/stat").read_text():
    pass
send_frame(sock, msgspec.msgpack.encode(Hello(protocol=PROTOCOL_VERSION, client="x")), timeout_s=9)
frame = receive_frame(sock, limit_bytes=99999, idle_s=9, frame_s=9)
print(msgspec.msgpack.decode(frame, type=Answer))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="bounds are Linux's")
@pytest.mark.parametrize(
    ("how", "why"), [("bounded", "has the bounds that"), ("handed on", "connected to this engine")]
)
def test_what_has_left_the_engine_s_family_has_no_role_either(
    run_dir: Path, how: str, why: str
) -> None:
    """Forked twice into a session of its own, it keeps its bounds; and who connects, forks and
    ends has handed its place to nobody."""
    if how == "bounded" and not available().seccomp:
        pytest.skip("this kernel has no seccomp")
    engine = ScriptedEngine(run_dir / "run" / "e.sock")
    engine.server = engine.new_server(children=set)
    engine.server.start()
    done = subprocess.run(
        [sys.executable, "-c", ESCAPED, how, str(engine.path), CHILD],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    refused = engine.server.view().refused
    engine.server.close()
    assert why in done.stdout, done
    assert "it has no role on it" in done.stdout
    assert refused == {"child": 1}


OTHER_USER = """
import os, sys, time
from pathlib import Path
from engine.control.client import ControlClient, new_command
os.setgroups([]); os.setgid(65534); os.setuid(65534)
with ControlClient(Path(sys.argv[1])) as client:
    seen = client.snapshot()
    reply = client.send(new_command("kill", "eur", now_ns=lambda: int(sys.argv[2])))
    print(client.connect().role, seen.account, reply.text)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_another_login_has_the_role_it_is_given_and_no_more(run_dir: Path) -> None:
    """A viewer by configuration sees everything; its kill is refused, reported with its uid."""
    engine = ScriptedEngine(run_dir / "run" / "e.sock")
    engine.server = engine.new_server(roles={65534: "viewer"})
    engine.server.start()
    run_dir.chmod(0o755)
    engine.path.parent.chmod(0o755)
    engine.path.chmod(0o666)
    done = subprocess.run(
        [sys.executable, "-c", OTHER_USER, str(engine.path), str(engine.now_ns)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    engine.server.close()
    assert done.stdout.startswith("viewer 1001 kill needs role operator"), done
    assert [(a.uid, a.role) for _, a, _ in engine.refusals] == [(65534, "viewer")]
