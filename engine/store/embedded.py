"""The embedded PostgreSQL: started and stopped by the engine alone.

Unix socket only, scram passwords that are random and kept in a mode-600 file. The engine works as
pmpro_operator; the owner is for migrations. A server left behind by a killed engine is shut down
and started again. Where everything lies: `engine.store.cluster`.
"""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import structlog
from psycopg import sql
from sqlalchemy import URL

from engine.files.places import absolute
from engine.model.errors import StoreError
from engine.store.cluster import OWNER, POLL_S, PORT, Cluster
from engine.store.connection import OPERATOR
from engine.store.processes import end, server_processes
from engine.store.reasons import last_line, reason

BASE_DIR = Path("/var/lib/pmpro")
DATABASE = "pmpro"
START_S = 120.0
STOP_S = 30.0
LOCK_S = 10.0
# Locked by every process of a server, as long as one lives, wherever it can be seen from.
RUNNING = "running"
START_LOG = "start.log"

_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "shared_buffers": "64MB",
    "max_connections": "30",
    "max_wal_size": "256MB",
    "io_method": "sync",  # three worker processes less
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "on",
    # A week of days, each file begun anew.
    "log_filename": "postgresql-%a.log",
    "log_truncate_on_rotation": "on",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_line_prefix": "%m [%p] %q%u ",
}

_log = structlog.get_logger(__name__)


class Urls(NamedTuple):
    """Where the started server is reached; printing a URL hides its password."""

    owner: URL
    operator: URL


class ServerInUse(StoreError):
    """Another process runs the server."""


