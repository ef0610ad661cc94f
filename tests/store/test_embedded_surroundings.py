"""The embedded server lives through odd paths, users and environments, and never meets itself."""

import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.files.places import private_temporary
from engine.model.errors import StoreError
from engine.runtime.database import DatabaseKeeper
from engine.store import embedded, processes
from engine.store.cluster import Cluster
from engine.store.embedded import EmbeddedServer
from engine.store.processes import server_processes
from engine.store.reasons import reason
from tests.store.conftest import FAST
from tests.store.servers import (
    NAMELESS,
    NOBODY,
    as_user,
    data_of,
    end_child,
    postmasters,
    scalar,
    start_child,
    started,
    system_python,
)

Make = Callable[[str], EmbeddedServer]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")


@pytest.fixture
def server(make_server: Make) -> Iterator[EmbeddedServer]:
    """A stopped server; all tests here take turns with one cluster, since making one is slow."""
    server = make_server("around")
    yield server
    assert server.stop()


@pytest.fixture(scope="module")
def made(place: Path, program: Path) -> Iterator[Path]:
    """A stopped cluster of an ordinary user's; where it lies may be renamed."""
    home = place / "made"
    home.mkdir(mode=0o700)
    os.chown(home, NOBODY, NOBODY)
    child = started(
        [system_python()], [home / "db", home / "run", place / "never"], **as_user(program, NOBODY)
    )
    end_child(child)
    yield home
    shutil.rmtree(private_temporary(NOBODY), ignore_errors=True)


def linked(server: EmbeddedServer, link: Path, target: Path) -> EmbeddedServer:
    """Return the same server by a path that leads through a symbolic link."""
    link.symlink_to(target)

    def through(path: Path) -> Path:
        return link / path.relative_to(target)

    return EmbeddedServer(
        through(server._dir),
        through(server._run_dir),
        base_dir=through(server._base),
        start_s=60.0,
        settings=FAST,
    )


def test_a_link_on_the_way_hides_no_server(
    server: EmbeddedServer, place: Path, tmp_path: Path
) -> None:
    """By whichever name a server was started, the other name finds it, stops it, and takes it over
    after kill -9 of its engine; its pid file is its own until it has ended."""
    link = Path(f"{place}-link")
    other = linked(server, link, place)
    try:
        urls = other.start()
        assert scalar(urls.operator, "SELECT 1") == 1
        assert postmasters(data_of(server)) == postmasters(data_of(other)) != []
        assert other.stop()
        assert not server_processes(data_of(server))

        child = start_child(other)
        (first,) = postmasters(data_of(server))
        assert (data_of(server) / "postmaster.pid").read_text().split()[0] == str(first)
        child.kill()
        end_child(child)
        server.start()
        (second,) = postmasters(data_of(server))
        assert second != first
        assert "lock file" not in log_of(server)
        assert server.stop()
        assert not server_processes(data_of(other))
    finally:
        other.stop()
        link.unlink()


def log_of(server: EmbeddedServer) -> str:
    logs = (data_of(server).parent / "log").glob("*")
    return "".join(path.read_text(errors="replace") for path in logs)


@needs_root
@pytest.mark.parametrize(
    "name",
    [
        "a,b",
        " a  b ",
        "a'b\"c\\d",
        "%d$HOME*?[x]",
        "a=b;c&d#e:f@g",
        "-ä é 文",
        "n" * 200,
        "n" * 60,  # a socket too long by some bytes only
    ],
)
def test_every_path_is_a_path(made: Path, program: Path, name: str) -> None:
    """A cluster in a directory of any name starts, answers and stops."""
    odd = made.with_name(name)
    made.rename(odd)
    try:
        child = started(
            [system_python()],
            [odd / "db", odd / "run", odd / "never"],
            **as_user(program, NOBODY, {"LC_ALL": "C"}),
        )
        assert len(postmasters(odd / "db" / "data")) == 1
        end_child(child)
        assert not server_processes(odd / "db" / "data")
    finally:
        odd.rename(made)


@needs_root
@pytest.mark.parametrize(("user", "home"), [(NOBODY, 'it\'s, "so" $é'), (NAMELESS, "nameless")])
def test_a_cluster_is_made_anywhere_by_anybody(
    place: Path, program: Path, user: int, home: str
) -> None:
    """Also below a directory of an odd name, and by a user whom no user database names."""
    odd = place / home
    odd.mkdir(mode=0o700)
    os.chown(odd, user, user)
    child = started(
        [system_python()], [odd / "db", odd / "run", odd / "never"], **as_user(program, user)
    )
    assert {p.uids().real for p in server_processes(odd / "db" / "data")} == {user}
    end_child(child)
    assert not server_processes(odd / "db" / "data")


