"""An engine as a process on the demo's market, for tests that kill it or what it needs."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.control.client import ControlClient
from engine.model.errors import ControlError
from engine.model.snapshot import Snapshot
from engine.runtime.settings import load_settings

DEADLINE_S = 90.0


@contextlib.contextmanager
def engine(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A headless engine; whatever is left of it in the end is killed."""
    with (home / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "pmpro_tui.cli.tui", "--daemon", "--demo"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def client() -> ControlClient:
    """Return a client of the engine that the environment names."""
    return ControlClient(load_settings(mode="demo").socket_path)


def until(
    found: Callable[[Snapshot], bool], home: Path, *, deadline_s: float = DEADLINE_S
) -> Snapshot:
    """Return the first snapshot of a trading engine that has what is looked for."""
    end_s = time.monotonic() + deadline_s
    while time.monotonic() < end_s:
        with contextlib.suppress(ControlError), client() as asked:
            snapshot = asked.snapshot()
            if snapshot is not None and snapshot.state == "ACTIVE" and found(snapshot):
                return snapshot
        time.sleep(0.02)
    raise AssertionError((home / "log").read_text()[-2000:])
