"""The engine's process: killed at any moment, asked to stop, hung up, started twice."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.decision.saved import Names, load_core
from engine.execution.journal import Journal
from engine.model.views.snapshot import Snapshot
from engine.portfolio.compile import compile_portfolio
from engine.portfolio.file import read_portfolio
from engine.terminal.simulated.broker.ledger import SimLedger
from engine.terminal.simulated.module.constants import DEAL_REASON_SL as SL
from engine.terminal.simulated.module.constants import DEAL_REASON_TP as TP
from tests.faults.engine_process import busy_portfolio, demo_home, engine, until


@pytest.fixture
def home() -> Iterator[Path]:
    """A busy portfolio at 600 times, without a database: trading needs none."""
    with demo_home(busy_portfolio()) as path:
        yield path


def last_seq(snapshot: Snapshot) -> int:
    return snapshot.events[-1].seq if snapshot.events else 0


@pytest.mark.timeout(300)
def test_kill_9_at_any_moment_doubles_and_forgets_nothing(home: Path) -> None:
    """After each restart broker and engine hold the same; no entry was ever sent twice."""
    rng = np.random.default_rng(11)
    for _ in range(4):
        with engine(home) as process:
            begun = last_seq(until(lambda s: len(s.positions) > 2, home))
            n_more = int(rng.integers(5, 40))
            until(lambda s, seq=begun + n_more: last_seq(s) > seq, home)  # type: ignore[misc]
            process.kill()
            process.wait(10)

    with engine(home) as process:
        seen = until(lambda s: len(s.positions) > 2, home)
        assert {p.owner for p in seen.positions}.isdisjoint({"EXTERNAL"})
        assert not [e for e in seen.events if e.level == "critical"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0

    ledger = SimLedger(home / "demo" / "broker.sqlite")
    entries = [deal.magic for deal in ledger.deals() if deal.magic and deal.entry == 0]
    assert len(entries) > 30
    assert len(entries) == len(set(entries))
    held = {p.identifier for p in ledger.positions()}
    believed, unsent = believed_tickets(home)
    assert unsent.isdisjoint(deal.magic for deal in ledger.deals())
    assert held <= believed
    # Stops and targets that were hit after the engine's last look are booked at its next start.
    by_itself = {d.position_id for d in ledger.deals() if d.reason in (SL, TP)}
    assert believed - held <= by_itself


def believed_tickets(home: Path) -> tuple[set[int], set[int]]:
    """Return the tickets of what the saved state holds, and the magics of unsettled intents."""
    compiled = compile_portfolio(read_portfolio(home / "portfolio.toml"))
    core = compiled.core()
    names = Names(
        [s.name for s in compiled.symbols],
        [f"{s.book.name}/{s.symbol}" for s in compiled.slots],
        [s.name for s in compiled.strategies],
    )
    journal = Journal(home / "demo" / "journal.sqlite")
    saved = journal.load_core()
    # Written down but not sent when the engine was killed: nothing of it may be at the broker.
    unsent = {intent.magic for intent in journal.unsettled()}
    journal.close()
    assert saved is not None
    assert load_core(core, names, saved.blob) == []
    return {int(p["ticket"]) for p in core.positions if p["direction"] != 0}, unsent


@pytest.mark.timeout(300)
def test_hanging_up_is_ignored_a_second_engine_refused_and_a_stop_is_clean(home: Path) -> None:
    """SIGHUP stops nothing; the second engine ends with one line; SIGTERM ends with code 0."""
    with engine(home) as process:
        seen = until(lambda s: len(s.positions) > 0, home)
        os.kill(process.pid, signal.SIGHUP)
        second = subprocess.run(
            [sys.executable, "-P", "-m", "pmpro_tui.launch.tui", "--daemon", "--demo"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert second.returncode != 0
        assert "another engine uses this state directory" in second.stderr
        assert len(second.stderr.splitlines()) == 1
        until(lambda s: s.market_ns > seen.market_ns, home)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
