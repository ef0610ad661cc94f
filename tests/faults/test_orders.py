"""From decision to broker and back: nothing twice, nothing forgotten, nothing nobody owns."""

import sqlite3
from collections.abc import Callable

import numpy as np
import pytest

from engine.decision import switches
from engine.model.broker import MarketUpdate, Quote
from engine.model.orders import IntentState
from engine.model.reasons import ExitReason
from tests.faults.bench import BID, LOTS, POINT, Bench, level_bars
from tests.journals import intents_since

Make = Callable[..., Bench]
LOST_REPLY = {"call": "order_send", "kind": "error", "code": -10005}


def test_a_lost_reply_is_found_by_its_magic(make_bench: Make) -> None:
    """An order that was executed although its reply was lost becomes the slot's position."""
    bench = make_bench({"a": "L"})
    bench.fault(**LOST_REPLY, when="after")

    bench.step()
    assert bench.slot("a")["unsettled"]
    bench.look()

    assert bench.slot("a")["direction"] == 1
    assert not bench.slot("a")["unsettled"]
    bench.step(5)
    assert len(bench.deals) == 1
    bench.check_books()
    bench.check_balance()


def test_a_deal_that_is_told_twice_is_one(make_bench: Make) -> None:
    """Neither an entry nor the broker's own close counts double."""
    bench = make_bench({"a": "LF"})
    bench.fault(call="history_deals_get", kind="duplicate", count=20)

    bench.step()
    assert bench.slot("a")["lots"] == LOTS
    bench.step()

    assert not bench.slot("a")["direction"]
    bench.check_books()
    bench.check_balance()


def test_an_absent_order_is_believed_after_three_reads_over_thirty_seconds(
    make_bench: Make,
) -> None:
    """Until then the symbol takes no entry of any book, and the order is never sent again."""
    bench = make_bench({"a": "L", "b": "FFS"})
    bench.fault(**LOST_REPLY, when="before")

    bench.step()
    magic = bench.journal.unsettled()[0].magic
    bench.look_for_s(25)
    bench.step(3)
    assert bench.slot("a")["unsettled"]
    assert bench.deals == []
    assert bench.said("withdrawn")

    bench.look_for_s(10)
    assert not bench.slot("a")["unsettled"]
    bench.step()
    assert {p.direction for p in bench.held} == {1, -1}
    assert magic not in {d.magic for d in bench.deals}
    bench.check_books()


def test_a_terminal_without_its_server_proves_no_absence(make_bench: Make) -> None:
    """What a disconnected terminal does not show may still be under way."""
    bench = make_bench({"a": "L"})
    bench.fault(**LOST_REPLY, when="before")
    bench.step()
    bench.gateway.control({"op": "set_switches", "connected": False})

    bench.look_for_s(120)
    assert bench.slot("a")["unsettled"]

    bench.gateway.control({"op": "set_switches", "connected": True})
    bench.look_for_s(40)
    assert not bench.slot("a")["unsettled"]


def test_an_order_that_appears_late_is_closed(make_bench: Make) -> None:
    """Declared not executed, it shows up after all: its intent gets it, and it is closed."""
    bench = make_bench({"a": "LF"})
    bench.fault(**LOST_REPLY, when="before")
    bench.step()
    late = bench.journal.unsettled()[0]
    bench.look_for_s(40)
    bench.step(2)
    assert not bench.slot("a")["unsettled"]

    bench.by_hand(1, late.lots, magic=late.magic)
    assert bench.crash() == []
    bench.look()

    assert bench.held == []
    assert bench.said("executed after all", "critical")
    bench.check_balance()
    found = bench.journal.intent(late.id)
    assert found is not None
    assert found[1] is not None
    assert found[1].state == IntentState.DONE


def test_a_hung_order_call_stalls_nothing_but_itself(make_bench: Make) -> None:
    """The host is killed and replaced, the order found, and the others go on."""
    bench = make_bench({"a": "LLLF", "b": "FFL"})
    bench.fault(call="order_send", kind="delay", when="after")

    bench.step()
    assert bench.slot("a")["unsettled"]
    bench.look()
    bench.step(2)

    assert sorted(p.direction for p in bench.held) == [1, 1]
    bench.check_books()
    bench.step()
    assert [p.lots for p in bench.held] == [LOTS]
    bench.check_books()
    bench.check_balance()


@pytest.mark.parametrize("margin_mode", ["hedging", "netting"])
def test_a_position_the_broker_closed_first_is_booked_and_not_reversed(
    make_bench: Make, margin_mode: str
) -> None:
    """It goes between our decision and our order: no limbo, no position in the other direction."""
    bench = make_bench({"a": "LLF"}, margin_mode=margin_mode)
    bench.step(2)
    ticket = bench.held[0].ticket
    bench.trader.on_mark = lambda _: (
        bench.by_hand(-1, LOTS, position=ticket) if bench.held else None
    )

    bench.step()
    assert bench.held == []
    bench.look()

    assert bench.slot("a")["direction"] == 0
    bench.step(3)
    assert bench.held == []
    assert len(bench.deals) == 2
    bench.check_balance()