class EmbeddedServer:
    """One server. `data_dir` is the state directory's part of it, `run_dir` holds its socket.

    As root, data and programs go below `base_dir`. `settings` replaces or adds server settings.
    `stopping`: once it is set a start that is under way gives up.
    """

    def __init__(
        self,
        data_dir: Path,
        run_dir: Path,
        *,
        base_dir: Path = BASE_DIR,
        start_s: float = START_S,
        settings: Mapping[str, str] | None = None,
        stopping: threading.Event | None = None,
    ) -> None:
        # Meant for other servers: libpq would take host, port and options from them.
        for name in [name for name in os.environ if name.startswith("PG")]:
            del os.environ[name]
        # One name for good: a link on the way may lead elsewhere tomorrow.
        self._dir = data_dir.resolve()
        self._run_dir = absolute(run_dir)
        self._base = absolute(base_dir)
        self._start_s = start_s
        self._settings = _SETTINGS | dict(settings or {})
        self._stopping = stopping or threading.Event()
        self._turn = threading.RLock()
        self._locks: list[int] = []
        self._cluster: Cluster | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._log: ServerLog | None = None

    def start(self) -> Urls:
        """Start the server, making its cluster if there is none, and return its URLs.

        Raises:
            StoreError: another process runs it, or it does not answer within the deadline.
        """
        with self._turn:
            try:
                return self._start(time.monotonic() + self._start_s)
            except BaseException as e:
                self.stop()
                if isinstance(e, OSError | subprocess.SubprocessError | psycopg.Error):
                    raise StoreError(f"embedded database in {self._dir}: {_told(e)}") from e
                raise

    def stop(self, timeout_s: float = STOP_S) -> bool:
        """Shut the server down if this object holds it; True unless a process is left.

        A start that is under way on another thread is waited for.
        """
        if not self._turn.acquire(timeout=timeout_s):
            _log.error("database_not_stopped", directory=str(self._dir), reason="still starting")
            return False
        try:
            gone = True
            if self._cluster is not None and self._locks:
                gone = self._end(self._cluster, timeout_s)
            if self._process is not None:
                self._process.poll()  # leaves no zombie
                self._process = None
            while self._locks:
                os.close(self._locks.pop())
        finally:
            self._turn.release()
        if not gone:
            _log.error("database_not_stopped", directory=str(self._dir))
        return gone

    def abandon(self) -> None:
        """Tell the server to shut down fast, and let it do so alone."""
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)

    def end_left(self, wait_s: float = 0.0) -> bool:
        """Shut down a server that a dead engine has left, if there is one; True if there was.

        `wait_s`: how long an engine that ends may still hold it.

        Raises:
            StoreError: an engine runs it, or it does not end.
        """
        if not (self._dir / "secrets.json").exists():
            return False
        with self._turn:
            try:
                cluster = self._hold(wait_s)
                left = bool(server_processes(cluster.data)) or not _free(cluster.home / RUNNING)
                if left and not self._end(cluster, STOP_S):
                    raise StoreError(_unseen(cluster))
                return left
            finally:
                self.stop()

    def reason(self) -> str:
        """Return the gravest thing that the server has written since it was started."""
        return "no message" if self._log is None else self._log.reason()

    def running(self) -> bool:
        """Whether the server's main process lives."""
        return self._process is not None and self._process.poll() is None

    @contextmanager
    def borrow(self) -> Iterator[Urls]:
        """Give a one-shot command the running engine's server, or else one for its own time."""
        try:
            self._hold(0)
        except ServerInUse:
            if not (self._dir / "secrets.json").exists():
                raise
            yield _urls(Cluster(self._dir, self._run_dir, self._base))
            return
        with _signals_unwind():
            try:
                yield self.start()
            finally:
                self.stop()

    def _start(self, deadline_s: float) -> Urls:
        cluster = self._hold(LOCK_S)
        if left := server_processes(cluster.data):
            _log.warning("database_left_running", pid=left[0].pid)
            if not end(left, STOP_S):
                raise StoreError(f"embedded database: process {left[0].pid} does not end")
        if self._process is not None:
            self._process.wait(STOP_S)  # it was this object's own
        running = _locked(cluster.home / RUNNING, LOCK_S)
        if running is None:
            raise StoreError(_unseen(cluster))
        try:
            bin_dir = cluster.prepare(self._start_s, sync=self._settings.get("fsync") != "off")
            cluster.clear_stale_locks()
            self._log = ServerLog(cluster)
            self._process = self._launch(cluster, bin_dir, running)
        finally:
            os.close(running)  # the server has it now, and every process of the server
        with self._first_connection(cluster, self._process, deadline_s) as connection:
            _ensure_roles(connection, cluster.secrets.operator)
        _log.info("database_started", pid=self._process.pid)
        return _urls(cluster)

    def _hold(self, wait_s: float) -> Cluster:
        """Keep other engines from this cluster, whichever state directory they know it by."""
        if self._cluster is not None and self._locks:
            return self._cluster
        # Both nobody else's: the state directory may be new as well.
        self._dir.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._dir.mkdir(exist_ok=True, mode=0o700)
        try:
            self._take_lock(self._dir / "lock", wait_s)
            self._cluster = Cluster(self._dir, self._run_dir, self._base, self._stopping.is_set)
            self._cluster.make_home()
            if self._cluster.home != self._dir:
                self._take_lock(self._cluster.home / "lock", wait_s)
        except BaseException:
            while self._locks:
                os.close(self._locks.pop())
            raise
        return self._cluster

    def _take_lock(self, path: Path, wait_s: float) -> None:
        descriptor = _locked(path, wait_s, self._stopping.is_set)
        if descriptor is None:
            raise ServerInUse(f"embedded database in {self._dir} is run by another process")
        self._locks.append(descriptor)

    def _end(self, cluster: Cluster, timeout_s: float) -> bool:
        gone = end(server_processes(cluster.data), timeout_s)
        return gone and _free(cluster.home / RUNNING)

    def _launch(self, cluster: Cluster, bin_dir: Path, running: int) -> subprocess.Popen[bytes]:
        hba = cluster.home / "pg_hba.conf"
        hba.write_text("local all all scram-sha-256\n")
        hba.chmod(0o644)
        options = self._settings | {
            "hba_file": str(hba),
            "log_directory": str(cluster.log),
            "unix_socket_directories": _quoted(cluster.socket_dir),
            "port": str(PORT),
        }
        command: list[str | Path] = [bin_dir / "postgres", "-D", cluster.data]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        with (cluster.home / START_LOG).open("wb") as log:
            return subprocess.Popen(
                command, stdout=log, stderr=log, pass_fds=[running], **cluster.as_account()
            )

    def _first_connection(
        self,
        cluster: Cluster,
        process: subprocess.Popen[bytes],
        deadline_s: float,
    ) -> psycopg.Connection[Any]:
        while True:
            if self._stopping.is_set():
                raise StoreError("stopped while the database started")
            try:
                return psycopg.connect(
                    host=str(cluster.socket_dir),
                    port=PORT,
                    user=OWNER,
                    password=cluster.secrets.owner,
                    dbname="postgres",
                    connect_timeout=2,
                    autocommit=True,
                )
            except psycopg.OperationalError as e:
                if process.poll() is not None:
                    raise StoreError(f"PostgreSQL did not start: {self.reason()}") from e
                if "password authentication failed" in str(e):
                    raise StoreError(
                        f"{self._dir / 'secrets.json'} is not this database's: restore it"
                    ) from e
                if time.monotonic() > deadline_s:
                    raise StoreError(
                        f"PostgreSQL did not answer in {self._start_s:.0f} s: {self.reason()}"
                    ) from e
            time.sleep(POLL_S)


