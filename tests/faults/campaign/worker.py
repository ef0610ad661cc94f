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
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import structlog

from engine.child import parent
from engine.child.parent import Child
from engine.control.client import ControlClient, new_command
from engine.execution.journal import Journal
from engine.model.broker import AccountState
from engine.model.errors import BrokerError, Refused
from engine.portfolio.compile import CompiledPortfolio
from engine.runtime import database
from engine.runtime import engine as engine_module
from engine.runtime.assembly import Recorded
from engine.runtime.engine import Engine
from engine.runtime.host_settings import host_config
from engine.runtime.hosts import StrategyHosts
from engine.runtime.hosts_in_process import InProcessHosts
from engine.runtime.settings import load_settings
from engine.runtime.state_dir import StateDir
from engine.runtime.trader import Trader
from engine.store import writer
from engine.terminal import host_link, protocol
from engine.terminal.gateway import Deadlines, Gateway
from tests.faults.campaign.breaks import BREAKS
from tests.faults.campaign.plan import LOGIN, Action, Kill, Plan, State, Trouble, batches_of
from tests.parity.live import NOISE

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
BATCH_S, LOOK_S = 60.0, 5.0
PATIENCE_S = 30.0


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is to do. `first`: the batch it begins or goes on at; `life`: which this is."""

    plan: Plan
    home: str
    database_url: str
    database_pid: int
    first: int
    life: int = 0
    broken: str = ""


def tell(**fact: Any) -> None:
    """Say what happened."""
    sys.stdout.write(msgspec.json.encode(fact).decode() + "\n")
    sys.stdout.flush()


class Moments:
    """The moments that the engine comes to, and who is killed at which."""

    def __init__(self, kill: Callable[[Kill], None]) -> None:
        self._kill = kill
        self._armed: list[tuple[Kill, int]] = []

    def arm(self, kill: Kill) -> None:
        """Have a kill happen at its moment."""
        self._armed.append((kill, kill.nth))

    def disarm(self) -> None:
        """Let nobody be killed any more."""
        self._armed.clear()

    def come(self, point: str) -> None:
        """Be at a moment."""
        armed, self._armed = self._armed, []
        for kill, left in armed:
            if kill.point != point:
                self._armed.append((kill, left))
            elif left > 1:
                self._armed.append((kill, left - 1))
            else:
                self._kill(kill)

    def watch(self) -> None:
        """Have calls to the host, journal commits and evaluations come here."""
        call, commit, evaluate = Child.call, Journal.commit, StrategyHosts.evaluate

        def watched_call(child: Child, body: bytes, **how: Any) -> bytes:
            on_frame = how.pop("on_frame", None)

            def noted(frame: bytes) -> None:
                on_frame(frame)
                if frame == protocol.SENDING:
                    self.come("sending")

            if child.name != "terminal host":
                return call(child, body, on_frame=on_frame, **how)
            self.come("call")
            answer = call(child, body, on_frame=noted, **how)
            self.come("called")
            return answer

        def watched_commit(journal: Journal, **what: Any) -> None:
            self.come("commit")
            commit(journal, **what)
            self.come("committed")

        def watched_evaluate(hosts: StrategyHosts, *batch: Any) -> Any:
            self.come("evaluate")
            return evaluate(hosts, *batch)

        Child.call = watched_call  # type: ignore[method-assign]
        Journal.commit = watched_commit  # type: ignore[method-assign]
        StrategyHosts.evaluate = watched_evaluate  # type: ignore[method-assign]


class SteppedEngine(Engine):
    """The engine on a terminal whose time is stepped. `now_s`: counted seconds."""

    def __init__(self, job: Job, batches: list[int], recorded: Recorded) -> None:
        self.now_s = job.first * BATCH_S
        self.lag_s = 0.0
        self._shown_s = self.now_s
        self._job, self._batches = job, batches
        home = Path(job.home)
        settings = load_settings(
            mode="demo",
            overrides={
                "state_dir": home / "state",
                "run_dir": home / "run",
                "portfolio": home / "portfolio.toml",
                "strategies_dir": home / "none",
                "terminal.login": LOGIN,
                "terminal.call_deadline_s": 2.0,
                "terminal.order_deadline_s": 1.0,
                "strategy_hosts.count": 1,
                "strategy_hosts.deadline_s": 5.0,
                "database.embedded": False,
                "database.url": job.database_url,
                "log.level": "warning",
            },
        )
        super().__init__(settings, recorded=recorded, files=[NOISE])

    @property
    def gateway(self) -> Gateway:
        """The gateway."""
        assert self._gateway is not None
        return self._gateway

    @property
    def trader(self) -> Trader:
        """The trader."""
        assert self._trader is not None
        return self._trader

    def strategy_host_pids(self) -> list[int]:
        """Return the strategy hosts' processes."""
        assert self._hosts is not None
        workers = [shard.worker for shard in self._hosts._shards]
        return [worker.child.pid for worker in workers if worker is not None and worker.alive]

    def _open_gateway(self, compiled: CompiledPortfolio, state: StateDir) -> Gateway:
        config = host_config(self.settings, compiled, state.path, self._recorded)
        config = msgspec.structs.replace(
            config, stepped=True, simulated={**config.simulated, "speed": None}
        )
        terminal = self.settings.terminal
        deadlines = Deadlines(read_s=terminal.call_deadline_s, order_s=terminal.order_deadline_s)
        self._gateway = Gateway(config, deadlines, on_market=self._inbox.market)
        self._gateway.start()
        if self._job.first:  # no terminal's time goes back
            self._gateway.control({"op": "advance", "to_ns": self._batches[self._job.first - 1]})
        return self._gateway

    def _make_trader(
        self, compiled: CompiledPortfolio, gateway: Gateway, account: AccountState
    ) -> Trader:
        trader = super()._make_trader(compiled, gateway, account)
        trader.positions._monotonic_s = lambda: self.now_s
        trader.positions._reconciler._monotonic_s = lambda: self.now_s
        trader._router._pause = self.pass_s
        return trader

    def pass_s(self, seconds: float) -> None:
        """Let seconds pass; nothing is hidden by the terminal for longer than `lag_s`."""
        self.now_s += seconds
        if self.lag_s and self.now_s - self._shown_s >= self.lag_s:
            self._shown_s = self.now_s
            patiently(lambda: self.gateway.control({"op": "end_lag"}))

    def step(self, number: int) -> None:
        """Take batch `number`, then look as often as the engine does within a minute."""
        to_s = number * BATCH_S
        self.pass_s(max(0.0, to_s - self.now_s))
        update = patiently(lambda: self.gateway.advance(self._batches[number]))
        self._inbox.market(update)
        for _ in range(3):
            self.turn()
            self.pass_s(LOOK_S)

    def turn(self) -> None:
        """Let the engine's thread make a turn, and look at the terminal in it."""
        self._looked_s = self._settled_s = 0.0
        self._inbox.run(lambda: None)
        try:
            self._turn()
        except Exception as e:  # the engine's own border
            traceback.print_exc()
            tell(turn_failed=f"{type(e).__name__}: {e}")

    def command(self, name: str) -> None:
        """Send a command as a console does, while the engine's thread goes on."""
        with ThreadPoolExecutor(1) as pool, ControlClient(self.settings.socket_path) as client:
            reply = pool.submit(lambda: client.send(new_command(name, now_ns=time.time_ns)))
            while not reply.done():
                self.turn()
        try:
            reply.result()
        except Refused as e:
            tell(refused=str(e))


