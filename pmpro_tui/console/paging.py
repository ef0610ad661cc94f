"""Where a table of the database's rows stands: at the newest, or at a page further back."""

from collections.abc import Sequence
from typing import Protocol, TypedDict


class Bounds(TypedDict, total=False):
    """What a question is bounded by; nothing for the newest."""

    before_id: int
    after_id: int
    after_ns: int


class Row(Protocol):
    """Anything that pages are made of."""

    @property
    def id(self) -> int:
        """Its place in the database."""
        ...


class Paging:
    """The bounds that a table asks with."""

    def __init__(self) -> None:
        self.bounds: Bounds = {}

    @property
    def at_newest(self) -> bool:
        """Whether the newest rows are shown, as they come."""
        return not self.bounds

    def newest(self) -> None:
        """Show the newest."""
        self.bounds = {}

    def at(self, time_ns: int) -> None:
        """Show what begins at a time."""
        self.bounds = {"after_ns": time_ns}

    def older(self, rows: Sequence[Row]) -> None:
        """Show the page before these rows."""
        if rows:
            self.bounds = {"before_id": rows[0].id}

    def newer(self, rows: Sequence[Row]) -> None:
        """Show the page after these rows."""
        if rows:
            self.bounds = {"after_id": rows[-1].id}
