"""The operator's own strategy files: found, watched and read, never imported in this process."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

POLL_S = 1.0

Contents = dict[str, bytes]
_Stat = tuple[int, int, int]

_log = structlog.get_logger(__name__)


def strategy_files(directory: Path) -> list[Path]:
    """Return the Python files in a directory, by name; tests and hidden files are none."""
    if not directory.is_dir():
        return []
    return [
        path
        for path in sorted(directory.glob("*.py"))
        if path.is_file() and not path.name.startswith(("test_", "_", "."))
    ]


class FileWatch:
    """Tells of files that were written, a look after they have come to rest.

    Args:
        directory: where they are; it may come and go.
        known: what they are known to hold, by path.
        changed: called on the watching thread with the new contents; None stands for a file that
            is gone.
    """

    def __init__(
        self,
        directory: Path,
        known: Mapping[str, bytes],
        changed: Callable[[dict[str, bytes | None]], None],
    ) -> None:
        self._directory = directory
        self._known: dict[str, bytes | None] = dict(known)
        self._changed = changed
        self._stats: dict[str, _Stat] = {}
        self._read: dict[str, _Stat] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="strategy-files", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._stop.set()

    def look(self) -> None:
        """Look once."""
        before, self._stats = self._stats, self._look()
        news: dict[str, bytes | None] = {}
        for path, stat in self._stats.items():
            if stat != before.get(path) or stat == self._read.get(path):
                continue  # still being written, or read before
            content = Path(path).read_bytes()
            self._read[path] = stat
            if content != self._known.get(path):
                news[path] = content
        for path in self._read.keys() - self._stats.keys() - before.keys():
            del self._read[path]
            news[path] = None
        self._known |= news
        if news:
            self._changed(news)

    def _look(self) -> dict[str, _Stat]:
        stats = {}
        for path in strategy_files(self._directory):
            stat = path.stat()
            stats[str(path)] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        return stats

    def _run(self) -> None:
        while not self._stop.wait(POLL_S):
            try:
                self.look()
            except Exception:  # border: a directory that cannot be read must not end the watch
                _log.exception("strategy_files_not_read")