def test_a_stop_beside_an_unknown_close_is_booked_as_a_stop(make_bench: Make) -> None:
    """The closing order's fate is plain once the broker's own deal has closed the position."""
    bench = make_bench({"a": "LLLLF"}, level_bars(at_4=BID - 300 * POINT))
    closed = []
    bench.trader.positions.on_closed = closed.append
    bench.step(4)
    bench.trader.pursue()
    bench.fault(**LOST_REPLY, when="before")
    switches.kill(bench.trader.core, bench.member("a"))
    bench.trader.pursue()
    assert bench.slot("a")["unsettled"]

    bench.advance()
    bench.look()
    bench.look()

    assert [trade.reason for trade in closed] == [ExitReason.STOP]
    assert bench.slot("a")["direction"] == 0
    assert not bench.slot("a")["unsettled"]
    bench.check_balance()


def test_entries_do_not_go_out_on_old_quotes(make_bench: Make) -> None:
    """A batch that reached the engine minutes late closes what it must and opens nothing."""
    bench = make_bench({"a": "LLF", "b": "FFL"})
    bench.step(2)
    stale = bench.advance()
    bench.advance(3)

    bench.trader.on_batch(stale)

    assert bench.held == []
    assert bench.said("too late for its quote")
    bench.step()
    assert [p.magic >> 32 for p in bench.held] == [2]
    bench.check_books()


def test_an_exit_in_a_missed_bar_becomes_a_goal(make_bench: Make) -> None:
    """What strategies left while nobody could trade is closed; what they entered is not opened."""
    bench = make_bench({"a": "LLFL", "b": "FFLF"})
    bench.step(2)
    missed = bench.advance()
    bars = {name: np.frombuffer(raw, bench.bars.dtype) for name, raw in missed.bars.items()}

    bench.trader.catch_up(missed.batch_ns, bars)
    bench.trader.pursue()

    assert bench.held == []
    assert len(bench.deals) == 2
    bench.check_books()


def test_no_id_is_used_again_after_the_journal_is_lost(make_bench: Make) -> None:
    """The terminal's evidence keeps magics unique where the journal cannot."""
    bench = make_bench({"a": "LFLFLFLF"})
    bench.step(3)
    bench.journal.close()
    for path in bench.work.glob("journal.sqlite*"):
        path.unlink()

    complaints = bench.start()

    assert [c for c in complaints if "nobody here owns it" in c]
    switches.resume(bench.trader.core)
    bench.step(5)
    sent = [d.magic for d in bench.deals if d.magic]
    assert len(sent) == len(set(sent)) > 4


def test_a_bad_quote_is_not_taken(make_bench: Make) -> None:
    """A tick without an ask must not become anybody's profit."""
    bench = make_bench({"a": "S"})
    bench.step()
    account = bench.trader.core.account[0]

    def see(ask: float) -> float:
        quote = Quote("EURUSD", bench.market_ns, BID, ask)
        bench.trader.watch(MarketUpdate(market_ns=bench.market_ns, batch_ns=0, quotes=[quote]))
        return float(account["equity_ccy"])

    equity = see(BID + 8 * POINT)
    assert equity < 100_000.0
    assert [see(ask) for ask in (0.0, np.nan)] == [equity, equity]


def test_algo_trading_switched_off_halts_entries(make_bench: Make) -> None:
    """A refusal of all trading is an alert and a halt, not a retry at every bar."""
    bench = make_bench({"a": "L", "b": "L"})
    bench.gateway.control({"op": "set_switches", "algo_trading": False})

    bench.step(3)

    assert bench.said("CLIENT_DISABLES_AT", "critical")
    assert bench.trader.core.account[0]["trading"]
    assert bench.journal.last_intent_id() == 2


class FullDisk:
    """A journal that cannot be written: another connection holds it."""

    def __init__(self, bench: Bench) -> None:
        self._journal = bench.journal
        self._other = sqlite3.connect(bench.journal.path, isolation_level=None)

    def __enter__(self) -> None:
        self._journal._db.execute("PRAGMA busy_timeout=0")
        self._other.execute("BEGIN IMMEDIATE")

    def __exit__(self, *_: object) -> None:
        self._other.execute("ROLLBACK")
        self._other.close()


def test_without_a_journal_nothing_opens_and_everything_closes(make_bench: Make) -> None:
    """Entries stop, exits and kills go out, and once it can be written it tells the whole story."""
    bench = make_bench({"a": "LLF", "b": "LLLLLLLL", "c": "FFLLLL"})
    bench.step(2)
    with FullDisk(bench):
        bench.step()
        assert sorted(p.magic >> 32 for p in bench.held) == [2]
        switches.kill(bench.trader.core, bench.member("b"))
        bench.trader.pursue()
        assert bench.held == []
        assert bench.said("nothing was written", "critical")
    bench.step(2)

    assert sorted(p.magic >> 32 for p in bench.held) == [3]
    assert bench.crash() == []
    bench.check_books()
    bench.check_balance()
    intents = intents_since(bench.journal, 0)
    assert [i.id for i, _ in intents] == list(range(1, len(intents) + 1))
    closes = [o for i, o in intents if i.action == "CLOSE"]
    assert [o.state for o in closes if o] == [IntentState.DONE] * 2
