"""The whole product on a real terminal: console, engine, hosts, simulated broker, PostgreSQL."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from engine.control.client import ControlClient, new_command
from engine.model.errors import ControlError
from engine.model.times import NS_PER_MINUTE
from engine.model.views.snapshot import Snapshot
from engine.settings.settings import load_settings
from engine.terminal.simulated.broker.ledger import SimLedger
from pmpro_tui.cli.database import open_database
from tests.console.terminal import REPO, Terminal
from tests.whole.operated import PORTFOLIO, remove_database

DEADLINE_S = 90.0
CONSOLE = ["-m", "pmpro_tui.launch.tui", "--demo"]
TABLES = ("strategies", "strategy_signals", "trades", "positions", "portfolio_metrics", "orders")
# Solo strategies that are nearly always in the market, so that there is something to kill.
TRADED = (
    PORTFOLIO
    + """
[[strategy]]
name = "solo-aud"
kind = "ma_cross"
symbol = "AUDUSD"
params = { fast = 30, slow = 90, stop_points = 3000 }
sizing = { risk_frac = 0.001 }
"""
)


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state directory of a short name with a portfolio; what runs there is ended afterwards."""
    path = Path(tempfile.mkdtemp(prefix="pm", dir="/var/tmp"))
    (path / "portfolio.toml").write_text(TRADED, encoding="utf-8")
    monkeypatch.setenv("PMPRO_STATE_DIR", str(path))
    monkeypatch.setenv("PMPRO_PORTFOLIO", str(path / "portfolio.toml"))
    yield path
    with contextlib.suppress(ControlError), client() as control:
        control.send(new_command("stop", now_ns=time.time_ns))
    remove_database(load_settings(mode="demo"))
    shutil.rmtree(path, ignore_errors=True)


def client() -> ControlClient:
    return ControlClient(load_settings(mode="demo").socket_path)


def until(what: str, found: Callable[[Snapshot], Any]) -> Any:
    """Poll the engine until `found` returns something true; return it."""
    end_s = time.monotonic() + DEADLINE_S
    last: Snapshot | None = None
    while time.monotonic() < end_s:
        with contextlib.suppress(ControlError), client() as control:
            last = control.snapshot()
            if last is not None and (answer := found(last)):
                return answer
        time.sleep(0.05)
    raise AssertionError(f"never {what}: {last and (last.state, last.positions, last.events[-5:])}")


def held(snapshot: Snapshot) -> dict[str, int]:
    return {p.owner: p.ticket for p in snapshot.positions}


def state_of(snapshot: Snapshot, name: str) -> str:
    return next(s.state for s in snapshot.strategies if s.name == name)


def engine_pid() -> int:
    with client() as control:
        return control.connect().pid


def pmpro(*words: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pmpro_tui.cli.main", *words, "--mode", "demo", "--json"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(REPO)},
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def console() -> Terminal:
    keep = {k: v for k, v in os.environ.items() if k.startswith(("PMPRO_", "HOME", "XDG_"))}
    return Terminal(CONSOLE, env=keep)


@pytest.mark.timeout(300)
def test_a_demo_lives_through_its_console_a_kill_and_kill_9(home: Path) -> None:
    """A dropped line and ctrl+z leave it trading; K closes at once and is audited; kill -9 loses
    no position, forgets no kill and sends no order twice.
    """
    with console() as first:
        first.read_until("solo-eur", DEADLINE_S)
        until("in the market", lambda s: len(s.positions) == 3)
        first.press("\x1a")
        first.wait_stopped()
        seen = until("trading", lambda s: s)
        until("trading on while stopped", lambda s: s.market_ns > seen.market_ns + NS_PER_MINUTE)
    # The terminal is closed now: SIGHUP. The engine goes on.
    seen = until("trading", lambda s: s)
    until("trading on without a terminal", lambda s: s.market_ns > seen.market_ns + NS_PER_MINUTE)
    pid = engine_pid()

    with console() as second:
        second.read_until("solo-eur", DEADLINE_S)
        assert engine_pid() == pid
        before = until("in the market", lambda s: "solo-eur" in held(s) and s)
        second.press("K")
        gone = until("closed", lambda s: "solo-eur" not in held(s) and s)
        assert state_of(gone, "solo-eur") == "KILLED"
        assert gone.market_ns - before.market_ns < 5 * NS_PER_MINUTE
        second.press("q")
        assert second.wait() == 0
    later = until("on", lambda s: s.market_ns > gone.market_ns + 8 * NS_PER_MINUTE and s)
    assert "solo-eur" not in held(later)

    until("in the database", lambda s: s.database == "ok" and s.journal_backlog <= 2)
    with open_database(load_settings(mode="demo")) as database, database.connect() as connection:
        for table in TABLES:
            n_rows = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
            assert n_rows > 0, f"nothing in {table}"
    kills = [
        e["details"]
        for e in pmpro("audit", "tail")["entries"]
        if e["event_type"] == "COMMAND" and e["details"]["command"] == "kill"
    ]
    assert [k["target"] for k in kills] == ["solo-eur"]
    assert pmpro("audit", "verify")["first_broken_id"] is None

    tickets = held(until("in the market", lambda s: len(s.positions) == 2 and s))
    os.kill(pid, signal.SIGKILL)
    with console() as third:
        third.read_until("solo-eur", DEADLINE_S)
        back = until("back", lambda s: s.state == "ACTIVE" and len(s.positions) > 0 and s)
        assert state_of(back, "solo-eur") == "KILLED"
        assert any(tickets[owner] == ticket for owner, ticket in held(back).items())
        until("trading again", lambda s: s.market_ns > back.market_ns + 3 * NS_PER_MINUTE)
        third.press("q")
        third.wait()

    pmpro("stop", "--yes")
    ledger = SimLedger(home / "demo" / "broker.sqlite")
    entries = [deal.magic for deal in ledger.deals() if deal.magic and deal.entry == 0]
    assert len(entries) == len(set(entries))
