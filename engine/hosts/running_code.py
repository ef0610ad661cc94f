"""What code runs: program, compilers, schema, operator's strategy files; one short name for all.

The name stands with every order; the audit entries of the start, and of each strategy file that
was taken since, say what it stands for. Where what lies on the disk or in the database is no
longer what runs, nothing new is entered.
"""

import hashlib
import platform
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from engine.kernels.cache import CODE_HASH
from engine.store.migrate import head

PACKAGES = ("backtest", "engine", "sql", "strategies")
NAME_CHARS = 12
_DISTRIBUTION = "portfolio-manager-pro"
_ROOT = Path(__file__).resolve().parents[2]


def program_hash(root: Path = _ROOT) -> str:
    """Return a hash of every source file of the program as it lies on the disk."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0")
            digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


class RunningCode:
    """One engine's code. `files`: the strategy files as they run, content by path."""

    def __init__(
        self,
        files: Callable[[], Mapping[str, bytes]],
        *,
        program: Callable[[], str] = program_hash,
    ) -> None:
        self._files = files
        self._program_now = program
        self._program = program()
        self._schema = head()

    def parts(self) -> dict[str, Any]:
        """Return what the name stands for."""
        return {
            "pmpro": version(_DISTRIBUTION),
            "program": self._program,
            "kernels": CODE_HASH,
            "numba": version("numba"),
            "llvmlite": version("llvmlite"),
            "python": platform.python_version(),
            "schema": self._schema,
            "strategy_files": {
                path: hashlib.sha256(content).hexdigest()
                for path, content in sorted(self._files().items())
            },
        }

    def name(self) -> str:
        """Return the short name of what runs now."""
        return name_of(self.parts())

    def fault(self) -> str:
        """Return why what lies on the disk is not what runs, "" where it is; some 20 ms."""
        try:
            found = self._program_now()
        except OSError as error:
            return f"the program's files cannot be read ({error.strerror}): restart the engine"
        if found == self._program:
            return ""
        return "the program's files were changed while it runs: restart the engine"


def name_of(parts: Mapping[str, Any]) -> str:
    """Return the short name of what `RunningCode.parts` says."""
    text = msgspec.json.encode(parts, order="sorted")
    return hashlib.sha256(text).hexdigest()[:NAME_CHARS]
