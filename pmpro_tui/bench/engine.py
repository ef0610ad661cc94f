"""A whole engine whose market stands still between minutes, to time what it does at each.

The market is moved to the next minute, the engine gets a pause to do everything that follows, and
the terminal's notes of the ticks shown and the orders sent are returned. Nothing is left on disk.
"""

import contextlib
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog

from engine.child.log import errors_to_stderr, json_lines
from engine.model.errors import PmproError
from engine.model.times import NS_PER_MINUTE, NS_PER_MS
from engine.runtime.engine import Engine
from engine.settings.settings import Settings, load_settings
from engine.store.cluster import Cluster
from engine.store.embedded import BASE_DIR

# A Tuesday: from here on a day's windows are half full, and the market is open till the evening.
START = "2026-01-13T10:00:00Z"
_WARM_UP_MINUTES = 10
_DATABASE_S = 90.0


class Steps(msgspec.Struct, frozen=True, kw_only=True):
    """What to run: a portfolio file's text, users' strategies by file name, minutes to measure."""

    portfolio: str
    files: dict[str, str] = {}
    n_minutes: int
    pause_s: float


class Minute(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as the terminal saw it: its minute, and its orders after so many milliseconds.

    Milliseconds are from the return of the first tick of the minute to entries of `order_send`.
    """

    minute: int
    orders_ms: list[float]


def measure(
    steps: Steps, progress: Callable[[float], None] = lambda done_frac: None
) -> list[Minute]:
    """Run an engine with all its processes, database included; return its minutes in order."""
    texts = {"portfolio.toml": steps.portfolio, **steps.files}
    with bench_settings(texts) as settings:
        home = settings.state_root
        with _log_to(home / "engine.log", settings):
            return _run(settings, [home / file for file in steps.files], steps, progress)


@contextlib.contextmanager
def bench_settings(texts: Mapping[str, str]) -> Iterator[Settings]:
    """Yield the settings of a demo that runs `portfolio.toml`, one of these files' texts by name.

    Its state directory, where the files are, is on the disk that an engine would use; nothing is
    left of it.
    """
    root = load_settings(mode="demo").state_root
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=root) as name:
        home = Path(name)
        for file, text in texts.items():
            (home / file).write_text(text, encoding="utf-8")
        settings = load_settings(
            mode="demo",
            overrides={
                "state_dir": home,
                "portfolio": home / "portfolio.toml",
                "demo.start": START,
                "demo.speed": 1.0,
            },
        )
        with _database(settings):
            yield settings


@contextlib.contextmanager
def _log_to(path: Path, settings: Settings) -> Iterator[None]:
    """Log as the daemon does, into a file."""
    json_lines(settings.log.level)
    with path.open("a", encoding="utf-8", buffering=1) as file:
        structlog.configure(logger_factory=structlog.WriteLoggerFactory(file))
        try:
            yield
        finally:
            errors_to_stderr()


@contextlib.contextmanager
def _database(settings: Settings) -> Iterator[None]:
    """Remove afterwards what the embedded server keeps outside of the state directory."""
    data = settings.state_path / "postgresql"
    try:
        yield
    finally:
        if data.exists():
            cluster = Cluster(data, settings.run_path, BASE_DIR)
            for path in (cluster.home, cluster.socket_dir):
                shutil.rmtree(path, ignore_errors=True)


def _run(
    settings: Settings, files: Sequence[Path], steps: Steps, progress: Callable[[float], None]
) -> list[Minute]:
    """Run the engine on this thread while another one moves its market."""
    engine = Engine(settings, files=files)
    found: list[Minute] = []
    errors: list[BaseException] = []

    def step() -> None:
        try:
            found.extend(_minutes(_step(engine, steps, progress)))
        except BaseException as e:  # border: thread
            errors.append(e)
        finally:
            engine.stop("measured")

    try:
        engine.start()
        stepper = threading.Thread(target=step, name="stepper", daemon=True)
        stepper.start()
        engine.run()
        stepper.join()
    finally:
        engine.close()
    if errors:
        raise errors[0]
    return found


def _step(engine: Engine, steps: Steps, progress: Callable[[float], None]) -> dict[str, Any]:
    """Move the market from minute to minute, with a pause at each; return the terminal's notes."""
    minute = engine.simulate({"op": "set_speed", "speed": 0.0})["now_ns"] // NS_PER_MINUTE
    _wait_for_database(engine)
    for n in range(_WARM_UP_MINUTES + steps.n_minutes):
        if n == _WARM_UP_MINUTES:
            engine.simulate({"op": "trace", "on": True})
        minute += 1
        engine.simulate({"op": "jump", "to_ns": minute * NS_PER_MINUTE})
        time.sleep(steps.pause_s)
        progress(n / (_WARM_UP_MINUTES + steps.n_minutes))
    trace: dict[str, Any] = engine.simulate({"op": "trace", "on": False})["trace"]
    return trace


def _wait_for_database(engine: Engine) -> None:
    until_s = time.monotonic() + _DATABASE_S
    while engine.snapshot().database != "ok":
        if time.monotonic() > until_s:
            raise PmproError(f"the database does not start: {engine.snapshot().database}")
        time.sleep(0.1)


def _minutes(trace: dict[str, Any]) -> list[Minute]:
    seen = trace["seen_ns"]
    ends_ns = [at_ns for _, at_ns in seen[1:]] + [2**63]
    return [
        Minute(
            minute=minute,
            orders_ms=[(t - at_ns) / NS_PER_MS for t in trace["sent_ns"] if at_ns <= t < end_ns],
        )
        for (minute, at_ns), end_ns in zip(seen, ends_ns, strict=True)
    ]
