"""What a strategy's code may do in its host: compute and read, and write to its scratch alone."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.child.confinement import available
from engine.child.environment import ALLOWED, ALLOWED_BEGINNINGS, plain_environment
from engine.child.parent import Child, ChildFailed
from engine.hosts.pool import StrategyHosts
from engine.model.portfolio import StrategySpec
from engine.model.symbols import DEFAULT_SYMBOLS
from engine.model.times import NS_PER_MINUTE
from pmpro_tui.checking.client import Checkers
from pmpro_tui.checking.records import BarsWanted, Job, Subject
from tests.hosts.test_pool import CLOCK, POINTS, START, begin, market, run
from tests.strategies.series import utc

SECRETS = {
    "PMPRO_TERMINAL__PASSWORD": "hunter2",
    "PMPRO_DATABASE__URL": "postgresql://u:p@h/d",
    "PMPRO_ALERTS__URLS": "tg = tgram://t/1",
    "PMPRO_TERMINAL__TOKEN": "t",
    "AWS_SECRET_ACCESS_KEY": "k",
    "PGPASSWORD": "p",
    "SSH_AUTH_SOCK": "/tmp/agent",
}
DENIED = "PermissionError"
OWN_FILES = ("/statm", "/strategy-hosts.log", "/strategy-host-1.progress")


@pytest.fixture
def found(tmp_path, monkeypatch):
    """Return what a strategy notes in a host, with this process as its engine."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    own = tmp_path / "own"
    own.mkdir()
    file = own / "curious.py"
    shutil.copy(Path(__file__).with_name("curious.py"), file)
    (own / "beside.txt").write_text("mine")
    (own / "secret").mkdir()
    (own / "secret" / "token").write_text("secret")
    spec = StrategySpec(name="a", kind="curious", symbol="EURUSD", params={"pid": os.getpid()})
    (tmp_path / "logs").mkdir()
    hosts = StrategyHosts(
        [spec],
        POINTS,
        CLOCK,
        n_spares=0,
        deadline_s=10.0,
        log_dir=tmp_path / "logs",
        files=[file],
        hidden=[own / "secret"],
    )
    try:
        assert begin(hosts, market()) == {}
        (evaluation,) = run(hosts, market(), [START + NS_PER_MINUTE])
        assert list(evaluation.signals) == ["a"], evaluation.faults
        (note,) = (tmp_path / "logs").glob("strategy-host-*.scratch/found.json")
        yield json.loads(note.read_text())
        hosts.close()
        assert list((tmp_path / "logs").glob("*.scratch")) == []
    finally:
        hosts.close()


@pytest.mark.skipif(sys.platform != "linux", reason="bounds are Linux's")
def test_a_strategys_code_is_bounded(found):
    """No secret in its environment, no descriptor but its own, no core dump, no rights to gain.

    With Landlock it reads its files and TA-Lib, keeps its kernels, writes to its scratch alone,
    reads no hidden place and reaches no other process; with seccomp it opens no socket.
    """
    names = set(found["environment"])
    assert not names & set(SECRETS)
    assert {n for n in names if n not in ALLOWED and not n.startswith(ALLOWED_BEGINNINGS)} <= {
        "TMPDIR",
        "KMP_INIT_AT_FORK",  # set by a library in the process itself
        "KMP_DUPLICATE_LIB_OK",
    }
    for target in found["descriptors"]:
        sort = target.partition(":")[0]
        assert sort in ("pipe", "/dev/null") or target.endswith(OWN_FILES)
    assert found["core"] == [0, 0]
    assert found["dumpable"] == 0
    here = available()
    assert found["status"] == ["1", "2" if here.seccomp else "0"]
    assert (found["beside"], found["scratch"]) == ("mine", 1)
    if here.landlock:
        refused = ("beside written", "own code", "anywhere", "removed", "moved", "kernels")
        assert {name: found[name] for name in refused} == dict.fromkeys(refused, DENIED)
        refused = ("secret", "secrets", "engine's environment", "engine's memory")
        assert {name: found[name] for name in refused} == dict.fromkeys(refused, DENIED)
        assert found["child"] == "no\n"
    if here.landlock >= 6:
        assert found["signal"] == DENIED
    if here.seccomp:
        refused = ("unix", "tcp", "mode")
        assert {name: found[name] for name in refused} == dict.fromkeys(refused, DENIED)