@pytest.mark.parametrize(
    "name", ["a\nb", "a\rb", "/".join(["d" * 250] * 4), os.fsdecode(b"caf\xe9")]
)
def test_what_postgresql_cannot_take_is_a_line(place: Path, name: str) -> None:
    """Line breaks, paths beyond its limit, and names that are no text are said beforehand."""
    base = place / "base"
    server = EmbeddedServer(place / "fine", place / "run", base_dir=base / name)
    if os.geteuid() != 0:
        server = EmbeddedServer(place / name / "state", place / "run", base_dir=base)
    with pytest.raises(StoreError, match=r"line break|too long|not UTF-8") as error:
        server.start()
    assert "\n" not in str(error.value)
    assert not (base / name).exists()


@needs_root
def test_a_root_that_sees_no_directories_of_others(server: EmbeddedServer) -> None:
    """In a container root may not look where another user's process works; it still finds the
    server it has started, stops it, and takes over one that was left."""
    bare = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace", sys.executable]
    places = [server._dir, server._run_dir, server._base]
    child = started(bare, places)
    assert len(postmasters(data_of(server))) == 1
    end_child(child)
    assert not server_processes(data_of(server))
    left = started(bare, places)
    left.kill()
    end_child(left)
    (first,) = postmasters(data_of(server))
    child = started(bare, places)
    (second,) = postmasters(data_of(server))
    assert second != first
    end_child(child)


def test_a_server_that_cannot_be_seen_is_left_alone(
    server: EmbeddedServer, make_server: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no process can be found but one holds the server's lock, a start says which and
    where, and neither pid file nor socket is touched."""
    child = start_child(server)
    (living,) = postmasters(data_of(server))
    child.kill()
    end_child(child)
    monkeypatch.setattr(embedded, "server_processes", lambda data: [])
    monkeypatch.setattr(embedded, "LOCK_S", 0.1)
    sockets = sorted((server._base / "run").glob("*/.s.PGSQL.*"))
    with pytest.raises(StoreError, match=f"still runs on .* \\(process {living} ") as error:
        make_server(server._dir.name).start()
    assert str(data_of(server)) in str(error.value)
    assert postmasters(data_of(server)) == [living]
    assert (data_of(server) / "postmaster.pid").read_text().split()[0] == str(living)
    assert sorted((server._base / "run").glob("*/.s.PGSQL.*")) == sockets
    monkeypatch.undo()
    server.start()
    assert postmasters(data_of(server)) != [living]


@pytest.mark.parametrize(
    ("sees_place", "started_ago_s", "stays"),
    [(True, 0, False), (False, 0, True), (False, 60, False)],
)
def test_a_living_process_in_the_pid_file(
    server: EmbeddedServer,
    monkeypatch: pytest.MonkeyPatch,
    sees_place: bool,
    started_ago_s: int,
    stays: bool,
) -> None:
    """One that works elsewhere, or began at another time, is a stranger; of one that may be the
    server the start says number and file, and touches nothing."""
    cluster = server._hold(0)
    cluster.data.mkdir(exist_ok=True)
    pid_file = cluster.data / "postmaster.pid"
    process = processes.psutil.Process()
    began_s = int(process.create_time()) - started_ago_s
    pid_file.write_text(f"{process.pid}\n{cluster.data}\n{began_s}\n5432\n/x\n\n 1 2\nready\n")
    if not sees_place:
        monkeypatch.setattr(processes, "_working_place", lambda process: None)
    monkeypatch.setattr(Cluster, "_uid", lambda self: os.geteuid())
    monkeypatch.setattr(processes.psutil.Process, "name", lambda self: "postgres")
    try:
        if stays:
            with pytest.raises(StoreError, match=f"{pid_file} names process {process.pid},"):
                cluster.clear_stale_locks()
        else:
            cluster.clear_stale_locks()
        assert pid_file.exists() is stays
    finally:
        shutil.rmtree(cluster.data)


@needs_root
def test_a_copied_state_directory_does_not_take_the_server(
    server: EmbeddedServer, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy names the same cluster; while one engine runs it, the other one's start says so."""
    urls = server.start()
    shutil.copytree(server._dir, place / "copy")
    copy = EmbeddedServer(place / "copy", server._run_dir, base_dir=server._base, settings=FAST)
    monkeypatch.setattr(embedded, "LOCK_S", 0.1)
    with pytest.raises(StoreError, match="run by another process"):
        copy.start()
    assert scalar(urls.operator, "SELECT 1") == 1


def test_a_stop_ends_a_start_that_is_under_way(make_server: Make, tmp_path: Path) -> None:
    """An engine that is stopped while its database is made leaves no process and no half cluster,
    and does not wait for it."""
    asked = threading.Event()
    server = make_server("young")
    keeper = DatabaseKeeper(
        tmp_path / "journal.sqlite",
        url=None,
        data_dir=server._dir,
        run_dir=server._run_dir,
        on_damage=lambda text: None,
    )
    assert keeper._server is not None
    keeper._server._base = server._base
    real = Cluster._run

    def run(self: Cluster, command: list[str], timeout_s: float) -> None:
        asked.set()
        real(self, ["sleep", "600"], timeout_s)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cluster, "_run", run)
        keeper.start()
        assert asked.wait(30)
        keeper.stop()
        assert not keeper._thread.is_alive()
    assert not data_of(server).exists()
    children = processes.psutil.Process().children(recursive=True)
    assert not [child for child in children if child.name() == "sleep"]
    server.start()
    assert server.stop()


