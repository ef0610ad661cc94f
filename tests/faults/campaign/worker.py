"""The engine under test: `live`, in a process of its own, which `nursery` forks.

The engine of the product, unchanged but for its time: batches come when this loop steps the
simulated terminal, and the seconds it waits for are counted, not waited. What the plan says goes
wrong is armed at its batch. What happens is told on stdout, a JSON line each. Strategies have
processes of their own where the plan kills them.
"""

import contextlib
import os
import signal
import sys
import time
from typing import Any

import structlog

from engine.replay.setup import Recorded
from engine.runtime import database
from engine.runtime import engine as engine_module
from engine.store import writer
from engine.terminal import host_link
from tests.faults.campaign.breaks import BREAKS
from tests.faults.campaign.moments import Moments
from tests.faults.campaign.plan import Action, Job, Kill, State, Trouble, batches_of
from tests.faults.campaign.stepped import (
    PATIENCE_S,
    QuietHosts,
    SteppedEngine,
    outlive,
    patiently,
    tell,
)

NO_STATES = {
    "algo_trading": True,
    "api_enabled": True,
    "connected": True,
    "investor": False,
    "other_login": 0,
    "clock_off_s": 0,
}
# The quiet batches at the end: unknown outcomes are settled, refused closes renewed.
N_QUIET = 8


class Run:
    """One life of the engine: from its first batch to the end of the plan, or to its kill."""

    def __init__(self, job: Job) -> None:
        bars = job.plan.bars()
        self._batches = batches_of(job.plan, bars)
        self._job = job
        self._moments = Moments(self._kill)
        self._states: dict[str, int] = {}
        self._engine = SteppedEngine(job, self._batches, Recorded(bars, self._batches[0]))

    def live(self) -> None:
        """Start, step through the rest of the plan, then through quiet batches, and stop."""
        self._moments.watch()
        engine, n_steps = self._engine, len(self._batches)
        for kill in self._job.plan.restarts[max(0, self._job.life - 1) : self._job.life]:
            self._moments.arm(kill)
        engine.start()
        self._moments.disarm()
        tell(started=self._job.first)
        for number in range(self._job.first, n_steps):
            # Told first: who is killed while it is disturbed does not come back to the same kill.
            tell(batch=number)
            if number < n_steps - N_QUIET:
                self._disturb(number)
            else:
                self._calm(number)
            engine.step(number)
        self._flush()
        tell(account=engine.trader.core.account[0]["trading"].item(), reason=engine.trader.reason)
        engine.stop("the plan has ended")
        engine.close()
        tell(
            done=True,
            critical=[e.text for e in engine.events.newest() if e.level == "critical"],
        )

    def _disturb(self, number: int) -> None:
        for name, until in list(self._states.items()):
            if number >= until:
                del self._states[name]
                self._set_states(NO_STATES)
        self._resume()
        for action in self._job.plan.actions:
            if action.batch == number:
                self._begin(action)

    def _begin(self, action: Action) -> None:
        match action:
            case Kill():
                self._moments.arm(action)
            case Trouble():
                self._engine.lag_s = action.lag_s or self._engine.lag_s
                patiently(
                    lambda: self._engine.gateway.control({"op": "script", "text": action.text})
                )
            case State():
                tell(state=action.name)
                self._states[action.name] = action.batch + action.n_batches
                patiently(
                    lambda: self._engine.gateway.control({"op": "script", "text": action.name})
                )

    def _set_states(self, states: dict[str, Any]) -> None:
        control = {"op": "set_switches", **states}
        patiently(lambda: self._engine.gateway.control(control))

    def _calm(self, number: int) -> None:
        """Let nothing go wrong any more."""
        self._moments.disarm()
        if number == len(self._batches) - N_QUIET or number == self._job.first:
            patiently(lambda: self._engine.gateway.control({"op": "clear_faults"}))
            patiently(lambda: self._engine.gateway.control({"op": "end_lag"}))
            self._set_states(NO_STATES)
        self._resume()

    def _resume(self) -> None:
        """Have entries again where the terminal forbade them; other reasons stand."""
        if not self._states and self._engine.trader.reason.startswith("the terminal forbids"):
            self._engine.command("resume")

    def _flush(self) -> None:
        """Wait for PostgreSQL to have everything."""
        engine, deadline_s = self._engine, time.monotonic() + PATIENCE_S
        engine.trader.save()
        assert engine._journal is not None
        while engine._journal.backlog() and time.monotonic() < deadline_s:
            engine.turn()

    def _kill(self, kill: Kill) -> None:
        tell(killed=kill.target, at=kill.point)
        pids = {
            "engine": lambda: [os.getpid()],
            "database": lambda: [self._job.database_pid],
            "terminal": lambda: [pid for pid in [self._engine.gateway.host_pid] if pid],
            "strategies": self._engine.strategy_host_pids,
        }
        for pid in pids[kill.target]():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def live(job: Job) -> None:
    """Live as the job says."""
    outlive()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    host_link._BACKOFF_FIRST_S = 0.01  # type: ignore[misc]
    host_link._BACKOFF_MOST_S = 0.1  # type: ignore[misc]
    writer.BACKOFF_MIN_S = writer.BACKOFF_MAX_S = 0.05
    database.LOOK_S = database.RETRY_FIRST_S = database.RETRY_MOST_S = 0.05
    if not any(isinstance(a, Kill) and a.target == "strategies" for a in job.plan.actions):
        engine_module.StrategyHosts = QuietHosts  # type: ignore[attr-defined,misc,assignment]
    if job.broken:
        BREAKS[job.broken]()
    Run(job).live()
