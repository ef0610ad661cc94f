"""A turn that throws is not trading as usual: no entries, closes go on, an operator hears of it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engine.decision.saved import load_core
from engine.execution.journal import Outbox
from engine.model.errors import BrokerError
from engine.model.orders import Intent, Outcome
from engine.model.reasons import TradingState
from engine.model.records import AuditRow
from engine.model.times import NS_PER_HOUR
from engine.replay.setup import Recorded
from engine.trading.trader import Trader
from tests.faults.bench import Bench
from tests.faults.campaign.plan import Job, Plan, batches_of
from tests.faults.campaign.stepped import QuietHosts, SteppedEngine
from tests.faults.engine_process import demo_home
from tests.faults.test_controls import audited
from tests.journals import intents_since
from tests.parity.test_generated import FIRST_DAY_NS

Make = Callable[..., Bench]


class Broken(Exception):
    """What no part of the engine expects."""


def breaks(*_: Any, **__: Any) -> Any:
    raise Broken("on purpose")


# ---- the engine's own turn

NOISY = """
[[strategy]]
name = "{name}"
kind = "noise"
symbol = "EURUSD"
params = {{ seed = {seed}, lasts = 3, stops = 0 }}
sizing = {{ method = "fixed_lots", lots = 0.1 }}
"""


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[SteppedEngine]:
    """The engine on stepped time, its strategies in this process, some minutes after its start."""
    monkeypatch.setattr("engine.runtime.engine.StrategyHosts", QuietHosts)
    text = "".join(NOISY.format(name=name, seed=seed) for seed, name in enumerate("abcd"))
    with demo_home(text) as home:
        plan = Plan(
            seed=0,
            portfolio=text,
            market_seed=1,
            from_ns=FIRST_DAY_NS + 36 * NS_PER_HOUR,
            keep_frac=1.0,
            actions=[],
        )
        bars = plan.bars()
        job = Job(
            plan=plan,
            home=str(home),
            database_url="postgresql://nobody@127.0.0.1:1/none",
            database_pid=0,
            first=0,
        )
        batches = batches_of(plan, bars)
        stepped = SteppedEngine(job, batches, Recorded(bars, batches[0]))
        stepped.start()
        try:
            steps = iter(range(len(batches)))
            stepped.next = lambda: stepped.step(next(steps))  # type: ignore[attr-defined]
            for _ in range(8):
                next_step(stepped)
            assert n_held(stepped)
            yield stepped
        finally:
            stepped.stop("test")
            stepped.close()


def next_step(engine: Any) -> None:
    engine.next()


def n_held(engine: SteppedEngine) -> int:
    return int((engine.trader.core.positions["direction"] != 0).sum())


def said(engine: SteppedEngine, text: str) -> bool:
    return any(e.level == "critical" and text in e.text for e in engine.events.newest())


def state(engine: SteppedEngine) -> TradingState:
    return TradingState(int(engine.trader.core.account[0]["trading"]))


def opened(engine: SteppedEngine) -> int:
    assert engine._journal is not None
    return sum(intent.action == "OPEN" for intent, _ in intents_since(engine._journal, 0))


PARTS: dict[str, Callable[[SteppedEngine], Any]] = {
    "trader": lambda engine: engine.trader,
    "positions": lambda engine: engine.trader.positions,
    "publisher": lambda engine: engine._publisher,
    "changes": lambda engine: engine._changes,
    "inbox": lambda engine: engine._inbox,
}


@pytest.mark.parametrize(
    ("part", "method", "step"),
    [
        ("trader", "_move_stops", "a batch"),
        ("trader", "_take_bars", "a batch"),
        ("trader", "_exit", "a batch"),
        ("trader", "_record_closed", "a batch"),
        ("publisher", "keep_equity", "writing a batch down"),
        ("trader", "watch", "marking at new quotes"),
        ("positions", "book_broker_closes", "looking at the terminal"),
        ("publisher", "publish", "making the snapshot"),
        ("changes", "finish", "changing the portfolio"),
    ],
)
def test_a_step_that_fails_lets_nothing_in_and_holds_no_other_step_up(
    engine: SteppedEngine, part: str, method: str, step: str
) -> None:
    """REDUCING at once, HALTED after three in a row, both said, audited and saved; what was due or
    decided is forgotten; `flatten` closes everything."""
    n_opened = opened(engine)
    setattr(PARTS[part](engine), method, breaks)
    next_step(engine)
    assert said(engine, f"{step} failed: Broken: on purpose; no new entries")
    assert state(engine) != TradingState.ACTIVE
    for _ in range(3):
        next_step(engine)
    assert state(engine) == TradingState.HALTED
    assert said(engine, f"{step} failed: Broken: on purpose (3 times in a row); entries halted")
    assert engine.trader.reason == f"{step} failed: Broken: on purpose, 3 times in a row"
    positions = engine.trader.core.positions
    assert not positions["pending_direction"].any()
    assert not positions["due"].any()
    assert saved_state(engine) == TradingState.HALTED
    assert engine._failures.unsaved == ""
    # What was decided before anything failed may still have gone out.
    assert opened(engine) - n_opened <= (4 if step != "a batch" else 0) + (method == "_move_stops")

    n_opened = opened(engine)
    engine.command("flatten")
    if method != "book_broker_closes":  # then the broker's own closes stay unbooked
        assert n_held(engine) == 0
    assert engine.gateway.positions() == []
    next_step(engine)
    assert opened(engine) == n_opened


def saved_state(engine: SteppedEngine) -> TradingState:
    assert engine._journal is not None
    saved = engine._journal.load_core()
    assert saved is not None
    core = engine.trader.compiled.core()
    load_core(core, engine.trader.names, saved.blob)
    return TradingState(int(core.account[0]["trading"]))


def test_an_operator_resumes_and_it_trades_again(engine: SteppedEngine) -> None:
    """What was mended trades after `resume`; a failure in between begins to count anew."""
    trader = engine.trader
    for _ in range(2):
        trader._move_stops = breaks  # type: ignore[method-assign]
        next_step(engine)
        assert state(engine) == TradingState.REDUCING
        del trader._move_stops  # type: ignore[method-assign]
        next_step(engine)
        assert state(engine) == TradingState.REDUCING
        engine.command("resume")
        assert state(engine) == TradingState.ACTIVE
    n_opened = opened(engine)
    while opened(engine) == n_opened:
        next_step(engine)


def orders_off(engine: SteppedEngine) -> Iterator[int]:
    """Yield the batches whose orders were off, of the audit entries that wait for the database."""
    assert engine._journal is not None
    outbox = Outbox(engine._journal.path)
    for entry in outbox.entries(0, 100_000):
        if isinstance(entry.record, AuditRow) and "orders_off_from_ns" in entry.record.details:
            yield entry.record.details["orders_off_from_ns"]
    outbox.close()


def test_an_account_that_cannot_be_read_lets_nothing_in(engine: SteppedEngine) -> None:
    """With nothing held, too: what others hold there, and what has closed, is not known. It is
    said once a while, not at every look, and passes with the first look that succeeds."""
    engine.command("flatten")
    assert n_held(engine) == 0
    engine.command("resume")
    look = engine.trader.positions.book_broker_closes

    def unread(**_: Any) -> Any:
        raise BrokerError("positions_get failed")

    engine.trader.positions.book_broker_closes = unread  # type: ignore[method-assign]
    engine.turn()
    n_opened = opened(engine)
    for _ in range(10):
        next_step(engine)
    assert opened(engine) == n_opened
    assert len(list(orders_off(engine))) == 10  # what the comparison with a backtest reads
    withheld = "no entries while the account cannot be read: positions_get failed"
    assert engine.trader.withheld == withheld
    assert sum(e.text == "positions_get failed" for e in engine.events.newest()) == 1
    assert state(engine) == TradingState.ACTIVE
    engine.trader.positions.book_broker_closes = look  # type: ignore[method-assign]
    while opened(engine) == n_opened:
        next_step(engine)
    assert engine.trader.withheld == ""


def test_a_save_that_fails_is_known(engine: SteppedEngine) -> None:
    """Where the state after a failure is not saved, that is said as well."""
    engine.trader.save = breaks  # type: ignore[method-assign]
    next_step(engine)
    assert engine._failures.unsaved == "Broken: on purpose"
    assert said(engine, "the state is not saved: Broken: on purpose")
    assert state(engine) != TradingState.ACTIVE


def test_a_command_that_fails_inside_is_a_failure_of_the_engine(engine: SteppedEngine) -> None:
    """Half of it may be done: the client hears of it, and no entry follows."""
    engine.trader.limits.change = breaks  # type: ignore[method-assign]
    engine.command("limit")
    assert said(engine, "a command failed: Broken: on purpose; no new entries")
    assert state(engine) == TradingState.REDUCING


def test_a_command_that_is_refused_is_none(engine: SteppedEngine) -> None:
    """An operator's mistake keeps no entry out."""
    engine.command("adopt")
    assert engine._failures.n_total == 0
    assert state(engine) == TradingState.ACTIVE


