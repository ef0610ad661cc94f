"""What code of others prints in a child goes to its log: clean lines, none without an end."""

import contextlib
import sys
import traceback
from collections.abc import Iterable
from typing import TextIO

from engine.model.printable import printable

# A longer piece is not looked through.
_PIECE_MAX_CHARS = 100_000
# Of a traceback: the first lines and the last ones.
_FIRST_LINES = 20
_LAST_LINES = 40


class CleanStream:
    """Standard output and error whose every line is printable; what is written goes on at once."""

    encoding = "utf-8"
    errors = "strict"

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text, each of its lines cleaned."""
        kept, left = text[:_PIECE_MAX_CHARS], len(text) - _PIECE_MAX_CHARS
        clean = "\n".join(printable(one) for one in kept.split("\n"))
        self._stream.write(clean + (f"… ({left:,} more)\n" if left > 0 else ""))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts one by one."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Have it written now."""
        self._stream.flush()

    def fileno(self) -> int:
        """Return the descriptor, for what writes to that."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Return False: it is a log."""
        return False


def clean_streams() -> None:
    """Have everything that this process prints cleaned from now on."""
    sys.stdout = sys.stderr = CleanStream(sys.stderr)


def print_traceback(error: BaseException) -> None:
    """Print where an error was raised, clean and bounded; never raises."""
    with contextlib.suppress(BaseException):  # border: the error's class is code of others
        lines = "".join(traceback.format_exception(error, chain=True)).splitlines()
        n_left_out = len(lines) - _FIRST_LINES - _LAST_LINES
        if n_left_out > 0:
            lines[_FIRST_LINES:-_LAST_LINES] = [f"… ({n_left_out:,} lines)"]
        sys.stderr.write("".join(f"{printable(line)}\n" for line in lines))
