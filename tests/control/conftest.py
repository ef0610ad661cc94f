"""A scripted engine that listens on a real socket."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.control.control_engine import ScriptedEngine


@pytest.fixture
def run_dir() -> Iterator[Path]:
    """A short directory: a socket's path has 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="pm", dir="/var/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def engine(run_dir: Path) -> Iterator[ScriptedEngine]:
    engine = ScriptedEngine(run_dir / "run" / "e.sock")
    engine.server.start()
    yield engine
    engine.gate.set()
    for client in engine.clients:
        client.close()
    engine.server.close()
