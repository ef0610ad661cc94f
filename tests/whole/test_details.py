"""Details and launched backtests over the real socket of a real engine with its database."""

import contextlib
import math
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from engine.model.errors import Unanswered, UserError
from engine.model.jobs import BacktestSpec, JobView, Variant
from engine.model.views.details import (
    AuditOf,
    AuditPage,
    BacktestOf,
    BacktestsOf,
    Correlations,
    OrderDetail,
    Orders,
    OrdersOf,
    RecordOf,
    RulesOf,
    StrategyOf,
)
from engine.model.views.snapshot import Snapshot
from engine.runtime.jobs import WAITING_MAX
from pmpro_tui.jobs.backtest import NICENESS
from tests.processes import all_ended
from tests.whole.operated import FIRST_DAY, LAST_DAY, Operated, operated

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def engine() -> Iterator[Operated]:
    with operated(DEMO__START="2026-01-13T18:00:00Z") as running:  # a day ends at 22:00
        running.until("in the market", lambda s: s.positions and s.database == "ok")
        yield running


def spec(**changes: object) -> str:
    fields: dict[str, object] = {"from_day": FIRST_DAY, "to_day": LAST_DAY}
    return msgspec.json.encode(BacktestSpec(**(fields | changes))).decode()  # type: ignore[arg-type]


def job(snapshot: Snapshot, job_id: int) -> JobView | None:
    return next((j for j in snapshot.jobs if j.id == job_id), None)


def ended(engine: Operated, text: str) -> JobView:
    """Launch and return the job when it has ended."""
    reply = engine.send("backtest", text=text, role="operator")
    assert reply.ok, reply.text
    number = int(reply.text.split()[1])
    found: JobView = engine.until(
        f"job {number} ended", lambda s: (j := job(s, number)) and j.ended_ns and j
    )
    return found


def test_rules_are_those_of_the_last_decision(engine: Operated) -> None:
    """Every slot that decided shows its rules with value, limit and headroom, for a viewer too."""
    said = engine.detail(RulesOf(slot="solo-eur/EURUSD"), lambda rules: rules.rules and rules)
    assert [slot.name for slot in said.slots] == ["solo-eur/EURUSD", "solo-jpy/USDJPY"]
    by_name = {rule.name: rule for rule in said.rules}
    margin = by_name["margin"]
    assert margin.headroom == margin.limit - margin.value
    assert margin.ok is (margin.value <= margin.limit)
    assert 0 < said.slots[0].used_frac < 1
    assert by_name[said.slots[0].nearest].value > 0
    assert said.slots[0].decided_ns > 0
    assert engine.ask(RulesOf(), role="viewer").rules == ()  # type: ignore[union-attr]
    with pytest.raises(UserError, match="no book trades"):
        engine.ask(RulesOf(slot="nothing/NONE"))


def test_a_day_is_compared_with_its_backtest(engine: Operated) -> None:
    """The demo's fast market ends a server day: its trades are judged, every gap has words."""
    said = engine.detail(StrategyOf(name="solo-eur"), lambda told: told.parity and told)
    day = said.parity[0]
    assert day.from_ns < day.to_ns
    assert day.n_trades > 10
    assert day.n_alike + len(day.gaps) == day.n_trades
    assert day.n_alike > day.n_trades / 2
    assert all(gap.what and gap.why for gap in day.gaps)
    engine.until("told", lambda s: any(e.source == "parity" for e in s.events))


def test_correlations_are_of_all_symbols(engine: Operated) -> None:
    """The matrix is square and symmetric, 1 on its diagonal, NaN where nothing is known."""
    said = engine.detail(Correlations(), lambda answer: answer)
    assert set(said.symbols) >= {"EURUSD", "USDJPY"}
    for a, row in enumerate(said.matrix):
        assert row[a] == 1.0
        for b, value in enumerate(row):
            other = said.matrix[b][a]
            assert value == other or (math.isnan(value) and math.isnan(other))


