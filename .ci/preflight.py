"""Check what `make` needs before anything is installed; one line and its remedy a failure.

Run by the system's Python, whichever that is: standard library only, parsable by Python 3.6.
"""

import os
import shutil
import sys
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 14)
DISK_NEEDED_GB = 2.0
COLUMNS, LINES = 80, 24


def python_fault() -> "str | None":
    """Return what is wrong with this Python, or None."""
    major, minor = sys.version_info[:2]
    if OLDEST <= (major, minor) <= NEWEST:
        return None
    return (
        f"Python {major}.{minor} is not supported: install Python 3.11 to 3.14 "
        "and run `make PYTHON=/path/to/python3.12 ...`"
    )


def venv_fault() -> "str | None":
    """Return what keeps this Python from making an environment, or None."""
    try:
        import ensurepip  # noqa: F401  (only whether it is there)
        import venv  # noqa: F401
    except ImportError as error:
        major, minor = sys.version_info[:2]
        return (
            f"this Python ({sys.executable}) has no module {error.name}: install it "
            f"(Debian, Ubuntu: `apt install python{major}.{minor}-venv`)"
        )
    return None


def disk_fault(directory: Path, needed_gb: float = DISK_NEEDED_GB) -> "str | None":
    """Return what is wrong with the disk under `directory`, or None."""
    if not os.access(str(directory), os.W_OK):
        return f"cannot write to {directory}: work in a directory of your own"
    free_gb = shutil.disk_usage(str(directory)).free / 1e9
    if free_gb >= needed_gb:
        return None
    return f"only {free_gb:.1f} GB are free under {directory}: make room for {needed_gb:.0f} GB"


def terminal_fault() -> "str | None":
    """Return why the console cannot be shown here, or None."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return (
            "no terminal: run `make run` in one (over SSH: `ssh -t`), "
            "or headless: `make setup && .venv/bin/pmpro-tui --daemon --demo`"
        )
    kind = os.environ.get("TERM", "")
    if kind in ("", "dumb"):
        return f"TERM={kind!r} cannot show a screen: `export TERM=xterm-256color`"
    size = os.get_terminal_size()
    # Some serial lines do not tell their size (0 x 0): the console then assumes 80 x 24.
    if 0 < size.columns < COLUMNS or 0 < size.lines < LINES:
        return (
            f"the terminal has {size.columns}x{size.lines}: enlarge it to {COLUMNS}x{LINES} or more"
        )
    return None


def main(arguments: "list[str]") -> int:
    """Print every fault and return 1, or nothing and 0."""
    root = Path(__file__).resolve().parent.parent
    faults = [python_fault()]
    if not (root / ".venv" / ".installed-base").exists():
        faults += [venv_fault(), disk_fault(root)]
    if "--terminal" in arguments:
        faults.append(terminal_fault())
    found = [fault for fault in faults if fault]
    for fault in found:
        sys.stderr.write(f"preflight: {fault}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
