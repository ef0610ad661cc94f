"""An embedded cluster on disk: its directories, passwords, initdb and lock files.

As an ordinary user everything lies in the state directory. As root, data and programs lie under
`base_dir`, where the server's account can reach them; of these only `data`, `log` and the socket's
directory belong to that account, and the passwords stay in the state directory.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from engine.files.places import SOCKET_PATH_MAX_BYTES, private_temporary
from engine.files.trust import (
    closed_directory,
    fault_of,
    private_directory,
    require_trusted,
    run_on,
    user_name,
)
from engine.model.errors import StoreError
from engine.store.binaries import SystemUser, programs, server_account, with_a_name
from engine.store.processes import may_be_server, pid_exists
from engine.store.reasons import reason

OWNER = "pmpro_owner"
PORT = 5432  # only names the socket
SOCKET = f".s.PGSQL.{PORT}"
# PostgreSQL's own limit of a path, with room for the names below the data directory.
PATH_MAX_BYTES = 900
POLL_S = 0.02

# A forwarded locale that the box lacks breaks initdb; nothing else of the environment matters.
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}

_log = structlog.get_logger(__name__)


class Secrets(NamedTuple):
    """The cluster's random name and its passwords, as in `secrets.json`."""

    cluster: str
    owner: str
    operator: str


class ClusterPlace(NamedTuple):
    """Where a cluster and its socket lie, and in which directories that others share."""

    home: Path
    socket_dir: Path
    shared: tuple[Path, ...]


def place_of(
    data_dir: Path, run_dir: Path, base_dir: Path, cluster: str, account: SystemUser | None
) -> ClusterPlace:
    """Return where a cluster of this name lies; as root below `base_dir`."""
    if account is None:
        socket_dir = _socket_dir(run_dir, cluster)
        return ClusterPlace(data_dir, socket_dir, (socket_dir.parent,))
    clusters, run = base_dir / "clusters", base_dir / "run"
    return ClusterPlace(clusters / cluster, run / cluster, (base_dir, clusters, run))


def complaint_of(place: ClusterPlace, account: SystemUser | None) -> str:
    """Return what PostgreSQL cannot do with these paths, "" for nothing."""
    home, socket = os.fsencode(place.home), place.socket_dir / SOCKET
    try:
        f"{place.home}{socket}".encode()
    except UnicodeEncodeError:
        return f"{str(place.home)!r} is not UTF-8 text: choose another state directory"
    if b"\n" in home or b"\r" in home:
        return f"{str(place.home)!r} has a line break, which PostgreSQL does not take"
    if len(home) > PATH_MAX_BYTES:
        return f"{place.home} has {len(home)} bytes, PostgreSQL takes {PATH_MAX_BYTES}: too long"
    if len(os.fsencode(socket)) > SOCKET_PATH_MAX_BYTES:
        return f"{socket} is too long for a socket: choose a shorter run directory"
    if account is not None and (closed := closed_directory(place.home, account.uid)):
        return (
            f"{closed} lets {user_name(account.uid)} not pass, who runs PostgreSQL: "
            f"{run_on('chmod o+x', closed)}"
        )
    return ""


