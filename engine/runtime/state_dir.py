"""The state directory: one engine's journal, lock, logs and broker ledger; mode 0700."""

import os
from pathlib import Path

from engine.model.errors import StateError
from engine.model.trust import private_directory
from engine.terminal.lock_file import hold_lock


class StateDir:
    """A state directory held by this process until closed or dead."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            private_directory(path)
            path.chmod(0o700)
            private_directory(self.logs)
            self._lock = hold_lock(path / "engine.lock", wait_s=0.0)
        except OSError as e:
            raise StateError(f"{path}: cannot use the state directory: {e.strerror}") from None
        except StateError:
            raise StateError(
                f"{path}: another engine uses this state directory: attach to it with pmpro-tui, "
                "or stop it with pmpro stop"
            ) from None

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