def test_what_fails_for_good_is_said_ever_less_often(engine: SteppedEngine) -> None:
    """A step that fails at every turn fills neither the events nor the audit trail."""
    engine.trader.watch = breaks  # type: ignore[method-assign]
    for _ in range(20):
        next_step(engine)
    assert engine._failures.n_total >= 20
    assert (
        2 <= sum("Broken" in e.text and e.level == "critical" for e in engine.events.newest()) < 10
    )


# ---- a trader's parts


def test_one_position_that_cannot_be_closed_keeps_no_other_open(make_bench: Make) -> None:
    """The others' closes leave; the failure is raised afterwards."""
    bench = make_bench({"a": "LLLLLL", "b": "SSSSSS"})
    bench.step(2)
    closing = bench.trader._intents.closing
    first = bench.trader.names.slots.index("a/EURUSD")

    def close_all_but_one(slot: int, batch_ns: int) -> Intent:
        return breaks() if slot == first else closing(slot, batch_ns)

    bench.trader._intents.closing = close_all_but_one  # type: ignore[method-assign]
    bench.trader.core.positions["close_reason"] = 1
    with pytest.raises(Broken):
        bench.trader.pursue()
    assert [p.magic >> 32 for p in bench.held] == [1]
    bench.trader._intents.closing = closing  # type: ignore[method-assign]
    bench.trader.pursue()
    assert bench.held == []
    bench.check_books()


