"""Run an engine until SIGTERM: one JSON line an event on stdout, exit code 0 on a clean stop."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from engine.child.ending import Ending
from engine.child.log import json_lines
from engine.child.output import state_of, take_streams
from engine.model.errors import PmproError
from engine.model.jobs import JobModules
from engine.model.printable import printable
from engine.replay.setup import Recorded
from engine.runtime.engine import Engine, StoppedEarly
from engine.settings.settings import Settings

log = structlog.get_logger(__name__)


def run(
    settings: Settings,
    *,
    jobs: JobModules,
    recorded: Recorded | None = None,
    on_step: Callable[[str], None] = lambda text: None,
) -> int:
    """Start an engine, run it on this thread until told to stop, and return the exit code.

    SIGTERM and SIGINT stop it cleanly, also while it starts, or end it where that takes too long;
    SIGHUP is ignored: a lost terminal stops no trading.

    Raises:
        PmproError: it could not start.
    """
    take_streams()
    json_lines(settings.log.level)
    os.chdir(Path(sys.executable).anchor)  # no directory that somebody deletes under the engine
    engine = Engine(
        settings,
        recorded=recorded,
        jobs=jobs,
        on_step=on_step,
        log=lambda: state_of(sys.stdout),
        say=_say_beside_the_log,
    )
    threading.excepthook = lambda died: _thread_died(engine, died)
    Ending(engine.stop, lambda: engine.stopping, abandon=engine.abandon).listen()
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        engine.start()
    except StoppedEarly:
        return 0
    except PmproError as e:
        log.critical("engine_not_started", error=str(e))
        raise
    try:
        engine.run()
    finally:
        engine.close()
        log.info("engine_stopped")
    return 0


def _say_beside_the_log(text: str) -> None:
    if state_of(sys.stderr).name != state_of(sys.stdout).name:
        sys.stderr.write(f"pmpro-tui: {printable(text)}\n")


def _thread_died(engine: Engine, died: threading.ExceptHookArgs) -> None:
    """Say that a thread has ended which should not have: what it did is not done any more."""
    name = "" if died.thread is None else died.thread.name
    what = f"{died.exc_type.__name__}: {died.exc_value}"
    engine.events.add("critical", "engine", f"its thread {name!r} has ended: {what}")
    log.error("thread_died", thread=name, exc_info=died.exc_value)
