"""Run an engine until SIGTERM: one JSON line an event on stdout, exit code 0 on a clean stop."""

import signal
from collections.abc import Callable
from types import FrameType

import structlog

from engine.model.errors import PmproError
from engine.runtime.assembly import Recorded
from engine.runtime.engine import Engine
from engine.runtime.log import json_lines
from engine.runtime.settings import Settings


def run(
    settings: Settings,
    *,
    recorded: Recorded | None = None,
    on_step: Callable[[str], None] = lambda text: None,
) -> int:
    """Start an engine, run it on this thread until told to stop, and return the exit code.

    SIGTERM and SIGINT stop it cleanly; SIGHUP is ignored: a lost terminal stops no trading.

    Raises:
        PmproError: it could not start.
    """
    json_lines(settings.log.level)
    engine = Engine(settings, recorded=recorded, on_step=on_step)

    def stop(number: int, _frame: FrameType | None) -> None:
        engine.stop(signal.Signals(number).name)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    log = structlog.get_logger(__name__)
    try:
        engine.start()
    except PmproError as e:
        log.critical("engine_not_started", error=str(e))
        raise
    try:
        engine.run()
    finally:
        engine.close()
        log.info("engine_stopped")
    return 0
