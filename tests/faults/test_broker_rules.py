"""What some brokers limit or take away by themselves, and what the engine makes of it."""

from collections.abc import Callable

import numpy as np

from engine.execution.ledger import ClosedTrade
from engine.model.orders import IntentState
from engine.model.reasons import ExitReason
from engine.model.times import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE
from tests.faults.bench import BID, HISTORY, POINT, START_NS, Bench, level_bars
from tests.journals import intents_since

Make = Callable[..., Bench]


def test_a_position_too_many_is_refused_and_nothing_else(make_bench: Make) -> None:
    """10040 drops that entry alone; closing goes on, and the next entry is taken again."""
    bench = make_bench({"a": "LLFF", "b": "LLLFLF"}, account={"limit_positions": 1})
    bench.step(2)
    assert [p.magic >> 32 for p in bench.held] == [1]
    assert bench.said("LIMIT_POSITIONS", "warning")
    assert bench.trader.core.account[0]["trading"] == 0
    bench.check_books()
    bench.step(4)
    assert [p.magic >> 32 for p in bench.held] == []
    refused = intents_since(bench.journal, 0)
    states = [outcome.state for _, outcome in refused if outcome is not None]
    assert states.count(IntentState.REJECTED) >= 1
    assert bench.journal.unsettled() == []
    bench.check_books()
    bench.check_balance()


def test_stops_that_end_with_the_servers_day_are_set_again(make_bench: Make) -> None:
    """A broker of daily orders takes every stop at midnight; the next look puts it back."""
    bars = level_bars()
    midnight_ns = START_NS - START_NS % NS_PER_DAY + 22 * NS_PER_HOUR  # New York + 7 in winter
    bars["time_ns"] += midnight_ns - START_NS - 10 * NS_PER_MINUTE
    now_ns = int(bars["time_ns"][HISTORY])
    older = bars.copy()  # a window begins with the day
    older["time_ns"] -= len(bars) * NS_PER_MINUTE
    bars = np.concatenate([older, bars])
    bench = make_bench({"a": "L"}, bars, broker={"orders": "daily"})
    bench.market_ns = now_ns
    bench.restart_host()
    bench.crash()
    bench.step(2)
    (held,) = bench.held
    assert held.stop > 0.0
    bench.advance(10)
    assert (bench.held[0].stop, bench.held[0].target) == (0.0, 0.0)
    bench.look()
    assert (bench.held[0].stop, bench.held[0].target) == (held.stop, held.target)
    assert bench.said("at the terminal: set to", "warning")
    bench.check_books()


def test_an_order_rejected_after_it_was_placed_is_settled_at_the_next_look(
    make_bench: Make,
) -> None:
    """The history has it as rejected: no half minute of waiting, and nothing is held."""
    bench = make_bench({"a": "LLF"})
    bench.fault(call="order_send", kind="placed")
    bench.step()
    (intent,) = bench.journal.unsettled()
    bench.look()
    found = bench.journal.intent(intent.id)
    assert found is not None
    assert found[1] is not None
    assert found[1].state == IntentState.REJECTED
    assert bench.held == []
    bench.check_books()


def test_a_stop_out_by_money_is_booked_as_one(make_bench: Make) -> None:
    """Its reason, its money, and no doubt about either."""
    bars = level_bars()
    for field in ("open", "high", "low", "close"):
        bars[field][HISTORY + 3 :] = BID - 200 * POINT
    free_ccy = 100_000.0 - 0.5 * 1e5 * BID / 100 - 50.0
    bench = make_bench({"a": "L"}, bars, broker={"margin_so_ccy": free_ccy})
    bench.step(2)
    assert len(bench.held) == 1
    closed: list[ClosedTrade] = []
    bench.trader.positions.on_closed = closed.append
    bench.step(3)
    assert bench.held == []
    assert [trade.reason for trade in closed] == [ExitReason.STOP_OUT]
    bench.check_balance()


def test_a_pause_outlives_a_crash(make_bench: Make) -> None:
    """Neither sooner nor later tried again; an end that an operator gave it stays too."""
    bench = make_bench({"a": "L"})
    bench.fault(call="order_send", kind="retcode", retcode=10018)
    bench.step(2)
    reason = bench.trader.pauses.reason("EURUSD", 1)
    assert "MARKET_CLOSED" in reason
    assert bench.crash() == []
    assert bench.trader.pauses.reason("EURUSD", 1) == reason
    n_intents = bench.journal.last_intent_id()
    bench.step(3)
    assert bench.journal.last_intent_id() == n_intents
    bench.trader.pauses.end("EURUSD")
    bench.trader.save()
    assert bench.crash() == []
    bench.step(1)
    assert len(bench.held) == 1
    bench.check_books()
