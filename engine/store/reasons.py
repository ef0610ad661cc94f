"""Why a program of PostgreSQL failed, in one line out of all that it wrote."""

import re

# What a server says to each client that comes too early: never the reason.
_WAITING = "the database system is "
_LINE = re.compile(
    r"(?:^|[ \]])(?P<level>PANIC|FATAL|ERROR|DETAIL|error|fatal): +(?P<text>\S.*)$", re.MULTILINE
)
_WORST_FIRST = (("PANIC", "FATAL"), ("ERROR", "error", "fatal"))


def reason(output: str) -> str:
    """Return the first of the gravest messages with its detail, else the last line.

    What follows the first one is its consequence, and the last line is "database system is shut
    down", whatever has happened before.
    """
    found = [(m["level"], m["text"].strip()) for m in _LINE.finditer(output)]
    for levels in _WORST_FIRST:
        for number, (level, text) in enumerate(found):
            if level not in levels or text.startswith(_WAITING):
                continue
            after = found[number + 1 : number + 2]
            detail = f" ({after[0][1]})" if after and after[0][0] == "DETAIL" else ""
            return f"{level.upper()}: {text}{detail}"
    return last_line(output)


def last_line(output: str) -> str:
    """Return a program's last word."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"