def test_a_strategy_and_an_order_are_told_to_the_bottom(engine: Operated) -> None:
    """A strategy's trade leads to its order: size, rules, votes, signals, deals and result."""
    told = engine.detail(
        StrategyOf(name="solo-eur"), lambda d: d.signals and any(t.exit_ns for t in d.trades) and d
    )
    assert told.database == "ok"
    assert told.params == {"fast": 5, "slow": 20, "stop_points": 3000}
    assert [vote.strategy for vote in told.votes] == ["solo-eur"]
    trade = next(t for t in told.trades if t.exit_ns)
    assert trade.share_frac == 1.0
    order = engine.ask(RecordOf(order=trade.order)).order  # type: ignore[union-attr]
    assert order.book == "solo-eur"
    assert order.deal
    assert order.close_deal
    assert all(rule.ok for rule in order.rules)
    assert len(order.rules) == 34
    assert order.votes[0].entry_share == 1.0
    assert order.signals[0].time_ns <= order.time_ns
    assert order.parts == {"solo-eur": pytest.approx(trade.profit_ccy)}
    assert "closed by" in order.result
    with pytest.raises(UserError, match="no strategy"):
        engine.ask(StrategyOf(name="nobody"))
    with pytest.raises(UserError, match="no order 3"):
        engine.ask(RecordOf(order=3))


def test_a_position_leads_to_the_order_that_opened_it(engine: Operated) -> None:
    """What the console asks with a position's ticket: its order, decision and votes."""

    def found(s: Snapshot) -> OrderDetail | None:
        for position in s.positions:
            with contextlib.suppress(UserError):  # its row is on its way to the database
                order = engine.ask(RecordOf(order=position.ticket)).order  # type: ignore[union-attr]
                if order is not None and order.deal:
                    assert (order.book, order.symbol) == (position.owner, position.symbol)
                    assert (order.action, order.direction) == ("OPEN", position.direction)
                    assert order.price == position.entry_price
                    return order
        return None

    order = engine.until("the order of a position", found)
    assert order.rules
    assert order.votes


def test_the_audit_log_is_paged_and_filtered(engine: Operated) -> None:
    """Pages meet without a gap; a filter finds commands, refused ones too, with who and why."""
    for number in range(3):
        assert not engine.send("disable", f"nobody-{number}", role="operator").ok
    assert not engine.send("resume", role="operator").ok
    assert not engine.send("kill", "solo-eur", role="viewer").ok
    refused = AuditOf(pattern="needs role|nobody-", event_type="COMMAND", status="FAILED")
    page: AuditPage = engine.detail(refused, lambda p: len(p.entries) >= 5 and p)
    results = " ".join(entry.details for entry in page.entries)
    assert "resume needs role admin" in results
    assert "kill needs role operator" in results
    last = engine.ask(msgspec.structs.replace(refused, limit=2))
    assert isinstance(last, AuditPage)
    assert last.older
    before = engine.ask(msgspec.structs.replace(refused, limit=2, before_id=last.entries[0].id))
    assert isinstance(before, AuditPage)
    assert before.entries == page.entries[-4:-2]
    assert before.newer
    forward = engine.ask(msgspec.structs.replace(refused, after_ns=page.entries[0].time_ns))
    assert isinstance(forward, AuditPage)
    assert forward.entries == page.entries
    orders = engine.ask(OrdersOf())
    assert isinstance(orders, Orders)
    assert [o.id for o in orders.entries] == sorted(o.id for o in orders.entries)
    later = engine.ask(OrdersOf(after_id=orders.entries[-2].id))
    assert orders.entries[-1] in later.entries  # type: ignore[union-attr]
    with pytest.raises(Unanswered, match="regular expression"):
        engine.ask(AuditOf(pattern="("))
    whole = engine.ask(RecordOf(audit_id=page.entries[0].id))
    assert whole.audit == page.entries[0]  # type: ignore[union-attr]


def test_a_backtest_is_launched_stored_and_compared(engine: Operated) -> None:
    """It runs in a niced child, is stored with its curve, and costs change its result."""
    plain = ended(engine, spec())
    assert plain.state == "DONE", plain.text
    dear = ended(engine, spec(variant=Variant(symbols=("EURUSD",), commission_per_lot_ccy=50.0)))
    assert dear.state == "DONE", dear.text
    stored = engine.ask(BacktestsOf())
    assert [view.id for view in stored.stored] == [dear.result_id, plain.result_id]  # type: ignore[union-attr]
    assert stored.portfolios == ("portfolio.toml",)  # type: ignore[union-attr]
    one, other = (engine.ask(BacktestOf(id=j.result_id)) for j in (plain, dear))
    assert one.view.symbols == ("EURUSD", "USDJPY")  # type: ignore[union-attr]
    assert other.view.symbols == ("EURUSD",)  # type: ignore[union-attr]
    assert other.view.total_return_frac < one.books["solo-eur"] / 100_000  # type: ignore[union-attr]
    assert one.made_of["data_hash"] != other.made_of["data_hash"]  # type: ignore[union-attr]
    for told in (one, other):
        times = [at for at, _ in told.equity]  # type: ignore[union-attr]
        assert times == sorted(times)
        assert 100 < len(times) <= 400


