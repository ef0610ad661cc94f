"""Find the engine of a configuration, or start one that outlives this terminal."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from engine.child.output import open_file
from engine.control.client import ControlClient
from engine.control.messages import Role
from engine.files.places import absolute
from engine.model.errors import ControlError
from pmpro_tui.console.feed import SocketFeed

if TYPE_CHECKING:
    from engine.settings.settings import Settings
    from pmpro_tui.launch.inline import InlineEngine
from pmpro_tui.launch.daemon import daemon_log

DAEMON_MODULE = "pmpro_tui.launch.daemon"
START_DEADLINE_S = 300.0
_LOOK_S = 0.05

Report = Callable[[str], None]

# Ended engines are reaped by polling; an abandoned handle would warn when it is collected.
_STARTED: list["subprocess.Popen[bytes]"] = []


class Attachment:
    """One console's way to its engine."""

    def __init__(
        self,
        config: Path | None,
        *,
        demo: bool,
        data: Path | None,
        strategies: Path | None = None,
        role: Role | None = None,
        inline: bool = False,
        only_attach: bool = False,
    ) -> None:
        self._config = config
        self._demo = demo
        self._data = data
        self._strategies = strategies
        self._role = role
        self._inline = inline
        self._only_attach = only_attach
        self._engine: InlineEngine | None = None

    def open(self, report: Report) -> SocketFeed:
        """Attach, starting an engine where none runs; `report` is told each step.

        Raises:
            ControlError: none runs, and none is to be started, or it ended at its start.
        """
        from pmpro_tui.launch.daemon import settings_for

        settings = settings_for(
            self._config, demo=self._demo, data=self._data, strategies=self._strategies
        )
        if self._inline:
            from pmpro_tui.launch.inline import InlineEngine

            self._engine = InlineEngine(settings, report)
        elif not answers(settings):
            if self._only_attach:
                raise ControlError("no engine answers: start one with `pmpro-tui --daemon`")
            report("none is running; starting one that outlives this console")
            start_detached(settings, self._words(), report)
        return SocketFeed(
            settings.socket_path,
            mode=settings.mode,
            role=self._role,
            account=settings.terminal.login,
            owners=settings.owners,
            poll_s=1.0 / settings.console.refresh_hz,
            theme=settings.console.theme,
            zone=settings.console.zone,
        )

    def close(self) -> None:
        """Stop an inline engine; a detached one goes on."""
        if self._engine is not None:
            self._engine.close()

    def _words(self) -> list[str]:
        words = []
        if self._config is not None:
            words += ["--config", str(absolute(self._config))]
        if self._demo:
            words.append("--demo")
        if self._data is not None:
            words += ["--data", str(absolute(self._data))]
        if self._strategies is not None:
            words += ["--strategies", str(absolute(self._strategies))]
        return words


def answers(settings: "Settings") -> bool:
    """Return whether this configuration's engine answers; UserError if it is another one."""
    with ControlClient(
        settings.socket_path,
        mode=settings.mode,
        account=settings.terminal.login,
        owners=settings.owners,
    ) as client:
        try:
            client.connect()
        except ControlError:
            return False
        return True


def start_detached(settings: "Settings", words: list[str], report: Report) -> None:
    """Start an engine in a session of its own and wait until it answers.

    Raises:
        ControlError: it ended or did not answer in time; its last words say why.
    """
    log_path, fault = daemon_log(settings)
    if fault:
        report(f"{fault}; the engine starts without a log")
    with open_file(log_path) as log:
        start = log.seek(0, os.SEEK_END)
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", DAEMON_MODULE, *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _STARTED.append(process)
    with log_path.open("rb") as log:
        log.seek(start)
        _await_answer(settings, process, LogTail(log), report, fault=fault)


def _await_answer(
    settings: "Settings",
    process: "subprocess.Popen[bytes]",
    tail: "LogTail",
    report: Report,
    *,
    fault: str,
) -> None:
    end_s = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < end_s:
        ended = process.poll() is not None
        for step in tail.steps():
            report(step)
        if answers(settings):
            return
        if ended and "another engine" not in tail.last_error:
            where = f"{fault}: `pmpro-tui --daemon` says why" if fault else f"see {tail.path}"
            raise ControlError(tail.last_error or f"the engine ended at its start; {where}")
        time.sleep(_LOOK_S)
    raise ControlError(f"the engine does not answer after {START_DEADLINE_S:g} s: see {tail.path}")


class LogTail:
    """The growing log of an engine that starts: its steps, and the last thing that went wrong."""

    def __init__(self, log: IO[bytes]) -> None:
        self.path = log.name
        self.last_error = ""
        self._log = log
        self._rest = b""

    def steps(self) -> Iterator[str]:
        """Yield what the lines since the last call say."""
        *lines, self._rest = (self._rest + self._log.read()).split(b"\n")
        for line in lines:
            text = line.decode(errors="replace").strip()
            if text:
                yield from self._read(text)

    def _read(self, text: str) -> Iterator[str]:
        try:
            entry = json.loads(text)
        except ValueError:
            entry = None
        if not isinstance(entry, dict):
            # The child's own last words; a traceback's last line is its error.
            self.last_error = text.removeprefix("pmpro-tui: ")
            return
        if entry.get("level") in ("error", "critical"):
            self.last_error = str(entry.get("error") or entry.get("event"))
        else:
            yield str(entry.get("event", ""))
