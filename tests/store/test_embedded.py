"""The embedded server starts, after whatever happened, and stops; as root and as a user."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine

from engine.model.errors import StoreError
from engine.settings.settings import load_settings
from engine.store import migrate
from engine.store.cluster import Cluster
from engine.store.connection import connect
from engine.store.embedded import EmbeddedServer, Urls
from engine.store.processes import server_processes
from pmpro_tui.cli.doctor.checks import _database
from tests.store.servers import (
    CHILD,
    NOBODY,
    as_user,
    data_of,
    end_child,
    kill_all,
    postmasters,
    scalar,
    start_child,
    system_python,
)

Make = Callable[[str], EmbeddedServer]


@pytest.fixture
def server(make_server: Make) -> Iterator[EmbeddedServer]:
    """A stopped server; all tests here take turns with one cluster, since making one is slow."""
    server = make_server("own")
    yield server
    assert server.stop()


@pytest.fixture
def fresh_server(make_server: Make, request: pytest.FixtureRequest) -> Iterator[EmbeddedServer]:
    """A server that has no cluster yet."""
    server = make_server(request.node.name[:40])
    yield server
    assert server.stop()


def put_mark(urls: Urls) -> int:
    """Write something; return what `SELECT n FROM mark` must show ever after."""
    mark = random.randrange(10**9)
    engine = create_engine(urls.owner)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE IF EXISTS mark")
        connection.exec_driver_sql(f"CREATE TABLE mark AS SELECT {mark} AS n")
        connection.exec_driver_sql("GRANT SELECT ON mark TO PUBLIC")
    engine.dispose()
    return mark


def test_it_is_closed_to_all_others(server: EmbeddedServer) -> None:
    """No TCP, no trust: only the two passwords open it; nothing readable holds them."""
    urls = server.start()
    assert scalar(urls.owner, "SHOW listen_addresses") == ""
    assert scalar(urls.operator, "SELECT current_user") == "pmpro_operator"
    assert scalar(urls.operator, "SELECT rolsuper FROM pg_roles WHERE rolname = user") is False
    encoding = "SELECT datcollate || ' ' || datlocale || ' ' || pg_encoding_to_char(encoding)"
    assert scalar(urls.owner, f"{encoding} FROM pg_database LIMIT 1") == "C C.UTF-8 UTF8"
    for url in (urls.owner.set(password="wrong"), urls.operator._replace(password=None)):
        with pytest.raises(StoreError, match="password"):
            connect(url)
    secrets = server._dir / "secrets.json"
    assert secrets.stat().st_mode & 0o777 == 0o600
    shown = f"{urls} {server._cluster!r}"
    for password in (urls.owner.password, urls.operator.password):
        assert isinstance(password, str)
        assert password not in shown
        found = subprocess.run(
            ["grep", "-rlF", password, server._dir, data_of(server).parent],
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.stdout.split() == [str(secrets)]


def test_root_never_runs_it(server: EmbeddedServer) -> None:
    """Its processes are an ordinary user's, in a session that no console's end reaches."""
    server.start()
    processes = server_processes(data_of(server))
    assert processes
    for process in processes:
        assert process.uids().real != 0
        assert os.getsid(process.pid) != os.getsid(0)


def test_data_survives_a_restart(server: EmbeddedServer) -> None:
    """What was written before a stop is there after the next start, under the same URLs."""
    urls = server.start()
    mark = put_mark(urls)
    assert server.stop()
    assert not server_processes(data_of(server))
    assert server.start() == urls
    assert scalar(urls.operator, "SELECT n FROM mark") == mark


def test_kill_9_of_the_server(server: EmbeddedServer) -> None:
    """After kill -9 of all its processes the same object starts it again, with its data."""
    urls = server.start()
    mark = put_mark(urls)
    kill_all(data_of(server))
    assert not server.running()
    server.start()
    assert server.running()
    assert scalar(urls.operator, "SELECT n FROM mark") == mark


def test_kill_9_of_its_main_process(server: EmbeddedServer) -> None:
    """Children that outlive their postmaster are gone before the next one starts."""
    urls = server.start()
    mark = put_mark(urls)
    postmaster, *children = server_processes(data_of(server))
    postmaster.kill()
    server.start()
    assert children
    assert not set(children) & set(server_processes(data_of(server)))
    assert scalar(urls.operator, "SELECT n FROM mark") == mark


def test_kill_9_of_the_engine(server: EmbeddedServer) -> None:
    """A server left by a killed engine is taken over by the next; two never run."""
    child = start_child(server)
    child.kill()
    end_child(child)
    urls = server.start()
    assert len(postmasters(data_of(server))) == 1
    assert scalar(urls.operator, "SELECT 1") == 1


def test_two_engines(
    server: EmbeddedServer, make_server: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server in use is never taken from a living engine; one-shot commands borrow it."""
    monkeypatch.setattr("engine.store.embedded.LOCK_S", 0.1)
    urls = server.start()
    mark = put_mark(urls)
    other = make_server(server._dir.name)
    with pytest.raises(StoreError, match="run by another process"):
        other.start()
    with other.borrow() as borrowed:
        assert scalar(borrowed.operator, "SELECT n FROM mark") == mark
    assert server.running()
    assert server.stop()
    with other.borrow() as borrowed:
        assert scalar(borrowed.operator, "SELECT n FROM mark") == mark
    assert not server_processes(data_of(server))