def test_what_cannot_be_tested_is_said(engine: Operated) -> None:
    """A wrong period, portfolio, symbol or text is refused, or fails with the reason."""
    for text, words in (
        (spec(from_day="2018-03-09", to_day="2018-03-05"), "must be before"),
        (spec(portfolio="../portfolio.toml"), "no portfolio"),
        (spec(from_day="yesterday"), "is no date"),
        ("{}", "no backtest"),
    ):
        reply = engine.send("backtest", text=text)
        assert not reply.ok
        assert words in reply.text
    assert "no job 99" in engine.send("cancel", "99").text
    failed = ended(engine, spec(variant=Variant(symbols=("XAUUSD",))))
    assert (failed.state, failed.text) == ("FAILED", "no strategy trades XAUUSD: EURUSD, USDJPY")
    late = ended(engine, spec(from_day="2020-01-01", to_day="2020-02-01"))
    assert late.state == "FAILED"
    assert "no bar from" in late.text


def children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that ends has none
            found += map(int, (task / "children").read_text().split())
    return found


def backtest_children(engine: Operated) -> list[int]:
    return [
        pid
        for pid in children(engine.process.pid)
        if b"pmpro_tui.jobs.backtest" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def test_one_runs_the_others_wait_and_any_is_cancelled(engine: Operated) -> None:
    """Jobs are bounded; a cancelled one ends at once with its process, the next one begins."""
    numbers = [int(engine.send("backtest", text=spec()).text.split()[1]) for _ in range(3)]
    pids = engine.until(
        "running",
        lambda s: (j := job(s, numbers[0])) and j.state == "RUNNING" and backtest_children(engine),
    )
    assert len(pids) == 1
    niceness = min(os.getpriority(os.PRIO_PROCESS, engine.process.pid) + NICENESS, 19)
    engine.until("niced", lambda s: os.getpriority(os.PRIO_PROCESS, pids[0]) == niceness)
    os.kill(pids[0], signal.SIGSTOP)  # it would be done too soon
    engine.until("waiting", lambda s: (j := job(s, numbers[1])) and j.state == "WAITING")
    more = [engine.send("backtest", text=spec()) for _ in range(WAITING_MAX)]
    assert [reply.ok for reply in more] == [True] * (WAITING_MAX - 2) + [False] * 2
    assert "wait already" in more[-1].text
    for number in (numbers[1], *(int(reply.text.split()[1]) for reply in more if reply.ok)):
        assert engine.send("cancel", str(number), role="operator").ok
    assert not engine.send("cancel", str(numbers[0]), role="viewer").ok
    began_s = time.monotonic()
    assert engine.send("cancel", str(numbers[0]), role="operator").ok
    engine.until("gone", lambda s: pids[0] not in backtest_children(engine))
    assert time.monotonic() - began_s < 5.0
    last = engine.until("done", lambda s: (j := job(s, numbers[2])) and j.ended_ns and s)
    states = [job(last, number).state for number in numbers]  # type: ignore[union-attr]
    assert states == ["CANCELLED", "CANCELLED", "DONE"]


def test_a_database_that_hangs_is_an_answer_within_the_deadline(engine: Operated) -> None:
    """While the server is stopped questions are told so in time; nobody else notices."""
    server = [
        pid
        for pid in children(engine.process.pid)
        if b"postgres" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    everything = [pid for one in server for pid in (one, *children(one))]
    for pid in everything:
        os.kill(pid, signal.SIGSTOP)
    try:
        for _ in range(4):
            began_s = time.monotonic()
            with pytest.raises(Unanswered, match="the database cannot tell"):
                engine.ask(AuditOf())
            assert time.monotonic() - began_s < 5.0
        told = engine.ask(StrategyOf(name="solo-eur"))
        assert told.database != "ok"  # type: ignore[union-attr]
        assert told.votes  # type: ignore[union-attr]
        seen = engine.until("a snapshot", lambda s: s)
        engine.until("trading on", lambda s: s.market_ns > seen.market_ns)
    finally:
        for pid in everything:
            os.kill(pid, signal.SIGCONT)
    engine.detail(AuditOf(), lambda page: page.entries)


def test_a_backtest_ends_with_the_engine(engine: Operated) -> None:
    """However the engine ends, no child of its computes on. The last test: it kills it."""
    assert engine.send("backtest", text=spec()).ok
    pids = engine.until("running", lambda s: backtest_children(engine))
    engine.process.kill()
    engine.process.wait(10)
    assert all_ended(pids, within_s=10.0), "it computes on"
