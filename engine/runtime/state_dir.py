"""The state directory: one engine's journal, lock, logs and broker ledger; mode 0700."""

import os
from pathlib import Path

from engine.files.lock_file import hold_lock
from engine.files.trust import private_directory
from engine.model.errors import StateError


class StateDir:
    """A state directory held by this process until closed or dead.

    `remark`: why the children's logs cannot be kept there, "" where they can.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.remark = ""
        try:
            private_directory(path)
            path.chmod(0o700)
            self._lock = hold_lock(path / "engine.lock", wait_s=0.0)
        except OSError as e:
            where = e.filename or path
            raise StateError(f"{where}: cannot use the state directory: {e.strerror}") from None
        except StateError:
            raise StateError(
                f"{path}: another engine uses this state directory: attach to it with pmpro-tui, "
                "or stop it with pmpro stop"
            ) from None
        try:
            private_directory(self.logs)
        except OSError as e:
            self.remark = f"{self.logs}: {e.strerror}: the children's logs are not kept"

    @property
    def journal(self) -> Path:
        """Return the journal's file."""
        return self.path / "journal.sqlite"

    @property
    def audit_head(self) -> Path:
        """Return the file with the audit trail's head that was told last."""
        return self.path / "audit-head.json"

    @property
    def logs(self) -> Path:
        """Return the directory of the children's logs."""
        return self.path / "logs"

    def close(self) -> None:
        """Let go of the directory."""
        os.close(self._lock)
