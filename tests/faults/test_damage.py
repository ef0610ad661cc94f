"""A journal whose bytes change under a running engine: no entries, closes go on, all is said."""

import sqlite3
from collections.abc import Callable

import pytest

from engine.execution.journal import Outbox
from engine.model.errors import JournalError, StateError
from engine.model.reasons import TradingState
from tests.faults.bench import Bench

Make = Callable[..., Bench]


def change(bench: Bench, statement: str) -> None:
    """Change rows in the file behind the engine's back."""
    with sqlite3.connect(bench.journal.path) as other:
        other.execute(statement)
    other.close()


def check_shut(bench: Bench) -> None:
    """Nothing may enter, and the operator sees why and what to do."""
    assert bench.trader.core.account[0]["trading"] == TradingState.REDUCING
    assert "damaged in use" in bench.trader.reason
    assert bench.said("no entries; stop the engine, restore the file", "critical")


def test_an_intent_that_changed_lets_nothing_in_and_everything_out(make_bench: Make) -> None:
    """The outcome of the changed one is not written over it; what is held is closed; a start
    refuses the file."""
    bench = make_bench({"a": "LLLLF", "b": "FL", "c": "FFFLLL"})
    bench.step()
    bench.fault(call="order_send", kind="error", when="after")
    bench.step()
    (unsettled,) = bench.journal.unsettled()
    change(bench, f"UPDATE intents SET created_ns = created_ns + 1 WHERE id = {unsettled.id}")
    bench.look()
    bench.step()
    check_shut(bench)
    n_entries = sum(d.entry == 0 for d in bench.deals)
    bench.step(4)
    assert [p.magic >> 32 for p in bench.held] == [2]
    assert sum(d.entry == 0 for d in bench.deals) == n_entries
    with pytest.raises(StateError, match="damaged journal"):
        bench.crash()


def test_a_damaged_row_for_the_database_lets_nothing_in(make_bench: Make) -> None:
    """The writer finds it; the engine's next step knows; an operator's resume opens nothing."""
    bench = make_bench({"a": "FL"})
    outbox = Outbox(bench.journal.path, on_damage=bench.journal.found_damage)
    bench.step()
    change(bench, "UPDATE outbox SET positions = 1 - positions WHERE seq = 1")
    with pytest.raises(JournalError):
        outbox.entries(0, 100)
    outbox.close()
    bench.trader.save()
    check_shut(bench)
    bench.trader.core.account[0]["trading"] = TradingState.ACTIVE
    bench.step(2)
    assert bench.held == []
    assert bench.said("withdrawn before sending")
