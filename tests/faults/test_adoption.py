"""A position of others becomes a book's own by an operator's word, and by nothing else."""

from collections.abc import Callable

import pytest

from engine.model.errors import Refused, UserError
from engine.model.reasons import ExitReason
from tests.faults.bench import BID, POINT, Bench, level_bars
from tests.faults.commanding import order

Make = Callable[..., Bench]


@pytest.mark.parametrize("margin_mode", ["hedging", "netting"])
def test_what_is_adopted_is_held_and_closed_as_the_book_s_own(
    make_bench: Make, margin_mode: str
) -> None:
    """Over a restart too; a part that a hand closes is booked, and the money adds up."""
    bench = make_bench({"a": "FFLLLLF"}, margin_mode=margin_mode)
    closed = []
    ticket = bench.by_hand(1, 0.3)
    bench.step(2)

    reply = order(bench, "adopt", str(ticket), text="a")
    assert reply.ok
    assert bench.trader.positions.external == ()
    bench.check_books()
    bench.look_for_s(10)
    bench.by_hand(-1, 0.1, position=ticket)
    bench.look()
    assert bench.slot("a")["lots"] == pytest.approx(0.2)
    assert bench.crash() == []
    bench.trader.positions.on_closed = closed.append

    bench.step(5)
    assert bench.held == []
    assert [(t.reason, t.opened.lots) for t in closed] == [(ExitReason.SIGNAL, 0.3)]
    assert not bench.trader.core.account[0]["trading"]
    account = bench.trader.core.account[0]
    assert account["balance_ccy"] + account["external_ccy"] == pytest.approx(
        bench.gateway.account().balance_ccy
    )


def test_a_book_that_wants_none_closes_what_it_adopted(make_bench: Make) -> None:
    """It decides at its next bar, as on its own."""
    bench = make_bench({"a": "FFFF"})
    ticket = bench.by_hand(-1, 0.3)
    bench.step()
    order(bench, "adopt", str(ticket), text="a")
    assert bench.slot("a")["direction"] == -1
    bench.step()
    assert bench.held == []


def test_its_stop_stays_its_stop(make_bench: Make) -> None:
    """The levels come along, and what the broker closes by them is booked as that."""
    bench = make_bench({"a": "LLLLLLLLL"}, level_bars(at_5=BID - 300 * POINT))
    ticket = bench.by_hand(1, 0.3)
    [held] = bench.held
    assert bench.gateway.modify(held, BID - 200 * POINT, BID + 900 * POINT).retcode == 10009
    order(bench, "adopt", str(ticket), text="a")
    assert bench.slot("a")["stop"] == pytest.approx(BID - 200 * POINT)
    assert bench.slot("a")["target"] == pytest.approx(BID + 900 * POINT)
    closed = []
    bench.trader.positions.on_closed = closed.append
    bench.step(7)
    bench.look()
    assert [trade.reason for trade in closed] == [ExitReason.STOP]


def test_what_cannot_be_adopted_is_refused(make_bench: Make) -> None:
    """A book's own, what is not there, an unknown book, a book that holds something."""
    bench = make_bench({"a": "LLLL", "b": "FFFF"})
    bench.step(2)
    mine = bench.held[0].ticket
    ticket = bench.by_hand(1, 0.3)
    for target, book, why, error in (
        (str(mine), "b", "no EXTERNAL position", UserError),
        ("17", "b", "no EXTERNAL position 17", UserError),
        (str(ticket), "c", "no book 'c' trades EURUSD", UserError),
        (str(ticket), "A", "no book 'A' trades EURUSD, did you mean 'a'", UserError),
        (str(ticket), "a", "holds a position already", Refused),
    ):
        with pytest.raises(error, match=why):
            order(bench, "adopt", target, text=book)
    assert [p.ticket for p in bench.trader.positions.external] == [ticket]
    bench.check_books()
