"""The engine inside the console's own process: for a desk demo and tests; it ends with it."""

import threading
from collections.abc import Callable

from engine.model.errors import PmproError
from engine.settings.settings import Settings
from pmpro_tui.launch.daemon import JOBS, daemon_log, recorded_prices


class InlineEngine:
    """An engine on threads of this process; its log goes to the state directory."""

    def __init__(self, settings: Settings, report: Callable[[str], None]) -> None:
        from engine.child.log import json_lines
        from engine.child.output import Output, Stream, open_file
        from engine.runtime.engine import Engine

        path, fault = daemon_log(settings)
        if fault:
            report(f"{fault}; the engine starts without a log")
        self._log = open_file(path)
        self._output = Output(self._log.fileno(), str(path))
        json_lines(settings.log.level, Stream(self._output))
        self._engine = Engine(
            settings,
            recorded=recorded_prices(settings),
            jobs=JOBS,
            on_step=report,
            log=lambda: self._output.state,
        )
        try:
            self._engine.start()
        except PmproError:
            self._end_log()
            raise
        self._thread = threading.Thread(target=self._engine.run, name="engine", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop trading: settle, save, end every child."""
        self._engine.stop("the console was closed")
        self._thread.join(timeout=30.0)
        self._engine.close()
        self._end_log()

    def _end_log(self) -> None:
        self._output.close()
        self._log.close()
