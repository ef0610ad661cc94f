"""Kill, halt and flatten: goals that hold over refusals, hangs, crashes and full disks."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.decision import switches
from engine.execution.journal import Outbox
from engine.model.errors import Refused
from engine.model.reasons import ExitReason
from engine.model.records import AuditRow
from engine.views.parts import strategy_views
from engine.views.snapshot import trading_state
from tests.faults.bench import BID, LOTS, POINT, SIZING, Bench, level_bars
from tests.faults.commanding import order
from tests.faults.scripted import HANG

Make = Callable[..., Bench]


def state(bench: Bench) -> tuple[str, str]:
    trader = bench.trader
    return trading_state(
        trader.core, flattening=trader.flattening is not None, reason=trader.reason
    )


def test_a_kill_closes_before_the_next_batch_and_stays(make_bench: Make) -> None:
    """It closes the strategy's position at once, refuses its entries, survives a crash."""
    bench = make_bench({"a": "LLLLFLLFL", "b": "LLLLLLLLL"})
    bench.step(2)

    assert order(bench, "kill", "a").ok
    assert [p.magic >> 32 for p in bench.held] == [2]
    assert bench.crash() == []
    bench.step(5)
    assert [p.magic >> 32 for p in bench.held] == [2]

    order(bench, "enable", "a")
    bench.step()
    assert [p.magic >> 32 for p in bench.held] == [2]
    bench.step()
    assert sorted(p.magic >> 32 for p in bench.held) == [1, 2]
    bench.check_books()