@pytest.mark.parametrize("where", ["send", "apply"])
def test_an_order_that_throws_is_unknown_and_the_others_are_booked(
    make_bench: Make, where: str
) -> None:
    """Whatever is raised around one order, the phase's others are sent and booked, and that one is
    looked for until the terminal's evidence settles it."""
    bench = make_bench({"a": "LLLLLL", "b": "SSSSSS"})
    bench.step(2)
    trader = bench.trader
    order_of_a = [p.magic for p in bench.held if p.magic >> 32 == 1]
    sent = []

    def send(attempt: Any, desk: Any) -> str:
        answer = ask(attempt, desk)
        sent.append(attempt.intent.id)
        return breaks() if len(sent) == 1 else answer

    def apply(intent: Intent, outcome: Outcome) -> None:
        sent.append(intent.id)
        if len(sent) == 1:
            breaks()
        take(intent, outcome)

    ask, take = trader._router._ask, trader.positions.apply
    if where == "send":
        trader._router._ask = send  # type: ignore[method-assign]
    else:
        trader.positions.apply = apply  # type: ignore[method-assign]
    trader.core.positions["close_reason"] = 1
    with pytest.raises(Broken):
        trader.pursue()
    assert order_of_a
    assert bench.held == []
    assert int(trader.core.positions["unsettled"].sum()) == 1
    assert int((trader.core.positions["direction"] != 0).sum()) == 1
    bench.look_for_s(40)
    assert not trader.core.positions["direction"].any()
    assert not trader.core.positions["unsettled"].any()
    bench.check_books()
    bench.check_balance()


def test_entries_that_were_decided_when_a_batch_failed_are_forgotten(make_bench: Make) -> None:
    """Nothing of them has left: they fill no exposure, and are decided anew."""
    bench = make_bench({"a": "LLLLLL", "b": "LLLLLL"})
    opening = bench.trader._intents.opening
    bench.trader._intents.opening = breaks  # type: ignore[method-assign]
    with pytest.raises(Broken):
        bench.step(2)
    assert bench.held == []
    positions = bench.trader.core.positions
    assert not positions["pending_direction"].any()
    assert not positions["due"].any()
    bench.trader._intents.opening = opening  # type: ignore[method-assign]
    bench.step(1)
    assert len(bench.held) == 2
    bench.check_books()


def test_a_doubt_and_a_halt_say_once_who_they_are_of(make_bench: Make) -> None:
    """The first reason stands; an operator's halt stands above; each change is audited."""
    bench = make_bench({"a": "LLLL"})
    trader: Trader = bench.trader
    assert trader.doubt("first")
    assert not trader.doubt("second")
    assert trader.reason == "first"
    assert trader.give_up("third")
    assert not trader.give_up("fourth")
    trader.save()
    assert bench.crash() == []
    assert bench.trader.reason == "third"
    states = [d["state"] for d in audited(bench, "RISK_CHECK")]
    assert states == ["REDUCING", "REDUCING", "HALTED"]


def test_strategies_without_a_host_are_said_once_each_time(make_bench: Make) -> None:
    """Nobody takes silence for a signal: who is not evaluated is named, and when he is again."""
    bench = make_bench({"a": "LLLL", "b": "LLLL"})
    for names in ([], ["b"], ["b"], ["a", "b"], ["a"], []):
        bench.trader._say_left_out(names)
    none = "not evaluated, no strategy host in time"
    told = [e.text.partition(";")[0] for e in bench.events.newest() if "evaluated" in e.text]
    assert told == [f"{none}: b", f"{none}: a", "evaluated again: b", "evaluated again: a"]