def patiently(ask: Callable[[], Any]) -> Any:
    """Ask until a host that is being restarted answers."""
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask()
        except BrokerError:
            if time.monotonic() > deadline_s:
                raise


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
            if number < n_steps - N_QUIET:
                self._disturb(number)
            else:
                self._calm(number)
            tell(batch=number)
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


class QuietHosts(InProcessHosts):
    """Strategies in the engine's process, in the place of `StrategyHosts`."""

    def __init__(self, strategies: Any, points: Any, rule: str, *, files: Any, **_: Any) -> None:
        super().__init__(strategies, points, rule, list(files))
        self.files: dict[Path, bytes] = {}
        self.kinds: dict[Path, set[str]] = {}


def outlive() -> None:
    """Let terminal hosts end as on Windows: not with their engine, but once their pipe has closed.

    An order that is being sent when the engine is killed is then executed all the same.
    """
    start = parent._start
    code = (
        "import runpy, engine.child.serve as serve; serve._PR_SET_PDEATHSIG = 3; "
        "runpy.run_module('engine.terminal.host', run_name='__main__')"
    )

    def started(module: str, argv: Any, log_path: Any, env: Any) -> Any:
        if module != "engine.terminal.host":
            return start(module, argv, log_path, env)
        with log_path.open("ab") as log:
            command = [sys.executable, "-P", "-c", code, *argv]
            return parent.spawn(command, stderr=log, env=os.environ | env)

    parent._start = started


def live(job: Job) -> None:
    """Live as the job says."""
    outlive()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    host_link._BACKOFF_FIRST_S = 0.01  # type: ignore[misc]
    host_link._BACKOFF_MOST_S = 0.1  # type: ignore[misc]
    writer.BACKOFF_MIN_S = writer.BACKOFF_MAX_S = 0.05
    database.RETRY_FIRST_S = database.RETRY_MOST_S = 0.05
    if not any(isinstance(a, Kill) and a.target == "strategies" for a in job.plan.actions):
        engine_module.StrategyHosts = QuietHosts  # type: ignore[attr-defined,misc,assignment]
    if job.broken:
        BREAKS[job.broken]()
    Run(job).live()