@pytest.mark.parametrize("content", ["", "garbage\n", "{pid}\n", "{pid}\n{rest}"])
def test_a_bad_lock_file(server: EmbeddedServer, content: str) -> None:
    """An empty, damaged or stranger's pid file does not stop the start; the stranger lives."""
    urls = server.start()
    mark = put_mark(urls)
    data = data_of(server)
    pid_file = data / "postmaster.pid"
    rest = "\n".join(pid_file.read_text().splitlines()[1:]) + "\n"
    kill_all(data)
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    text_ = content.format(pid=stranger.pid, rest=rest)
    for lock in (pid_file, server._cluster.socket_dir / ".s.PGSQL.5432.lock"):  # type: ignore[union-attr]
        lock.write_text(text_)
    server.start()
    assert scalar(urls.operator, "SELECT n FROM mark") == mark
    assert stranger.poll() is None
    stranger.communicate(b"\n")


def test_an_interrupted_initdb(
    fresh_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a cluster is never started: the next start makes a whole one."""
    real = Cluster._run

    def interrupted(*arguments: Any) -> None:
        real(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Cluster, "_run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fresh_server.start()
    assert not data_of(fresh_server).exists()
    urls = fresh_server.start()
    assert scalar(urls.operator, "SELECT 1") == 1
    assert not list(data_of(fresh_server).parent.glob("init-*"))


def test_a_foreign_locale(fresh_server: EmbeddedServer) -> None:
    """A forwarded locale that the box does not have changes nothing."""
    foreign = {"LC_ALL": "xx_XX", "LANG": "yy_YY.KOI8"}
    child = start_child(fresh_server, env=os.environ | foreign)
    end_child(child)
    assert not server_processes(data_of(fresh_server))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_an_ordinary_user(place: Path, program: Path) -> None:
    """A user other than root has everything in his own directories, and nothing elsewhere."""
    home = place / "nobody"
    home.mkdir(mode=0o700)
    os.chown(home, NOBODY, NOBODY)
    child = subprocess.Popen(
        [system_python(), "-c", CHILD, home / "db", home / "run", place / "never"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **as_user(program, NOBODY),
    )
    assert child.stdout is not None
    url = next(line for line in child.stdout if line.startswith("started")).split()[1]
    assert scalar(url, "SELECT current_user") == "pmpro_operator"
    assert {p.uids().real for p in server_processes(home / "db" / "data")} == {NOBODY}
    end_child(child)
    assert not server_processes(home / "db" / "data")
    assert not (place / "never").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="modes as root")
def test_root_loosens_nothing(server: EmbeddedServer, place: Path) -> None:
    """As root, no directory above the base changes, and inside only data and socket are his."""
    before = {path: path.stat().st_mode for path in place.parents}
    server.start()
    assert before == {path: path.stat().st_mode for path in place.parents}
    own = {p.name for p in data_of(server).parent.iterdir() if p.stat().st_uid != 0}
    assert own == {"data", "log"}
    for path in (place / "base").glob("programs/**/*"):
        assert path.stat().st_uid == 0
        assert not path.stat().st_mode & 0o022


def test_lost_or_damaged_passwords(server: EmbeddedServer) -> None:
    """A damaged or foreign passwords file is one line that names it."""
    server.start()
    assert server.stop()
    path = server._dir / "secrets.json"
    good = path.read_text()
    path.write_text(good[:10])
    with pytest.raises(StoreError, match=r"secrets\.json is damaged"):
        server.start()
    path.write_text(json.dumps(json.loads(good) | {"owner": "wrong"}))
    with pytest.raises(StoreError, match=r"secrets\.json is not this database's"):
        server.start()
    path.write_text(good)
    server.start()


def test_another_major_version(server: EmbeddedServer) -> None:
    """Data of another PostgreSQL is refused before anything touches it."""
    server.start()
    assert server.stop()
    (data_of(server) / "PG_VERSION").write_text("15\n")
    with pytest.raises(StoreError, match="made by PostgreSQL 15"):
        server.start()
    (data_of(server) / "PG_VERSION").write_text("18\n")


def test_a_socket_path_too_long(place: Path) -> None:
    """A directory too deep for a socket is said before anything is made."""
    deep = place / ("d" * 90)
    server = EmbeddedServer(place / "deep", deep, base_dir=deep)
    with pytest.raises(StoreError, match="shorter run directory"):
        server.start()
    assert not deep.exists()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://ann:s3cret@127.0.0.1:1/pmpro", r"pmpro at 127\.0\.0\.1:1.*refused"),
        ("postgresql://ann:s3cret@no-such-host.invalid/pmpro", r"no-such-host\.invalid"),
        ("postgresql://ann:s3cret@/pmpro?host=/nowhere", "/nowhere"),
        ("mysql://ann:s3cret@localhost/pmpro", "mysql"),
        ("ann:s3cret@localhost", "cannot be read"),
        ("postgresql://ann:s3cret@localhost:port/x", "cannot be read"),
    ],
)
def test_a_url_that_fails_is_one_line(url: str, said: str) -> None:
    """Whatever is wrong with a URL is one line that names the host and hides the password."""
    for call in (connect, migrate.upgrade, migrate.current):
        with pytest.raises(StoreError, match=said) as error:
            call(url)
        assert "\n" not in str(error.value)
        assert "s3cret" not in str(error.value)


def test_a_server_that_refuses_names_the_user(server_urls: Urls) -> None:
    """A wrong password or database is told as PostgreSQL tells it, in one line."""
    with pytest.raises(StoreError, match="password authentication failed") as error:
        connect(server_urls.operator.set(password="s3cret"))
    assert "s3cret" not in str(error.value)
    with pytest.raises(StoreError, match='database "nope" does not exist'):
        connect(server_urls.operator.set(database="nope"))


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_hold_every_text_is_refused(
    server_urls: Urls, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line that says how to make another; nothing is written into it, nothing is garbled."""
    admin = create_engine(server_urls.owner.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(
            f"CREATE DATABASE odd_{encoding} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
        )
    admin.dispose()
    url = server_urls.owner.set(database=f"odd_{encoding.lower()}")
    for call in (connect, migrate.upgrade):
        with pytest.raises(StoreError, match=f"its encoding is {encoding}, .* ENCODING 'UTF8'"):
            call(url)
    monkeypatch.setenv("PMPRO_DATABASE__URL", url.render_as_string(hide_password=False))
    monkeypatch.setenv("PMPRO_DATABASE__EMBEDDED", "false")
    found = _database(load_settings(mode="demo"))
    assert (found.status, encoding in found.finding) == ("fail", True)


def test_a_command_that_is_told_to_end_ends_its_server(server: EmbeddedServer) -> None:
    """SIGTERM and SIGHUP to a one-shot command leave nothing of the server it has started."""
    script = CHILD.replace("urls = server.start()", "borrowed = server.borrow()").replace(
        'print("started", urls.operator.render_as_string(hide_password=False), flush=True)',
        'print("started", borrowed.__enter__(), flush=True)',
    )
    for kind in (signal.SIGTERM, signal.SIGHUP):
        child = start_child(server, script=script)
        assert len(postmasters(data_of(server))) == 1
        child.send_signal(kind)
        assert child.wait(60) == 128 + kind
        end_child(child, 128 + kind)
        assert not server_processes(data_of(server))


def test_a_hangup_of_the_console_is_not_noticed(server: EmbeddedServer) -> None:
    """SIGHUP and ctrl+c to the starter's process group leave the server answering."""
    child = start_child(server, start_new_session=True)
    os.killpg(child.pid, signal.SIGHUP)
    end = threading.Event()
    threading.Timer(0.2, end.set).start()
    end.wait(5)
    assert server_processes(data_of(server))
    assert child.wait(10) == -signal.SIGHUP
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.close()
    child.stdout.close()
    urls = server.start()
    assert scalar(urls.operator, "SELECT 1") == 1


def test_psycopg_is_the_only_driver(server_urls: Urls) -> None:
    """URLs work as they are for both SQLAlchemy and psycopg."""
    plain = server_urls.operator.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
