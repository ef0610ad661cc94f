"""An embedded cluster on disk: its directories, passwords, initdb and lock files.

As an ordinary user everything lies in the state directory. As root, data and programs lie under
`base_dir`, where the server's account can reach them; of these only `data`, `log` and the socket's
directory belong to that account, and the passwords stay in the state directory.
"""

import json
import os
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from engine.model.errors import StoreError
from engine.store.binaries import programs, server_account
from engine.store.processes import pid_exists

OWNER = "pmpro_owner"
PORT = 5432  # only names the socket
SOCKET_MAX_BYTES = 107

# A forwarded locale that the box lacks breaks initdb; nothing else of the environment matters.
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}

_log = structlog.get_logger(__name__)


class Secrets(NamedTuple):
    """The cluster's random name and its passwords, as in `secrets.json`."""

    cluster: str
    owner: str
    operator: str


class Cluster:
    """Where a cluster lies and how it comes to be. Making one reads or makes its secrets."""

    def __init__(self, data_dir: Path, run_dir: Path, base_dir: Path) -> None:
        self._account = server_account()
        self.secrets = _secrets(data_dir)
        if self._account is None:
            self._shared = [run_dir]
            self.home = data_dir
            self.socket_dir = run_dir / self.secrets.cluster
        else:
            self._shared = [base_dir, base_dir / "clusters", base_dir / "run"]
            self.home = base_dir / "clusters" / self.secrets.cluster
            self.socket_dir = base_dir / "run" / self.secrets.cluster
        self._base = base_dir
        self.data = self.home / "data"
        self.log = self.home / "log"

    def prepare(self, timeout_s: float, *, sync: bool = True) -> Path:
        """Make what is missing, on disk if `sync`, and return the directory of the programs."""
        self._make_directories()
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
        }
        if self._account is not None:
            arguments |= {
                "user": self._account.uid,
                "group": self._account.gid,
                "extra_groups": [],
                "umask": 0o077,
            }
        return arguments

    def clear_stale_locks(self) -> None:
        """Remove lock files that would stop the start, no process of this cluster being alive.

        A sound pid file of a dead process stays: PostgreSQL checks its shared memory by it.
        """
        for name in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
            (self.socket_dir / name).unlink(missing_ok=True)
        pid_file = self.data / "postmaster.pid"
        try:
            lines = pid_file.read_text().splitlines()
        except FileNotFoundError:
            return
        except ValueError:
            lines = []
        if len(lines) < 7 or not lines[0].isdigit() or pid_exists(int(lines[0])):
            _log.warning("database_lock_file_removed", content=lines[:3])
            pid_file.unlink()

    def _make_directories(self) -> None:
        socket = self.socket_dir / f".s.PGSQL.{PORT}"
        if len(os.fsencode(socket)) > SOCKET_MAX_BYTES:
            raise StoreError(f"{socket} is too long for a socket: choose a shorter run directory")
        for directory in self._shared:
            directory.mkdir(parents=self._account is None, exist_ok=True, mode=0o700)
            if self._account is not None:
                if directory.stat().st_uid != os.geteuid():
                    raise StoreError(f"{directory} does not belong to root")
                directory.chmod(0o711)
        self.home.mkdir(exist_ok=True)
        self.home.chmod(0o711 if self._account else 0o700)
        for directory in (self.log, self.socket_dir):
            self._make_own(directory)

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
        done = subprocess.run(
            [
                bin_dir / "initdb",
                f"--pgdata={partial / 'data'}",
                f"--username={OWNER}",
                f"--pwfile={password}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                *options,
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
            **self.as_account(),
        )
        if done.returncode != 0:
            raise StoreError(f"initdb in {self.home} failed: {last_line(done.stderr)}")
        (partial / "data").rename(self.data)
        shutil.rmtree(partial)

    def _check_version(self, bin_dir: Path) -> None:
        major = (self.data / "PG_VERSION").read_text().strip()
        shown = subprocess.run(
            [bin_dir / "postgres", "--version"], capture_output=True, text=True, check=True
        ).stdout
        if f" {major}." not in shown:
            raise StoreError(
                f"{self.data} was made by PostgreSQL {major}, installed is {shown.strip()}:"
                " restore a backup into a new state directory"
            )


def _secrets(data_dir: Path) -> Secrets:
    path = data_dir / "secrets.json"
    if path.exists():
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


def last_line(output: str) -> str:
    """Return a program's last word."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"