def test_a_kill_is_obeyed_while_a_strategy_hangs(
    make_bench: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The close is sent while the engine still waits for the strategies' answer."""
    hang = tmp_path / "hang"
    monkeypatch.setenv(HANG, str(hang))
    bench = make_bench({"a": "LLLLLLL"})
    bench.step(2)
    hang.touch()
    batch = bench.advance()
    deciding = threading.Thread(target=bench.trader.on_batch, args=(batch,))
    deciding.start()

    switches.kill(bench.trader.core, bench.member("a"))
    bench.trader.urgent.set()
    for _ in range(1000):
        if not bench.held:
            break
    still_hung = deciding.is_alive()
    hang.unlink()
    deciding.join()

    assert still_hung
    assert bench.held == []
    bench.step(3)
    assert bench.held == []
    bench.check_books()


@pytest.mark.parametrize("when", ["before sending", "while it is sent"])
def test_a_kill_during_an_entry_catches_it(make_bench: Make, when: str) -> None:
    """Not sent yet: withdrawn. Under way: closed as soon as it is filled."""
    bench = make_bench({"a": "LLLL"})
    core, member = bench.trader.core, bench.member("a")
    router = bench.trader._router
    if when == "before sending":
        begin = router._begin
        router._begin = lambda intents: (switches.kill(core, member), begin(intents))[1]
    else:
        send = bench.gateway.send
        bench.gateway.send = lambda request: (send(request), switches.kill(core, member))[0]  # type: ignore[method-assign]

    bench.step(3)

    assert bench.held == []
    assert len(bench.deals) == (0 if when == "before sending" else 2)
    bench.check_books()


def test_a_member_s_kill_takes_its_vote_from_an_entry(make_bench: Make) -> None:
    """A book's entry that was decided with a killed member's vote is withdrawn."""
    book = f'[[book]]\nname = "both"\nmembers = {{ a = 1, b = 1 }}\nenter = 0.3\n{SIZING}'
    bench = make_bench({"a": "LLLL", "b": "LLLL"}, extra=book)
    begin = bench.trader._router._begin
    core, member = bench.trader.core, bench.member("a")
    bench.trader._router._begin = lambda intents: (switches.kill(core, member), begin(intents))[1]

    bench.step()
    assert bench.held == []
    bench.trader._router._begin = begin
    bench.step()
    assert len(bench.held) == 1


def test_flatten_is_renewed_until_flat_over_refusals_and_crashes(make_bench: Make) -> None:
    """Refused closes are tried again, less often each time; a crash forgets none."""
    bench = make_bench({"a": "LLLLLLLLLLLLLLL", "b": "SSSSSSSSSSSSSSS"})
    bench.step(2)
    bench.fault(call="order_send", kind="retcode", retcode=10018, count=5)

    goals = [bench.trader.positions.goal(slot) for slot in range(2)]
    assert goals == ["", ""]
    order(bench, "flatten")
    assert len(bench.held) == 2
    goals = [bench.trader.positions.goal(slot) for slot in range(2)]
    assert all(goal.startswith("WAITING till ") and "MARKET_CLOSED" in goal for goal in goals)
    assert state(bench) == ("HALTED", "flattening: 2 left")
    n_sent = bench.journal.last_intent_id()
    for _ in range(20):
        bench.trader.pursue()
    assert bench.journal.last_intent_id() == n_sent, "a refused close is hammered"
    with pytest.raises(Refused, match="still flattening"):
        order(bench, "resume")
    assert bench.crash() == []
    bench.step(6)

    assert bench.held == []
    assert bench.trader.flattening is None
    assert state(bench)[1].startswith("FLAT: ")
    bench.step(2)
    assert bench.held == []
    order(bench, "resume")
    assert not bench.trader.core.account[0]["trading"]
    bench.check_balance()


def test_flatten_waits_for_an_unknown_entry(make_bench: Make) -> None:
    """An entry under way when everything is flattened is closed once it is found."""
    bench = make_bench({"a": "LLLLL"})
    bench.fault(call="order_send", kind="error", code=-10005, when="after")
    bench.step()

    order(bench, "flatten")
    assert bench.trader.flattening is not None
    bench.look()
    bench.look()

    assert bench.held == []
    assert bench.trader.flattening is None
    bench.check_books()


def test_halt_stops_entries_alone(make_bench: Make) -> None:
    """What is held goes on to its exit; entries come back with `resume`, over a crash."""
    bench = make_bench({"a": "LLLF", "b": "FFLLLLLL"})
    bench.step()
    order(bench, "halt")
    assert bench.crash() == []
    bench.step(3)
    assert bench.held == []
    assert len(bench.deals) == 2
    order(bench, "resume")
    bench.step()
    assert len(bench.held) == 1


def test_tier_three_flattens_and_needs_a_rebase(make_bench: Make) -> None:
    """Resuming at a drawdown that would flatten again is refused, not pretended."""
    text = "[risk]\ndrawdown_reduce_frac = 0.001\ndrawdown_stop_entries_frac = 0.002\n"
    text += "drawdown_flatten_frac = 0.003"
    bars = level_bars()
    fallen = bars["time_ns"] >= bars["time_ns"][622]
    for field in ("open", "high", "low", "close"):
        bars[field][fallen] = BID - 1000 * POINT
    bench = make_bench({"a": "L", "b": "L", "c": "L", "d": "LLFL"}, bars, extra=text)
    bench.step(3)
    bench.look()
    assert bench.held == []

    with pytest.raises(Refused, match="rebase"):
        order(bench, "resume")
    order(bench, "resume", "rebase")
    bench.step(3)
    assert [p.lots for p in bench.held] == [LOTS]
    assert bench.trader.core.account[0]["tier"] == 0


def test_a_quarantine_leaves_the_position_protected(make_bench: Make) -> None:
    """A failed member opens nothing more; what it holds keeps its stop at the broker.

    The reason is in the console, the events and the audit.
    """
    bench = make_bench({"a": "LLLL"})
    bench.step(2)
    bench.trader.quarantine_member("a", "broken")
    bench.step(2)
    (view,) = strategy_views(bench.trader)
    assert (view.state, view.detail) == ("QUARANTINED", "broken")
    assert bench.said("quarantined: broken", "error")
    outbox = Outbox(bench.journal.path)
    rows = [entry.record for entry in outbox.entries(0, 100_000)]
    outbox.close()
    details = {"strategy": "a", "quarantined": "broken"}
    assert any(isinstance(r, AuditRow) and r.details == details for r in rows)
    assert [p.stop > 0.0 for p in bench.held] == [True]
    assert bench.slot("a")["close_reason"] == int(ExitReason.NONE)
