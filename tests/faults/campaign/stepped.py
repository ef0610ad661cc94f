"""The engine of the product on stepped time: batches come one by one, its seconds are counted."""

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from engine.child import parent
from engine.control.client import ControlClient, new_command
from engine.hosts.in_process import InProcessHosts
from engine.model.broker import AccountState
from engine.model.errors import BrokerError, Refused
from engine.portfolio.compile import CompiledPortfolio
from engine.replay.setup import Recorded
from engine.runtime.engine import Engine
from engine.runtime.state_dir import StateDir
from engine.runtime.terminal_start import host_config
from engine.settings.settings import load_settings
from engine.terminal.gateway import Deadlines, Gateway
from engine.trading.trader import Trader
from tests.faults.campaign.plan import LOGIN, Job
from tests.parity.live import NOISE

BATCH_S, LOOK_S = 60.0, 5.0
PATIENCE_S = 30.0


def tell(**fact: Any) -> None:
    """Say what happened."""
    sys.stdout.write(msgspec.json.encode(fact).decode() + "\n")
    sys.stdout.flush()


def patiently(ask: Callable[[], Any]) -> Any:
    """Ask until a host that is being restarted answers."""
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask()
        except BrokerError:
            if time.monotonic() > deadline_s:
                raise


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
        n_before = self._failures.n_total
        self._turn()
        if self._failures.n_total > n_before:
            tell(turn_failed=self._failures.last)

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


class QuietHosts(InProcessHosts):
    """Strategies in the engine's process, in the place of `StrategyHosts`."""

    def __init__(self, strategies: Any, points: Any, rule: str, *, files: Any, **_: Any) -> None:
        super().__init__(strategies, points, rule, list(files))
        self.files: dict[Path, bytes] = {}
        self.kinds: dict[Path, set[str]] = {}


def outlive() -> None:
    """Let terminal hosts end as on Windows: not with their engine, but once their pipe has closed.

    An order that is being sent when the engine is killed is then executed all the same. A host
    tries to reconnect after moments: its pauses are seconds of this box, of which a run has few.
    """
    start = parent._start
    code = (
        "import runpy, engine.child.serve as serve, engine.terminal.host.watcher as watcher; "
        "serve._PR_SET_PDEATHSIG = 3; "
        "watcher._RECONNECT_FIRST_S, watcher._RECONNECT_MOST_S = 0.01, 0.1; "
        "runpy.run_module('engine.terminal.host.process', run_name='__main__')"
    )

    def started(module: str, argv: Any, log_path: Any, env: Any) -> Any:
        if module != "engine.terminal.host.process":
            return start(module, argv, log_path, env)
        with log_path.open("ab") as log:
            command = [sys.executable, "-P", "-c", code, *argv]
            return parent.spawn(command, stderr=log, env=os.environ | env)

    parent._start = started