class Cluster:
    """Where a cluster lies and how it comes to be. Making one reads or makes its secrets.

    `stopping` tells that what takes long is to be given up.
    """

    def __init__(
        self,
        data_dir: Path,
        run_dir: Path,
        base_dir: Path,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._account = server_account()
        self._stopping = stopping
        self.secrets = _secrets(data_dir)
        self._place = place_of(data_dir, run_dir, base_dir, self.secrets.cluster, self._account)
        self.home, self.socket_dir, _ = self._place
        self._base = base_dir
        self.data = self.home / "data"
        self.log = self.home / "log"

    def make_home(self) -> None:
        """Make the directories around the data."""
        if complaint := complaint_of(self._place, self._account):
            raise StoreError(complaint)
        for directory in self._place.shared:
            if self._account is not None:
                private_directory(directory, 0o711)
            elif directory.exists():
                require_trusted(directory)
            else:
                private_directory(directory)
        self.home.mkdir(exist_ok=True)
        self.home.chmod(0o711 if self._account else 0o700)
        for directory in (self.log, self.socket_dir):
            self._make_own(directory)

    def prepare(self, timeout_s: float, *, sync: bool = True) -> Path:
        """Make the data if it is missing, on disk if `sync`; return the programs' directory."""
        bin_dir = programs(self._base, self._account)
        if not self.data.exists():
            self._initdb(bin_dir, timeout_s, [] if sync else ["--no-sync"])
        self._check_version(bin_dir)
        return bin_dir

    def as_account(self) -> dict[str, Any]:
        """Return the arguments that make a subprocess the server's, in a session of its own."""
        arguments: dict[str, Any] = {
            "env": _ENVIRONMENT,
            "cwd": "/",
            "stdin": subprocess.DEVNULL,
            "start_new_session": True,  # a closing terminal must not stop it
            "umask": 0o077,
        }
        if self._account is not None:
            arguments |= {
                "user": self._account.uid,
                "group": self._account.gid,
                "extra_groups": [],
            }
        return arguments

    def clear_stale_locks(self) -> None:
        """Remove lock files that would stop the start. Only for who knows that no server lives.

        A sound pid file of a dead process stays: PostgreSQL checks its shared memory by it.

        Raises:
            StoreError: the pid file names a process that may be a server on this data.
        """
        pid_file = self.data / "postmaster.pid"
        try:
            lines = pid_file.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            lines = None
        if lines is not None:
            pid = int(lines[0]) if lines and lines[0].isdecimal() and len(lines[0]) < 10 else 0
            sound = pid > 1 and len(lines) >= 7
            lives = pid > 1 and pid_exists(pid)
            if lives and may_be_server(pid, self.data, self._uid(), _start_in(lines)):
                raise StoreError(
                    f"{pid_file} names process {pid}, which lives and may be a server on this "
                    "data: nothing was touched; end that process, or remove the file if it is none"
                )
            if lives or not sound:
                _log.warning("database_lock_file_removed", content=lines[:3])
                pid_file.unlink()
        for name in (SOCKET, f"{SOCKET}.lock"):
            (self.socket_dir / name).unlink(missing_ok=True)

    def named_process(self) -> int | None:
        """Return the process that the pid file names, for people."""
        try:
            first = (self.data / "postmaster.pid").read_text(errors="replace").splitlines()[:1]
        except OSError:
            return None
        return int(first[0]) if first and first[0].isdecimal() else None

    def _uid(self) -> int:
        return os.geteuid() if self._account is None else self._account.uid

    def _make_own(self, path: Path) -> None:
        """Make a directory that only the server's account can read."""
        path.mkdir(exist_ok=True, mode=0o700)
        if self._account is not None:
            os.chown(path, *self._account, follow_symlinks=False)

    def _initdb(self, bin_dir: Path, timeout_s: float, options: list[str]) -> None:
        """Run initdb beside the final place and rename: interrupted, it leaves nothing half."""
        for partial in self.home.glob("init-*"):
            shutil.rmtree(partial, ignore_errors=True)
        partial = self.home / f"init-{secrets.token_hex(4)}"
        partial.mkdir()
        partial.chmod(0o711)
        self._make_own(partial / "data")
        password = partial / "password"
        password.touch(mode=0o600)
        password.write_text(self.secrets.owner)
        if self._account is not None:
            os.chown(password, *self._account)
        command = [
            str(bin_dir / "initdb"),
            f"--pgdata={partial / 'data'}",
            f"--username={OWNER}",
            f"--pwfile={password}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            *options,
        ]
        if self._account is None:
            command = with_a_name(command)
        self._run(command, timeout_s)
        (partial / "data").rename(self.data)
        shutil.rmtree(partial)

    def _run(self, command: list[str], timeout_s: float) -> None:
        """Run a program of PostgreSQL to its end, or until there is no more need of it."""
        deadline_s = time.monotonic() + timeout_s
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(command, stdout=said, stderr=said, **self.as_account())
            try:
                while process.poll() is None:
                    if self._stopping():
                        raise StoreError("stopped while the database was made")
                    if time.monotonic() > deadline_s:
                        raise StoreError(f"initdb in {self.home} took more than {timeout_s:.0f} s")
                    time.sleep(POLL_S)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            if process.returncode != 0:
                said.seek(0)
                why = reason(said.read().decode(errors="replace"))
                raise StoreError(f"initdb in {self.home} failed: {why}")

    def _check_version(self, bin_dir: Path) -> None:
        major = (self.data / "PG_VERSION").read_text().strip()
        shown = subprocess.run(
            [bin_dir / "postgres", "--version"],
            capture_output=True,
            text=True,
            check=True,
            **self.as_account(),
        ).stdout
        if f" {major}." not in shown:
            raise StoreError(
                f"{self.data} was made by PostgreSQL {major}, installed is {shown.strip()}:"
                " restore a backup into a new state directory"
            )


def _socket_dir(run_dir: Path, cluster: str) -> Path:
    """Return where the socket lies: in the run directory, or where clients can name it.

    PostgreSQL's clients read a comma as the end of a host.
    """
    wanted = run_dir / cluster
    too_long = len(os.fsencode(wanted / SOCKET)) > SOCKET_PATH_MAX_BYTES
    if too_long or "," in str(wanted):
        return private_temporary(os.geteuid()) / cluster
    return wanted


def _start_in(lines: list[str]) -> float | None:
    """Return when the server of a pid file started, seconds since 1970."""
    return float(lines[2]) if len(lines) > 2 and lines[2].isdecimal() else None


def _secrets(data_dir: Path) -> Secrets:
    path = data_dir / "secrets.json"
    if path.exists():
        if fault := fault_of(path):
            raise StoreError(fault)
        try:
            return Secrets(**json.loads(path.read_text()))
        except (ValueError, TypeError) as e:
            raise StoreError(f"{path} is damaged: restore it from a backup") from e
    if (data_dir / "data").exists():
        raise StoreError(f"{path} is missing: restore it, or move {data_dir} away")
    made = Secrets(secrets.token_hex(6), secrets.token_hex(24), secrets.token_hex(24))
    partial = path.with_suffix(".new")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(made._asdict(), file)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
    directory = os.open(data_dir, os.O_RDONLY)
    os.fsync(directory)  # a cluster must never outlive its passwords
    os.close(directory)
    return made
