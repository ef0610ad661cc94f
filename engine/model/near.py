"""Which known name somebody meant who wrote another one."""

import difflib
from collections.abc import Iterable

_ALIKE = 0.7
"""Two thirds would take EURUSD for XAUUSD."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that is most like `name`, whatever its case; "" where none is."""
    folded: dict[str, str] = {}
    for one in known:
        folded.setdefault(one.casefold(), one)
    near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=_ALIKE)
    return folded[near[0]] if near else ""


def meant(name: str, known: Iterable[str]) -> str:
    """Return ", did you mean 'NEAREST'?" to end a message with, "" where nothing is like it."""
    near = nearest(name, known)
    return f", did you mean {near!r}?" if near else ""