class ServerLog:
    """What a server writes from now on: on its way up, and then into its own files."""

    def __init__(self, cluster: Cluster) -> None:
        self._start = cluster.home / START_LOG
        self._directory = cluster.log
        self._sizes = {path: path.stat().st_size for path in self._files()}

    def reason(self) -> str:
        """Return why the server ended, or what troubles it."""
        text = self._start.read_text(errors="replace")
        for path in self._files():
            content = path.read_bytes()
            before = self._sizes.get(path, 0)
            # A file that was begun anew is shorter.
            text += content[before if before <= len(content) else 0 :].decode(errors="replace")
        return reason(text)

    def _files(self) -> list[Path]:
        return sorted(self._directory.glob("postgresql-*"))


@contextmanager
def _signals_unwind() -> Iterator[None]:
    """Let a command that is told to end, or whose terminal goes away, end what it has started."""

    def leave(number: int, _: object) -> None:
        sys.exit(128 + number)

    kinds = (signal.SIGTERM, signal.SIGHUP)
    on_main = threading.current_thread() is threading.main_thread()
    ours = [kind for kind in kinds if on_main and signal.getsignal(kind) is signal.SIG_DFL]
    for kind in ours:
        signal.signal(kind, leave)
    try:
        yield
    finally:
        for kind in ours:
            signal.signal(kind, signal.SIG_DFL)


def _locked(path: Path, wait_s: float, stopping: Callable[[], bool] = lambda: False) -> int | None:
    """Return the descriptor of a file locked for this process and who inherits it, or None."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    deadline_s = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline_s or stopping():
                os.close(descriptor)
                return None
            time.sleep(POLL_S)
        else:
            return descriptor


def _free(path: Path) -> bool:
    """Whether no process of a server holds this lock."""
    descriptor = _locked(path, 1.0)
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is not None


def _unseen(cluster: Cluster) -> str:
    pid = cluster.named_process()
    named = "" if pid is None else f" (process {pid} by its postmaster.pid)"
    return (
        f"a PostgreSQL server that cannot be seen from here still runs on {cluster.data}{named}: "
        "nothing was touched; end it"
    )


def _quoted(path: Path) -> str:
    """Return a path as an element of a server setting that is a list."""
    doubled = str(path).replace('"', '""')
    return f'"{doubled}"'


def _told(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return last_line(str(error))


def _ensure_roles(connection: psycopg.Connection[Any], password: str) -> None:
    """Make roles and database if missing; the operator's password is always the file's."""
    connection.execute((files("sql") / "roles.sql").read_bytes())
    # Hashed here, so that no log of the server can ever show it.
    hashed = connection.pgconn.encrypt_password(
        password.encode(), OPERATOR.encode(), b"scram-sha-256"
    )
    connection.execute(
        sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(
            sql.Identifier(OPERATOR), sql.Literal(hashed.decode())
        )
    )
    found = connection.execute("SELECT FROM pg_database WHERE datname = %s", (DATABASE,))
    if found.fetchone() is None:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))


def _urls(cluster: Cluster) -> Urls:
    def url(user: str, password: str) -> URL:
        return URL.create(
            "postgresql+psycopg",
            username=user,
            password=password,
            database=DATABASE,
            query={"host": str(cluster.socket_dir)},
        )

    return Urls(url(OWNER, cluster.secrets.owner), url(OPERATOR, cluster.secrets.operator))