def test_a_stop_waits_for_another_threads_start(server: EmbeddedServer) -> None:
    """Whenever it comes, nothing runs after it."""
    launched = threading.Event()
    real = server._first_connection

    def first_connection(*arguments: object) -> object:
        launched.set()
        return real(*arguments)  # type: ignore[arg-type]

    server._first_connection = first_connection  # type: ignore[method-assign, assignment]
    thread = threading.Thread(target=server.start)
    thread.start()
    assert launched.wait(60)
    assert server.stop()
    thread.join()
    assert not server_processes(data_of(server))


def test_the_environment_of_other_databases_is_not_ours(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a shell exports for its user's own PostgreSQL changes nothing."""
    child = start_child(
        server,
        env=os.environ
        | {
            "PGPORT": "1",
            "PGHOSTADDR": "127.0.0.1",
            "PGSERVICE": "none",
            "PGOPTIONS": "-c default_transaction_read_only=on",
            "PGCLIENTENCODING": "LATIN1",
            "PGSSLMODE": "require",
            "PGCHANNELBINDING": "require",
            "PGTARGETSESSIONATTRS": "standby",
            "PGDATA": "/nowhere",
            "PGUSER": "root",
        },
    )
    end_child(child)


def test_the_reason_is_the_gravest_line(server: EmbeddedServer) -> None:
    """What a server says last is that it is shut down; shown is why, wherever it was written."""
    server.start()
    assert server.stop()
    control = data_of(server) / "global" / "pg_control"
    good = control.read_bytes()
    control.write_bytes(b"x" * len(good))
    try:
        with pytest.raises(StoreError, match=r"did not start: (FATAL|PANIC): .*") as error:
            server.start()
        assert "shut down" not in str(error.value)
        assert "\n" not in str(error.value)
    finally:
        control.write_bytes(good)
    server._settings["shared_buffers"] = "1kB"
    with pytest.raises(StoreError, match=r"did not start: FATAL: .*shared_buffers"):
        server.start()


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (
            "2026-01-01 10:00 UTC [7] FATAL:  lock file is empty\nx LOG:  system is shut down\n",
            "FATAL: lock file is empty",
        ),
        (
            "x [7] PANIC:  could not write: No space left on device\nx [8] FATAL:  later\n",
            "PANIC: could not write: No space left on device",
        ),
        (
            "x [7] FATAL:  bad modes\nx [7] DETAIL:  They should be 700.\nx [7] LOG:  end\n",
            "FATAL: bad modes (They should be 700.)",
        ),
        (
            "x [7] FATAL:  why\nx [9] pmpro_owner FATAL:  the database system is starting up\n",
            "FATAL: why",
        ),
        (
            "x [9] pmpro_owner FATAL:  the database system is starting up\nx LOG:  ready\n",
            "x LOG:  ready",
        ),
        (
            'initdb: error: could not create: Read-only\ninitdb: removing data directory "/x"\n',
            "ERROR: could not create: Read-only",
        ),
        (
            "x FATAL:  could not extend file: No space left\nx PANIC:  cannot abort\n",
            "FATAL: could not extend file: No space left",
        ),
        ("exec: no such file\n", "exec: no such file"),
        ("", "no message"),
    ],
)
def test_reasons(output: str, said: str) -> None:
    """The first PANIC or FATAL, else the first error; a server that is still starting is none."""
    assert reason(output) == said


def test_left_servers_are_ended_on_request(server: EmbeddedServer, make_server: Make) -> None:
    """A server of a killed engine is shut down; one in use is not; none is none."""
    assert not make_server("never").end_left()
    child = start_child(server)
    with pytest.raises(StoreError, match="run by another process"):
        server.end_left()
    child.kill()
    end_child(child)
    assert len(postmasters(data_of(server))) == 1
    assert server.end_left()
    assert not server_processes(data_of(server))
    assert not server.end_left()
