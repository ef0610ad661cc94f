"""The engine inside the console's own process: for a desk demo and tests; it ends with it."""

import threading
from collections.abc import Callable

from engine.model.errors import PmproError
from engine.runtime.settings import Settings
from pmpro_tui.cli.attach import daemon_log
from pmpro_tui.cli.daemon import recorded_prices


class InlineEngine:
    """An engine on threads of this process; its log goes to the state directory."""

    def __init__(self, settings: Settings, report: Callable[[str], None]) -> None:
        import structlog

        from engine.runtime.engine import Engine
        from engine.runtime.log import json_lines

        json_lines(settings.log.level)
        self._log = daemon_log(settings).open("a", encoding="utf-8", buffering=1)
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(self._log))
        self._engine = Engine(settings, recorded=recorded_prices(settings), on_step=report)
        try:
            self._engine.start()
        except PmproError:
            self._log.close()
            raise
        self._thread = threading.Thread(target=self._engine.run, name="engine", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop trading: settle, save, end every child."""
        self._engine.stop("the console was closed")
        self._thread.join(timeout=30.0)
        self._engine.close()
        self._log.close()
