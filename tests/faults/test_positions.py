"""What the terminal does by itself or by another hand is noticed, booked, or left alone."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from engine.decision import switches
from engine.execution.terminal import Terminal
from engine.model.broker import BrokerPosition
from engine.model.reasons import ExitReason
from engine.terminal.gateway import Gateway
from tests.faults.bench import BID, LOTS, POINT, Bench, level_bars

Make = Callable[..., Bench]


def test_a_position_opened_by_hand_is_shown_and_never_touched(make_bench: Make) -> None:
    """EXTERNAL: kill, flatten and a restart leave it, also while nothing of ours is held."""
    bench = make_bench({"a": "LF"})
    ticket = bench.by_hand(-1, 0.3)

    bench.look()
    assert [p.ticket for p in bench.trader.positions.external] == [ticket]
    bench.step(3)
    switches.kill(bench.trader.core, bench.member("a"))
    bench.trader.flattening = ExitReason.FLATTEN
    bench.look()
    assert bench.crash() == []
    bench.step(2)

    assert [p.ticket for p in bench.held] == [ticket]
    bench.by_hand(1, 0.3, position=ticket)
    bench.look()
    assert bench.trader.positions.external == ()


@pytest.mark.parametrize("after", [1, 2, 3, 4])
def test_a_start_balances_whenever_a_position_closes_beside_it(
    make_bench: Make, after: int
) -> None:
    """What closes between two looks of a start is no difference: evidence is of one moment."""
    bench = make_bench({"a": "LLLLLL"})
    bench.step(2)
    ticket = bench.held[0].ticket

    class Moving:
        """The terminal; right after its n-th answer of positions a hand closes ours."""

        def __init__(self, gateway: Gateway) -> None:
            self._gateway = gateway
            self._reads = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(self._gateway, name)

        def positions(self) -> list[BrokerPosition]:
            found = self._gateway.positions()
            self._reads += 1
            if self._reads == after:
                bench.by_hand(-1, LOTS, position=ticket)
            return found

    bench.terminal = lambda gateway: cast(Terminal, Moving(gateway))
    assert bench.crash() == []
    bench.look()
    bench.look()
    bench.look()

    assert bench.held == []
    bench.check_books()
    assert not bench.trader.core.account[0]["trading"]


def test_a_part_closed_by_hand_is_booked(make_bench: Make) -> None:
    """Volume, money and the trade's result are right, whatever is closed by whom, over a crash."""
    bench = make_bench({"a": "LLLLLLF"})
    closed = []
    bench.step(2)
    bench.by_hand(-1, 0.2, position=bench.held[0].ticket)
    bench.look()
    assert bench.slot("a")["lots"] == pytest.approx(LOTS - 0.2)
    assert bench.said("0.2 lots closed", "error")
    bench.check_books()
    bench.by_hand(-1, 0.1, position=bench.held[0].ticket)
    assert bench.crash() == []
    bench.check_books()

    bench.trader.positions.on_closed = closed.append
    bench.step(5)

    assert bench.held == []
    bench.check_balance()
    deals = bench.deals
    assert [d.lots for d in deals] == [LOTS, 0.2, 0.1, pytest.approx(0.2)]
    assert closed[0].profit_ccy == pytest.approx(
        sum(d.profit_ccy + d.commission_ccy for d in deals)
    )
    assert not bench.trader.core.account[0]["trading"]


def test_volume_that_no_deal_explains_halts_entries(make_bench: Make) -> None:
    """On a netting account another hand adds to our position: told, halted, and left as it is."""
    bench = make_bench({"a": "LLLLLLLL"}, margin_mode="netting")
    bench.step(2)
    bench.by_hand(1, 0.2)

    bench.look()
    assert not bench.trader.core.account[0]["trading"]
    bench.look_for_s(60)

    assert bench.trader.core.account[0]["trading"]
    assert sum("no deal says why" in e.text for e in bench.events.newest()) == 1
    assert [p.lots for p in bench.held] == [pytest.approx(LOTS + 0.2)]
    assert [c for c in bench.crash() if "at the terminal" in c]


def test_a_terminal_that_shows_a_close_late_is_not_misread(make_bench: Make) -> None:
    """Positions and deals that lag behind an order make neither limbo nor a second order."""
    bench = make_bench({"a": "LLFFFL"})
    bench.fault(call="order_send", kind="lag", delay_s=0.4, count=3)

    bench.step(6)
    bench.look()

    assert [d.entry for d in bench.deals] == [0, 1, 0]
    bench.check_books()
    bench.check_balance()


def test_stops_hit_while_the_engine_was_away_are_booked_at_the_start(make_bench: Make) -> None:
    """A restart knows what the broker did meanwhile, and the slot is spent as after any stop."""
    bench = make_bench({"a": "LLLLLLLLLLL"}, level_bars(at_4=BID - 300 * POINT))
    bench.step(2)
    bench.advance(5)

    assert bench.crash() == []

    assert bench.slot("a")["direction"] == 0
    assert bench.slot("a")["spent"]
    bench.step(3)
    assert bench.held == []
    bench.check_balance()


def test_a_terminal_host_killed_at_any_time_changes_no_trade(make_bench: Make) -> None:
    """The bars, and so the signals and the trades, are those of an undisturbed day."""
    import os
    import signal

    bench = make_bench({"a": "LLFSSFLLSSLF", "b": "SLSLSLSLSLSL"})
    for minute in range(12):
        if minute in (2, 5, 9):
            os.kill(bench.gateway.host_pid, signal.SIGKILL)
        bench.step()

    opened = [(d.magic >> 32, d.direction) for d in bench.deals if d.entry == 0]
    assert [d for book, d in opened if book == 1] == [1, -1, 1, -1, 1]
    assert [d for book, d in opened if book == 2] == [-1, 1] * 6
    bench.check_books()
    bench.check_balance()
