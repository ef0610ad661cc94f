"""What takes a book's entries is said and undone by a person; refused orders take nothing."""

from collections.abc import Callable

import pytest

from engine.control.messages import Actor
from engine.model.broker import OrderResult
from engine.model.errors import NotSent
from engine.model.reasons import Refusal
from engine.model.views.snapshot import Command
from engine.notify.records import AlertRule
from engine.notify.rules import Rulebook
from engine.runtime.inbox import Inbox
from tests.faults.bench import Bench
from tests.faults.commanding import commands_of, order
from tests.faults.test_controls import audited
from tests.faults.test_orders import LOST_REPLY

Make = Callable[..., Bench]

TWICE = "[risk]\nrepeated_max = 2\nbook_orders_per_day_max = 3\n"
REJECT = {"call": "order_send", "kind": "retcode", "retcode": 10006}


def never_sent(_request: object) -> OrderResult:
    raise NotSent("the pipe is gone")


@pytest.mark.parametrize("answer", ["refused", "withdrawn", "never sent"])
def test_orders_that_were_not_executed_bar_nothing(make_bench: Make, answer: str) -> None:
    """However often: no entry was repeated, and when the broker takes one it is the first."""
    bench = make_bench({"a": "L" * 20}, extra=TWICE)
    if answer == "refused":
        bench.fault(**REJECT, count=12)
    elif answer == "withdrawn":
        bench.trader._policy.allowed = lambda intent: False  # type: ignore[method-assign]
    else:
        bench.gateway.send = never_sent  # type: ignore[method-assign]
    bench.step(12)
    slot = bench.slot("a")
    assert bench.held == []
    assert (slot["barred"], slot["repeated"], slot["orders_today"]) == (0, 0, 0)
    if answer == "withdrawn":
        del bench.trader._policy.allowed
    elif answer == "never sent":
        del bench.gateway.send
    bench.gateway.control({"op": "clear_faults"})
    bench.step(3)
    assert len(bench.held) == 1
    assert (bench.slot("a")["repeated"], bench.slot("a")["orders_today"]) == (1, 1)


def test_an_order_of_unknown_outcome_counts_until_it_is_disproved(make_bench: Make) -> None:
    """While it may have been executed it is one of the book's entries of the day."""
    bench = make_bench({"a": "L" * 9})
    bench.fault(**LOST_REPLY, when="before")
    bench.step()
    assert (bench.slot("a")["unsettled"], bench.slot("a")["pending_direction"]) == (1, 1)
    bench.look_for_s(40)
    assert (bench.slot("a")["unsettled"], bench.slot("a")["pending_direction"]) == (0, 0)
    assert bench.slot("a")["orders_today"] == 0


def test_a_restart_knows_that_an_order_may_have_been_executed(make_bench: Make) -> None:
    """The engine dies right after sending: what was sent counts, and is found."""
    bench = make_bench({"a": "L" * 9})
    bench.fault(**LOST_REPLY, when="after")
    bench.step()
    bench.crash()
    bench.look()
    assert len(bench.held) == 1
    assert bench.slot("a")["orders_today"] == 1


def alternating(n: int) -> str:
    return "LF" * n


def barred(make_bench: Make) -> Bench:
    bench = make_bench({"a": alternating(12)}, extra=TWICE)
    bench.step(12)
    return bench


def test_a_barred_book_is_an_event_an_alert_and_an_audit_entry(make_bench: Make) -> None:
    """Once, critical: who, which rule, how much where how much is the most, and what lifts it."""
    bench = barred(make_bench)
    assert bench.slot("a")["barred"] == Refusal.REPEATED
    said = [e for e in bench.events.newest() if e.source == "a" and "no more entries" in e.text]
    assert [(e.level, e.text) for e in said] == [
        (
            "critical",
            "no more entries: REPEATED in EURUSD, 3 where 2 is the most; `enable a` lifts it",
        )
    ]
    for rules in ((), (AlertRule(name="others", level="error", source="terminal"),)):
        assert Rulebook(rules).match(said[0]) is not None, (
            "it raises an alert, whatever is asked for"
        )
    (row,) = [d for d in audited(bench, "RISK_CHECK") if "barred" in d]
    assert (row["book"], row["barred"], row["value"], row["limit"]) == ("a", "REPEATED", 3.0, 2.0)


def test_who_enables_a_barred_book_is_told_and_written_down(make_bench: Make) -> None:
    """The bar goes with a name, and the book enters again; a second `enable` lifts nothing."""
    bench = barred(make_bench)
    bench.trader.core.limits["repeated_max"] = 100.0
    reply = order(bench, "enable", "a")
    assert "REPEATED of a is lifted" in reply.text
    assert bench.said("REPEATED is lifted by root", "warning")
    assert {"book": "a", "lifted": "REPEATED"} in audited(bench, "RISK_CHECK")
    assert "lifted" not in order(bench, "enable", "a").text
    bench.step(4)
    assert bench.slot("a")["orders_today"] > 2


@pytest.mark.parametrize(
    ("name", "target", "needs"),
    [
        ("enable", "a", True),
        ("enable", "b", False),
        ("enable", "EURUSD", False),
        ("enable", "nobody", False),
        ("allocate", "b", True),
        ("disable", "a", False),
        ("kill", "a", False),
    ],
)
def test_a_bar_and_a_share_are_a_named_persons_to_change(
    make_bench: Make, name: str, target: str, needs: bool
) -> None:
    """Where a desk has personal tokens: what takes risk away never asks who is there."""
    bench = make_bench({"a": "F", "b": "F"})
    bench.trader.core.positions[0]["barred"] = int(Refusal.REPEATED)
    command = Command(id="1", name=name, target=target)  # type: ignore[arg-type]
    assert commands_of(bench, Inbox()).needs_person(command) is needs


def test_closes_and_moved_stops_use_up_the_throttle(make_bench: Make) -> None:
    """Entry, close and each change of a stop take a token; none of them is kept from leaving."""
    bars_per_minute = "[risk]\norders_per_minute_max = 2\nsymbol_orders_per_minute_max = 2\n"
    bench = make_bench({"a": "LLLL", "b": "LLLL", "c": "LLLL"}, extra=bars_per_minute)
    bench.step()
    assert len(bench.held) == 2
    assert bench.slot("c")["refusal"] == Refusal.THROTTLE
    order(bench, "flatten")
    assert bench.held == []
    assert bench.trader.core.account[0]["tokens"] == 0.0
    assert bench.trader.core.quotes[0]["tokens"] == 0.0


def test_a_late_execution_counts_as_the_entry_that_it_was(make_bench: Make) -> None:
    """Declared not executed, executed after all: it was one of the day's entries."""
    bench = make_bench({"a": "L" * 9})
    bench.fault(**LOST_REPLY, when="before")
    bench.step()
    late = bench.journal.unsettled()[0]
    bench.look_for_s(40)
    n_before = int(bench.slot("a")["orders_today"])
    bench.by_hand(1, late.lots, magic=late.magic)
    bench.look()
    assert bench.slot("a")["orders_today"] == n_before + 1


def test_the_actor_of_a_lifted_bar_is_the_person_where_known(make_bench: Make) -> None:
    """A shared login says nothing: the token's owner stands in the event."""
    bench = barred(make_bench)
    alice = Actor(uid=0, user="desk", role="admin", person="alice")
    order(bench, "enable", "a", actor=alice)
    assert bench.said("lifted by alice", "warning")
