"""Whose engine a client talks to, and whose clients reach an engine: by owner, role and path."""

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.control.client import ControlClient, new_command
from engine.control.paths import prepare_run_dir
from engine.files.places import private_temporary
from engine.model.errors import ConfigError, ControlError, Refused
from engine.settings.access import roles_by_uid
from engine.settings.settings import load_settings
from tests.conftest import REPO
from tests.control.control_engine import ScriptedEngine
from tests.store.servers import NOBODY, as_user, system_python

STRANGER = 54_321
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
# Listens as a stranger, and tells how many bytes it was sent.
LISTENER = """
import os, socket, sys
os.setgroups([]); os.setgid({uid}); os.setuid({uid})
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
os.chmod(sys.argv[1], 0o666)
print("ready", flush=True)
sock, _ = server.accept()
sock.settimeout(10)
print(len(sock.recv(1000)), flush=True)
"""


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short directory that everybody may pass."""
    path = Path(tempfile.mkdtemp(prefix="pm", dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def listen(path: Path, uid: int) -> "subprocess.Popen[str]":
    child = subprocess.Popen(
        [sys.executable, "-c", LISTENER.format(uid=uid), path], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


@needs_root
def test_a_stranger_behind_the_socket_is_sent_nothing(place: Path) -> None:
    """Neither a greeting nor a token, whoever made the directory; its owner's engine is welcome."""
    place.chmod(0o1777)
    path = place / "e.sock"
    child = listen(path, STRANGER)
    client = ControlClient(path)
    with pytest.raises(Refused, match=f"is served by uid {STRANGER}, .* nothing was sent"):
        client.send(new_command("halt", now_ns=lambda: 0), token="secret")
    assert child.stdout is not None
    assert child.stdout.readline() == "0\n"
    child.stdout.close()
    assert child.wait(10) == 0


@needs_root
def test_an_engine_of_the_owner_that_is_named_is_talked_to(place: Path) -> None:
    """Root reaches the engine of the user whose state it was told of."""
    place.chmod(0o1777)
    child = listen(place / "e.sock", STRANGER)
    with pytest.raises(ControlError):  # it hangs up
        ControlClient(place / "e.sock", owners={STRANGER}, timeout_s=0.5).connect()
    assert child.stdout is not None
    assert int(child.stdout.readline()) > 0
    child.stdout.close()
    assert child.wait(10) == 0


@needs_root
def test_a_strangers_link_leads_no_client_to_another_engine(place: Path) -> None:
    """A link in place of the run directory could show a console the wrong one of one's engines."""
    engine = ScriptedEngine(place / "run" / "e.sock")
    engine.server.start()
    place.chmod(0o1777)
    link = place / "link"
    link.symlink_to(place / "run")
    try:
        with ControlClient(link / "e.sock") as client:
            assert client.connect().mode == "demo"  # one's own link may
        os.chown(link, STRANGER, STRANGER, follow_symlinks=False)
        with pytest.raises(Refused, match=f"nothing was sent: {link} .* uid {STRANGER}"):
            ControlClient(link / "e.sock").connect()
    finally:
        engine.server.close()


def test_without_roles_for_others_nobody_else_can_even_knock(place: Path) -> None:
    """The directory and the socket are the engine's user's."""
    engine = ScriptedEngine(place / "run" / "e.sock")
    engine.server.start()
    try:
        assert (place / "run").stat().st_mode & 0o777 == 0o700
        assert engine.path.stat().st_mode & 0o777 == 0o600
    finally:
        engine.server.close()


