"""Consoles that are stopped (SIGSTOP) cost the engine nothing: counted, not timed."""

import contextlib
import signal
import threading
import time
from pathlib import Path

import pytest

from engine.control.client import ControlClient
from engine.control.messages import Actor
from engine.control.server import ControlServer
from engine.model.views.snapshot import Command, Reply, Snapshot
from engine.settings.settings import load_settings
from tests.console.scripted import Clock, ScriptedFeed
from tests.launch.test_attach import state, terminal

__all__ = ["state"]
N_CONSOLES, N_STEPS = 3, 500


class CountingEngine:
    """Publishes what it is told to; counts how often anybody asks for it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self._feed = ScriptedFeed(self.clock)
        self.n_asked = 0
        self.publish()
        self.server = ControlServer(
            load_settings(mode="demo").socket_path,
            snapshot=self._snapshot,
            execute=self._execute,
            refused=lambda *_: None,
            now_ns=time.time_ns,
        )

    def publish(self) -> None:
        self.clock.now = time.time_ns()
        self._feed.version = self.clock.now
        self._newest = self._feed.now()

    def _snapshot(self) -> Snapshot:
        self.n_asked += 1
        return self._newest

    def _execute(self, command: Command, _: Actor) -> Reply:
        return Reply(ok=True, text=f"{command.name} done")


def test_stopped_consoles_ask_nothing_and_hold_nothing_up(
    state: Path, request: pytest.FixtureRequest
) -> None:
    """The engine is asked by the living alone, one call a question; woken, the others go on."""
    engine = CountingEngine()
    engine.server.start()
    request.addfinalizer(engine.server.close)
    with contextlib.ExitStack() as stack:
        consoles = [stack.enter_context(terminal(state, "--demo")) for _ in range(N_CONSOLES)]
        for console in consoles:
            console.read_until("eur-ma-14")
        for console in consoles:
            console.send_signal(signal.SIGSTOP)
            console.wait_stopped()
        n_threads = threading.active_count()
        living = stack.enter_context(ControlClient(load_settings(mode="demo").socket_path))
        before = engine.n_asked
        for _ in range(N_STEPS):
            engine.publish()
            seen = living.snapshot()
            assert seen is not None
            assert seen.version == engine.clock.now
        # What a console had asked in the moment that it was stopped may still be answered.
        assert N_STEPS <= engine.n_asked - before <= N_STEPS + N_CONSOLES
        assert threading.active_count() <= n_threads + 1

        before = engine.n_asked
        for console in consoles:
            console.seen = b""
            console.resume()
            console.read_until_taken()
            console.press("?")
            console.read_until("halt")
        # Nothing was kept for them: the newest, not every one since.
        assert engine.n_asked - before < N_STEPS // 4
