"""The console's keys on a real terminal, through the real socket, to a real engine, by role."""

import os
import pwd
import re
import time
from collections.abc import Iterator

import pytest

from engine.model.views.details import AuditOf
from engine.model.views.snapshot import Snapshot
from tests.console.terminal import Terminal
from tests.whole.operated import FIRST_DAY, LAST_DAY, Operated, operated

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def engine() -> Iterator[Operated]:
    with operated() as running:
        running.until("in the market", lambda s: s.positions and s.database == "ok")
        yield running


def console(role: str = "") -> Terminal:
    keep = {k: v for k, v in os.environ.items() if k.startswith(("PMPRO_", "HOME", "XDG_"))}
    options = ["--as", role] if role else []
    terminal = Terminal(["-m", "pmpro_tui.launch.tui", "--demo", *options], env=keep)
    terminal.read_until("solo-eur")
    return terminal


def state_of(snapshot: Snapshot, name: str) -> str:
    return next(s.state for s in snapshot.strategies if s.name == name)


def held(snapshot: Snapshot, owner: str) -> bool:
    return any(p.owner == owner for p in snapshot.positions)


def leave(terminal: Terminal) -> None:
    terminal.press("q")
    assert terminal.wait() == 0


def test_a_viewer_sees_and_every_key_is_refused(engine: Operated) -> None:
    """Whatever is pressed, nothing changes; the screens that ask are answered."""
    with console("viewer") as viewer:
        viewer.read_until("READ-ONLY")
        for key in ("K", "X"):
            viewer.press(key)
            viewer.read_until("read-only")
        viewer.press("4")
        viewer.read_until("solo-eur/EURUSD")
        viewer.press("5n")
        viewer.read_until("read-only")
        viewer.press("6")
        viewer.read_until("✓ ")  # of an audit entry
        leave(viewer)
    now = engine.until("unharmed", lambda s: s)
    assert now.state == "ACTIVE"
    assert not now.jobs


def weights_of(snapshot: Snapshot) -> list[float]:
    return [round(strategy.weight_frac, 9) for strategy in snapshot.strategies]


def test_an_operator_kills_enables_halts_and_tests_but_neither_resumes_nor_sets_limits(
    engine: Operated,
) -> None:
    """K closes at once, e brings back, X halts, n launches; what adds risk is refused by role."""
    with console("operator") as operator:
        engine.until("in the market", lambda s: held(s, "solo-eur"))
        operator.press("1gK")
        operator.read_until("killed solo-eur")
        killed = engine.until("closed", lambda s: not held(s, "solo-eur") and s)
        assert state_of(killed, "solo-eur") == "KILLED"
        operator.read_until("KILLED")
        operator.press("e")
        operator.read_until("enabled solo-eur")
        engine.until("back", lambda s: state_of(s, "solo-eur") != "KILLED")

        operator.press("2gw")
        operator.read_until("Share of solo-eur")
        operator.press("60%\r")
        operator.read_until("solo-eur has 60.0% of the account")
        engine.until("shared", lambda s: weights_of(s) == [0.6, 0.4])

        operator.press("4gl")
        operator.read_until("Set drawdown_reduce_frac")
        operator.press("0.05\r")
        operator.read_until("Raise a limit?")
        operator.press("limit\r")
        operator.read_until("needs role admin")

        operator.press("5n")
        operator.read_until("Launch a backtest")
        operator.press(f"\r\r{FIRST_DAY}\r{LAST_DAY}\r\r\r\r")
        operator.read_until("queued")
        job = engine.until("done", lambda s: s.jobs and s.jobs[0].ended_ns and s.jobs[0])
        assert (job.state, job.by) == ("DONE", login()), job.text
        operator.read_until("✓ DONE")

        operator.press("X")
        operator.read_until("entries halted")
        operator.read_until("HALTED")
        operator.press("r")
        operator.read_until("Resume trading?")
        operator.press("resume\r")
        operator.read_until("needs role admin")
        leave(operator)
    now = engine.until("a snapshot", lambda s: s)
    assert now.state == "HALTED"
    assert now.risk.limits["drawdown_reduce_frac"] == 0.04
    assert now.control.refused["role"] >= 2