def test_a_checkers_child_is_bounded_as_a_host_is(tmp_path, monkeypatch):
    """`pmpro strategy check` runs the same code: no secrets, no writing, no hidden places."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "own" / "secret").mkdir(parents=True)
    (tmp_path / "own" / "secret" / "token").write_text("secret")
    (tmp_path / "own" / "beside.txt").write_text("mine")
    file = tmp_path / "own" / "curious.py"
    shutil.copy(Path(__file__).with_name("curious.py"), file)
    job = Job(
        subject=Subject(kind="curious", params={"pid": os.getpid()}),
        files=[str(file)],
        wanted=BarsWanted(from_ns=utc("2026-02-23 00:00"), to_ns=utc("2026-02-24 00:00")),
        specs=DEFAULT_SYMBOLS,
        spend_s=0.0,
    )
    pair = Checkers(
        tmp_path, deadline_s=100.0, memory_max_mb=0, hidden=[tmp_path / "own" / "secret"]
    )
    try:
        pair.check(job)
        found = json.loads((tmp_path / "scratch" / "found.json").read_text())
    finally:
        pair.close()
    assert not set(found["environment"]) & set(SECRETS)
    assert found["status"] == ["1", "2" if available().seccomp else "0"]
    if available().landlock:
        assert (found["beside"], found["secret"], found["anywhere"]) == ("mine", DENIED, DENIED)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="reads another's /proc")
@pytest.mark.parametrize("module", ["pmpro_tui.jobs.backtest", "pmpro_tui.jobs.parity"])
def test_jobs_get_no_secrets_either(module, tmp_path, monkeypatch):
    """A launched backtest and a day's comparison run strategies' code, bounded but for sockets."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    child = Child(module, [str(tmp_path)], name="job", log_path=tmp_path / "log", others=True)
    try:
        with pytest.raises(ChildFailed):
            child.call(b"no request", timeout_s=60.0)
        proc = Path(f"/proc/{child.pid}")
        names = {
            pair.partition(b"=")[0].decode()
            for pair in (proc / "environ").read_bytes().split(b"\0")
        }
        status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines())
    finally:
        child.close()
    assert not names & set(SECRETS)
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == ("2" if available().seccomp else "0")


def test_the_environment_is_allowed_by_name():
    """What is not named is not there: secrets have any name."""
    given = {"PATH": "/bin", "LC_ALL": "C", "NUMBA_NUM_THREADS": "1", "HOME": "/root"}
    assert plain_environment({**given, **SECRETS, "PMPRO_STATE_DIR": "/x"}) == given
    assert plain_environment({"PMPRO_CACHE_DIR": "/c"}) == {"PMPRO_CACHE_DIR": "/c"}


CONFINE = """
import os, sys
from pathlib import Path
from engine.child.confinement import confine
root = Path(sys.argv[1])
hidden = root / "a" / "hidden"
bounds = confine([root / "mine"], [hidden, root / "x"], readable=[hidden / "open"], sockets=True)
def may(what):
    try:
        what()
        return 1
    except OSError:
        return 0
import socket
print(
    bounds.landlock,
    may(lambda: (root / "a" / "b").read_text()),
    may(lambda: (root / "a" / "hidden" / "s").read_text()),
    may(lambda: (root / "link" / "s").read_text()),
    may(lambda: (root / "a" / "hidden" / "open").read_text()),
    may(lambda: (root / "mine" / "x").write_text("x")),
    may(lambda: (root / "a" / "x").write_text("x")),
    may(lambda: socket.socket(socket.AF_UNIX)),
    may(lambda: __import__("this_is_beside")),
)
"""


@pytest.mark.skipif(not available().landlock, reason="this kernel has no Landlock")
def test_bounds_hold_around_hidden_places(tmp_path):
    """Neighbours of a hidden place are readable, links to it are not, exceptions are."""
    (tmp_path / "a" / "hidden").mkdir(parents=True)
    (tmp_path / "mine").mkdir()
    for name in ("a/b", "a/hidden/s", "a/hidden/open"):
        (tmp_path / name).write_text("x")
    (tmp_path / "this_is_beside.py").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "a" / "hidden")
    done = subprocess.run(
        [sys.executable, "-c", CONFINE, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]),
        },
    )
    assert done.stdout.split()[1:] == ["1", "0", "0", "1", "1", "0", "1", "1"]
