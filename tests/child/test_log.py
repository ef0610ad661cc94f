"""A line of the log is one write: a kill in between never joins it to the next process's line."""

import io
from collections.abc import Iterator

import pytest
import structlog

from engine.child.log import json_lines


class Writes(io.StringIO):
    """Keeps every write by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def write(self, text: str, /) -> int:
        """Take a write."""
        self.parts.append(text)
        return super().write(text)


@pytest.fixture(autouse=True)
def configured() -> Iterator[None]:
    """Put the log back as it was."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def test_a_line_is_one_write() -> None:
    """Whatever it says, and however long it is."""
    file = Writes()
    json_lines("info", file)
    structlog.get_logger().info("started", text="x" * 5000)
    structlog.get_logger().warning("a\nb")
    assert len(file.parts) == 2
    assert all(part.endswith("}\n") for part in file.parts)