def login() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def test_an_admin_resumes_sets_a_limit_acknowledges_flattens_and_all_of_it_is_audited(
    engine: Operated,
) -> None:
    """r and l with their words, ctrl+x with y; the trail shows who did what."""
    with console() as admin:
        engine.send("halt")
        admin.read_until("HALTED")
        admin.press("r")
        admin.read_until("Resume trading?")
        admin.press("resume\r")
        admin.read_until("entries resumed")
        engine.until("active", lambda s: s.state == "ACTIVE")

        admin.press("4gl")
        admin.read_until("Set drawdown_reduce_frac")
        admin.press("0.05\r")
        admin.read_until("Raise a limit?")
        admin.press("limit\r")
        admin.read_until("drawdown_reduce_frac is 0.05")
        engine.until("set", lambda s: s.risk.limits["drawdown_reduce_frac"] == 0.05)

        engine.until("raised", lambda s: any(a.source == "limit" for a in s.alerts))
        admin.press("7")
        admin.read_until("Alerts 1")
        admin.press("a")
        seen = engine.until("seen", lambda s: [a for a in s.alerts if a.acked_by])
        assert [(a.source, a.acked_by) for a in seen] == [("limit", login())]

        engine.until("in the market", lambda s: s.positions)
        admin.press("\x18")
        admin.read_until("Flatten everything?")
        admin.press("y")
        admin.read_until("flattening")
        engine.until("flat", lambda s: not s.positions and s.state == "HALTED")
        admin.press("6")
        admin.read_until("flatten")
        leave(admin)
    wanted = ("resume", "limit", "flatten")
    page = engine.detail(
        AuditOf(event_type="COMMAND", status="SUCCESS"),
        lambda p: all(any(f'"{w}"' in e.details for e in p.entries) for w in wanted) and p,
    )
    assert {e.actor for e in page.entries if '"flatten"' in e.details} == {login()}
    assert engine.send("resume").ok


def slow_in_the_market(engine: Operated) -> None:
    """Let the clock go slowly while something is held, so that it is still held when asked for."""
    for _ in range(20):
        engine.until("in the market", lambda s: s.positions)
        assert engine.send("speed", value=1.0).ok
        if engine.until("slow", lambda s: s.speed == 1.0 and s).positions:
            return
        assert engine.send("speed", value=600.0).ok
    pytest.fail("nothing stays in the market")


def test_one_position_is_closed_and_a_strategy_tells_its_trades(engine: Operated) -> None:
    """x closes what the question named and nothing else; enter shows what the engine answers."""
    engine.until("active", lambda s: s.state == "ACTIVE")
    with console("operator") as operator:
        slow_in_the_market(engine)
        operator.press("3g")
        operator.read_until("solo-")
        operator.press("x")
        operator.read_until("Close 1 position?")
        operator.read_until("esc: cancel")
        ticket = int(next(iter(re.findall(r"(\d{5,}) \S+ \S+ (?:BUY|SELL)", operator.text))))
        operator.press("y")
        operator.read_until(f"closing position {ticket}")
        engine.until("closed", lambda s: all(p.ticket != ticket for p in s.positions))
        engine.until("told", lambda s: any("closed by operator" in e.text for e in s.events))
        operator.press("2g\r")
        operator.read_until("✓ yes")
        assert engine.send("speed", value=600.0).ok
        leave(operator)


def test_a_key_acts_at_once_on_a_screen_that_asks(engine: Operated) -> None:
    """Looking through the past holds up no halt, and what it did stands in the log below."""
    engine.until("active", lambda s: s.state == "ACTIVE")
    with console() as admin:
        admin.press("6")
        admin.read_until("Audit")
        began_s = time.monotonic()
        admin.press("X")
        admin.read_until("entries halted")
        assert time.monotonic() - began_s < 2.0
        leave(admin)