@needs_root
@pytest.mark.parametrize(
    ("run_dir", "role"), [("run", "operator"), ("", "operator"), ("", "viewer")]
)
def test_operators_of_the_configuration_reach_the_engine(
    place: Path, monkeypatch: pytest.MonkeyPatch, run_dir: str, role: str
) -> None:
    """A second user with the same file halts the engine, with no group and no mode set by hand;
    whoever is not named is refused by name."""
    config = place / "config.toml"
    name = pwd.getpwuid(NOBODY).pw_name
    text = f'state_dir = "{place}/state"\n'
    text += f'run_dir = "{place}/{run_dir}"\n' if run_dir else ""
    config.write_text(f'{text}[control]\n{role}s = "{name}"\n', encoding="utf-8")
    settings = load_settings(config)
    settings.state_path.mkdir(mode=0o700, parents=True)
    engine = ScriptedEngine(settings.socket_path)
    engine.server = engine.new_server(roles=roles_by_uid(settings))
    engine.server.start()
    monkeypatch.setattr("engine.control.session.age_refusal", lambda command, now_ns: None)

    def halt(uid: int) -> "subprocess.CompletedProcess[str]":
        user = as_user(REPO, uid)
        user["env"]["PYTHONPATH"] += f":{REPO}"
        words = ["-P", "-m", "pmpro_tui.cli.main", "halt", "--config", config]
        return subprocess.run(
            [system_python(), *words], **user, capture_output=True, text=True, check=False
        )

    try:
        done = halt(NOBODY)
        if "No module named" in done.stderr:
            pytest.skip("another user has no Python for these packages")
        if role == "operator":
            assert (done.returncode, done.stderr) == (0, "")
            assert [(c.name, a.uid, a.role) for c, a in engine.executed] == [
                ("halt", NOBODY, "operator")
            ]
        else:
            assert done.returncode == 3
            assert "needs role operator" in done.stderr
        stranger = halt(STRANGER)
        assert stranger.returncode == 3
        assert f"uid {STRANGER}) has no role" in stranger.stderr
        assert len(engine.executed) == (role == "operator")
    finally:
        engine.server.close()


@needs_root
def test_a_socket_that_an_operator_cannot_reach_stops_the_start(place: Path) -> None:
    """The line names the option, the login and the directory that bars the way."""
    (place / "closed").mkdir(mode=0o700)
    name = pwd.getpwuid(NOBODY).pw_name
    overrides = {"run_dir": place / "closed" / "run", "control.operators": name}
    prepare_run_dir(place / "closed" / "run", shared=True)
    with pytest.raises(ConfigError, match=f"{name} may not pass {place}/closed .* set run_dir"):
        roles_by_uid(load_settings(mode="demo", overrides=overrides))


@needs_root
def test_every_user_looks_for_the_engine_in_the_same_place(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root finds another user's engine by its state, wherever each one's temporary files are."""
    deep = place / ("d" * 90)
    state = deep / "demo"
    state.mkdir(parents=True)
    os.chown(deep, STRANGER, STRANGER)
    os.chown(state, STRANGER, STRANGER)
    overrides = {"state_dir": deep}
    settings = load_settings(mode="demo", overrides=overrides)
    monkeypatch.setenv("TMPDIR", str(place))
    assert settings.run_path == private_temporary(STRANGER)
    assert settings.owners == {STRANGER}
    place.chmod(0o1777)  # now anybody could have made it
    assert settings.owners == frozenset()


def test_a_socket_of_a_living_program_stays(place: Path) -> None:
    """Also one whose queue is full, so that nobody can tell whether it lives."""
    engine = ScriptedEngine(place / "run" / "e.sock")
    prepare_run_dir(place / "run")
    busy = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    busy.bind(str(engine.path))
    busy.listen(0)
    waiting = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(3)]
    for one in waiting:
        one.setblocking(False)
        one.connect_ex(str(engine.path))
    done = threading.Event()
    with pytest.raises(Exception, match=r"another engine listens|cannot tell whether another"):
        engine.server.start()
    done.set()
    assert engine.path.is_socket()
    for one in (*waiting, busy):
        one.close()


@needs_root
def test_a_state_in_a_directory_of_its_owners_alone_is_found(place: Path) -> None:
    """Whoever may not look inside still knows whose engine it is, and where its socket lies."""
    state = place / "state"
    (state / "demo").mkdir(parents=True)
    os.chown(state, STRANGER, STRANGER)
    script = (
        "from engine.settings.settings import load_settings as load; s = load(mode='demo'); "
        "print(s.owner_uid, s.run_path)"
    )
    user = as_user(REPO, NOBODY, {"PMPRO_STATE_DIR": str(state), "PMPRO_CONTROL__VIEWERS": "bin"})
    user["env"]["PYTHONPATH"] += f":{REPO}"
    state.chmod(0o700)
    done = subprocess.run(
        [system_python(), "-P", "-c", script], **user, capture_output=True, text=True, check=False
    )
    if "No module named" in done.stderr:
        pytest.skip("another user has no Python for these packages")
    assert done.stdout.split() == [str(STRANGER), str(private_temporary(STRANGER))]
