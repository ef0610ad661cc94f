"""A scripted engine behind a real control server."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.control.client import ControlClient
from engine.control.messages import Actor
from engine.control.server import ControlServer
from engine.model.errors import Unanswered
from engine.model.times import NS_PER_S
from engine.model.views.details import Detail, Question, Rules, RulesOf
from engine.model.views.snapshot import Command, EventView, Reply, RiskView, Snapshot

START_NS = 1_790_000_000 * NS_PER_S


def make_snapshot(version: int = 1, **changes: object) -> Snapshot:
    fields: dict[str, object] = {
        "version": version,
        "mode": "demo",
        "account": 1001,
        "server": "Sim",
        "currency": "USD",
        "state": "ACTIVE",
        "state_reason": "",
        "connected": True,
        "taken_ns": START_NS,
        "market_ns": START_NS,
        "data_age_s": 0.1,
        "speed": 60.0,
        "latency_ms": 2.0,
        "journal_backlog": 0,
        "database": "ok",
        "strategies": (),
        "positions": (),
        "risk": RiskView(
            balance_ccy=1e5,
            equity_ccy=1e5,
            high_water_ccy=1e5,
            drawdown_frac=0.0,
            drawdown_limits_frac=(0.04, 0.08, 0.12),
            tier=0,
            pnl_today_ccy=0.0,
            gross_exposure_frac=0.0,
            gross_exposure_max_frac=30.0,
            margin_frac=0.0,
            margin_level_frac=24.0,
        ),
        "equity_points": (),
        "events": tuple(
            EventView(seq=n, time_ns=START_NS, level="info", source="engine", text=f"event {n}")
            for n in range(1, version + 1)
        ),
    }
    return Snapshot(**(fields | changes))  # type: ignore[arg-type]


class ScriptedEngine:
    """Stands where the engine stands: publishes a snapshot, counts what it executes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now_ns = START_NS
        self.current = make_snapshot()
        self.executed: list[tuple[Command, Actor]] = []
        self.refusals: list[tuple[Command, Actor, str]] = []
        self.clients: list[ControlClient] = []
        self.gate = threading.Event()
        self.gate.set()
        self.person: Callable[[str], str | None] | None = None
        self.server = self.new_server()

    def new_server(self, **options: Any) -> ControlServer:
        return ControlServer(
            self.path,
            snapshot=lambda: self.current,
            execute=self._execute,
            refused=lambda *refusal: self.refusals.append(refusal),
            answer=self._answer,
            now_ns=lambda: self.now_ns,
            person=self.person,
            **options,
        )

    def client(self, **options: Any) -> ControlClient:
        """Return a client that the fixture closes."""
        self.clients.append(ControlClient(self.path, **options))
        return self.clients[-1]

    def _answer(self, question: Question) -> Detail:
        if isinstance(question, RulesOf):
            return Rules(slots=())
        raise Unanswered("no samples yet")

    def _execute(self, command: Command, actor: Actor) -> Reply:
        self.executed.append((command, actor))
        assert self.gate.wait(20)
        return Reply(ok=True, text=f"{command.name} {command.target} #{len(self.executed)}")
