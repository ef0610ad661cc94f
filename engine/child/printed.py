"""What code of others prints in a child goes to its log: clean lines, none without an end."""

import contextlib
import sys
import traceback

from engine.child.output import Stream
from engine.model.printable import printable

# More of a text that is written at once is not looked through.
_TEXT_MAX_CHARS = 100_000
# Of a traceback: the first lines and the last ones.
_FIRST_LINES = 20
_LAST_LINES = 40


class CleanStream(Stream):
    """A stream whose every line is printable."""

    def write(self, text: str, /) -> int:
        """Take a text, each of its lines cleaned."""
        kept, n_left = text[:_TEXT_MAX_CHARS], len(text) - _TEXT_MAX_CHARS
        super().write("\n".join(map(printable, kept.split("\n"))))
        if n_left > 0:
            super().write(f"… ({n_left:,} more)\n")
        return len(text)


def clean_streams() -> None:
    """Have everything that this process prints cleaned from now on; see `take_streams`."""
    if isinstance(sys.stderr, Stream):
        sys.stdout = sys.stderr = CleanStream(sys.stderr.output)


def print_traceback(error: BaseException) -> None:
    """Print where an error was raised, clean and bounded; never raises."""
    with contextlib.suppress(BaseException):  # border: the error's class is code of others
        lines = "".join(traceback.format_exception(error, chain=True)).splitlines()
        n_left_out = len(lines) - _FIRST_LINES - _LAST_LINES
        if n_left_out > 0:
            lines[_FIRST_LINES:-_LAST_LINES] = [f"… ({n_left_out:,} lines)"]
        sys.stderr.write("".join(f"{printable(line)}\n" for line in lines))
