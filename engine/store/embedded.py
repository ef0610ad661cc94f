"""The embedded PostgreSQL: started and stopped by the engine alone.

Unix socket only, scram passwords that are random and kept in a mode-600 file. The engine works as
pmpro_operator; the owner is for migrations. A server left behind by a killed engine is shut down
and started again. Where everything lies: `engine.store.cluster`.
"""

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import structlog
from psycopg import sql
from sqlalchemy import URL

from engine.model.errors import StoreError
from engine.store.cluster import OWNER, PORT, Cluster, last_line
from engine.store.processes import end, server_processes

BASE_DIR = Path("/var/lib/pmpro")
DATABASE = "pmpro"
OPERATOR = "pmpro_operator"
START_S = 120.0
STOP_S = 30.0
LOCK_S = 10.0
POLL_S = 0.02

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


class EmbeddedServer:
    """One server. `data_dir` is the state directory's part of it, `run_dir` holds its socket.

    As root, data and programs go below `base_dir`. `settings` replaces or adds server settings.
    """

    def __init__(
        self,
        data_dir: Path,
        run_dir: Path,
        *,
        base_dir: Path = BASE_DIR,
        start_s: float = START_S,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._dir = data_dir.absolute()
        self._run_dir = run_dir.absolute()
        self._base = base_dir.absolute()
        self._start_s = start_s
        self._settings = _SETTINGS | dict(settings or {})
        self._lock: int | None = None
        self._cluster: Cluster | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Urls:
        """Start the server, making its cluster if there is none, and return its URLs.

        Raises:
            StoreError: another process runs it, or it does not answer within the deadline.
        """
        try:
            self._hold(LOCK_S)
            return self._start()
        except BaseException as e:
            self.stop()
            if isinstance(e, OSError | subprocess.SubprocessError | psycopg.Error):
                raise StoreError(f"embedded database in {self._dir}: {last_line(str(e))}") from e
            raise

    def stop(self, timeout_s: float = STOP_S) -> bool:
        """Shut the server down if this object holds it; True unless a process is left."""
        if self._lock is None:
            return True
        gone = True
        if self._cluster is not None:
            gone = end(server_processes(self._cluster.data), timeout_s)
        if self._process is not None:
            self._process.poll()  # leaves no zombie
            self._process = None
        os.close(self._lock)
        self._lock = None
        if not gone:
            _log.error("database_not_stopped", directory=str(self._dir))
        return gone

    def abandon(self) -> None:
        """Tell the server to shut down fast, and let it do so alone."""
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)

    def running(self) -> bool:
        """Whether the server's main process lives."""
        return self._process is not None and self._process.poll() is None

    @contextmanager
    def borrow(self) -> Iterator[Urls]:
        """Give a one-shot command the running engine's server, or else one for its own time."""
        try:
            self._hold(0)
        except StoreError:
            if not (self._dir / "secrets.json").exists():
                raise
            yield _urls(Cluster(self._dir, self._run_dir, self._base))
            return
        try:
            yield self.start()
        finally:
            self.stop()

    def _start(self) -> Urls:
        deadline = time.monotonic() + self._start_s
        cluster = self._cluster = Cluster(self._dir, self._run_dir, self._base)
        if left := server_processes(cluster.data):
            _log.warning("database_left_running", pid=left[0].pid)
            if not end(left, STOP_S):
                raise StoreError(f"embedded database: process {left[0].pid} does not end")
        if self._process is not None:
            self._process.wait(STOP_S)  # it was this object's own
        bin_dir = cluster.prepare(self._start_s, sync=self._settings.get("fsync") != "off")
        cluster.clear_stale_locks()
        self._process = self._launch(cluster, bin_dir)
        with self._first_connection(cluster, self._process, deadline) as connection:
            _ensure_roles(connection, cluster.secrets.operator)
        _log.info("database_started", pid=self._process.pid)
        return _urls(cluster)

    def _hold(self, wait_s: float) -> None:
        if self._lock is not None:
            return
        # Both nobody else's: the state directory may be new as well.
        self._dir.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._dir.mkdir(exist_ok=True, mode=0o700)
        descriptor = os.open(self._dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as e:
                if time.monotonic() > deadline:
                    os.close(descriptor)
                    raise StoreError(
                        f"embedded database in {self._dir} is run by another process"
                    ) from e
                time.sleep(POLL_S)
            else:
                self._lock = descriptor
                return

    def _launch(self, cluster: Cluster, bin_dir: Path) -> subprocess.Popen[bytes]:
        hba = cluster.home / "pg_hba.conf"
        hba.write_text("local all all scram-sha-256\n")
        hba.chmod(0o644)
        options = self._settings | {
            "hba_file": str(hba),
            "log_directory": str(cluster.log),
            "unix_socket_directories": str(cluster.socket_dir),
            "port": str(PORT),
        }
        command: list[str | Path] = [bin_dir / "postgres", "-D", cluster.data]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        with (cluster.home / "start.log").open("wb") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, **cluster.as_account())

    def _first_connection(
        self, cluster: Cluster, process: subprocess.Popen[bytes], deadline: float
    ) -> psycopg.Connection[Any]:
        while True:
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
                    log = (cluster.home / "start.log").read_text(errors="replace")
                    raise StoreError(f"PostgreSQL did not start: {last_line(log)}") from e
                if "password authentication failed" in str(e):
                    raise StoreError(
                        f"{self._dir / 'secrets.json'} is not this database's: restore it"
                    ) from e
                if time.monotonic() > deadline:
                    raise StoreError(
                        f"PostgreSQL did not answer in {self._start_s:.0f} s: {last_line(str(e))}"
                    ) from e
            time.sleep(POLL_S)


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
