"""The operator's own strategy files: found, watched and read, never imported in this process."""

import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import structlog

from engine.files.trust import fault_of
from engine.model.printable import described, is_printable, printable

POLL_S = 1.0

_Stat = tuple[int, int, int]

_log = structlog.get_logger(__name__)


def strategy_files(directory: Path) -> list[Path]:
    """Return the strategy files in a directory, by name; tests and hidden files are none."""
    return [path for path in candidates(directory) if not _why_skipped(path)]


def skipped_files(directory: Path) -> list[str]:
    """Return what is left out of a directory's strategy files and why, a line a file."""
    reasons = {path: _why_skipped(path) for path in candidates(directory)}
    return [
        f"strategy file {printable(str(path))} is skipped: {reason}"
        for path, reason in reasons.items()
        if reason
    ]


def read_files(paths: Iterable[Path]) -> dict[str, bytes]:
    """Return what files hold, by path; one that cannot be read any more is left out."""
    contents = {}
    for path in paths:
        with contextlib.suppress(OSError):  # the watch says which
            contents[str(path)] = path.read_bytes()
    return contents


def candidates(directory: Path) -> list[Path]:
    """Return the files in a directory that would be strategies, whatever they are like."""
    if not directory.is_dir():
        return []
    return [
        path
        for path in sorted(directory.glob("*.py"))
        if path.is_file() and not path.name.startswith(("test_", "_", "."))
    ]


def _why_skipped(path: Path) -> str:
    if not is_printable(str(path)):
        return "its name is no plain text; rename it"
    if fault := fault_of(path):
        return fault
    try:
        with path.open("rb"):
            return ""
    except OSError as error:
        return f"it cannot be read: {error.strerror}"


class FileWatch:
    """Tells of files that were written, a look after they have come to rest.

    Args:
        directory: where they are; it may come and go.
        known: what they are known to hold, by path.
        changed: called on the watching thread with the new contents; None stands for a file that
            is gone.
        skipped: called there once for each file that is left out, with a line that says why.
    """

    def __init__(
        self,
        directory: Path,
        known: Mapping[str, bytes],
        changed: Callable[[dict[str, bytes | None]], None],
        skipped: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._directory = directory
        self._known: dict[str, bytes | None] = dict(known)
        self._changed = changed
        self._skipped = skipped
        self._said: set[str] = set()
        self._failed = ""
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
        self._say_skipped()
        before, self._stats = self._stats, self._look()
        news: dict[str, bytes | None] = {}
        for path, stat in self._stats.items():
            if stat != before.get(path) or stat == self._read.get(path):
                continue  # still being written, or read before
            content = read_files([Path(path)]).get(path)
            if content is None:  # gone again, or not ours to read: the next look tells
                continue
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
            with contextlib.suppress(FileNotFoundError):
                stat = path.stat()
                stats[str(path)] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        return stats

    def _say_skipped(self) -> None:
        skipped = skipped_files(self._directory)
        for line in skipped:
            if line not in self._said:
                self._skipped(line)
        self._said = set(skipped)

    def _run(self) -> None:
        while not self._stop.wait(POLL_S):
            try:
                self.look()
                self._failed = ""
            except Exception as error:  # border: what cannot be read must not end the watch
                self._fail(error)

    def _fail(self, error: Exception) -> None:
        """Say once that edited files may go unnoticed: what runs is what was read last."""
        text = f"strategy files are not looked at, edits are not taken: {described(error)}"
        if text != self._failed:
            self._failed = text
            _log.exception("strategy_files_not_read")
            self._skipped(text)
