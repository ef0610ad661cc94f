"""What the terminal does by itself or by another hand is noticed, booked, or left alone."""

from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest

from engine.decision import switches
from engine.execution.journal import Outbox
from engine.execution.terminal import Terminal
from engine.model.broker import BrokerPosition, OrderRequest
from engine.model.reasons import ExitReason
from engine.model.records import PositionsRow
from engine.runtime.engine import Engine
from engine.settings.settings import load_settings
from engine.terminal.gateway import Gateway
from engine.terminal.simulated.broker.ledger import SimLedger
from engine.views.rows import add_batch_rows
from tests.faults.bench import BID, LOTS, POINT, Bench, level_bars
from tests.journals import intents_since

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


def test_a_stopped_engine_leaves_the_positions_there_are(make_bench: Make) -> None:
    """What closed after the last batch is not among the rows that PostgreSQL keeps."""
    bench = make_bench({"a": "LLL"})
    bench.step(2)
    add_batch_rows(bench.trader)
    bench.by_hand(-1, LOTS, position=bench.held[0].ticket)

    Engine(load_settings(mode="demo"))._finish(bench.trader)

    outbox = Outbox(bench.journal.path)
    (left,) = (e.record for e in outbox.entries(0, 1000) if isinstance(e.record, PositionsRow))
    outbox.close()
    assert bench.held == []
    assert left.positions == []


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


@pytest.mark.parametrize("executed", [True, False])
def test_a_kill_at_an_entry_forgets_no_close_before_it(make_bench: Make, executed: bool) -> None:
    """What the broker had closed is booked first, whether or not the slot's next entry went out."""
    bench = make_bench({"a": "LLSSSS"})
    bench.step(2)
    bench.by_hand(-1, LOTS, position=bench.held[0].ticket)

    class Killed(BaseException):
        """As `kill -9`: nothing after it happens."""

    class Killing:
        """The terminal; the engine ends while it sends."""

        def __getattr__(self, name: str) -> Any:
            return getattr(bench.gateway, name)

        def send(self, request: OrderRequest) -> None:
            if executed:
                bench.gateway.send(request)
            raise Killed

    bench.trader._router._terminal = cast(Terminal, Killing())
    with pytest.raises(Killed):
        bench.step()
    assert bench.crash() == []
    bench.look_for_s(40)

    assert [p.direction for p in bench.held] == [-1] * executed
    assert not bench.slot("a")["unsettled"]
    assert list(bench.trader.positions.ledger.open) == ["a/EURUSD"] * executed
    bench.check_books()
    bench.check_balance()


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


def test_volume_beyond_a_book_s_own_is_external(make_bench: Make) -> None:
    """On a netting account what another hand adds is shown and counted, never closed by us."""
    bench = make_bench({"a": "LLLLLLFFL"}, margin_mode="netting")
    bench.step(2)
    bench.by_hand(1, 0.2)
    bench.look()

    assert [p.lots for p in bench.trader.positions.external] == [pytest.approx(0.2)]
    assert bench.trader.core.quotes["external_lots"][0] == pytest.approx(0.2)
    assert bench.slot("a")["lots"] == LOTS
    bench.look_for_s(30)
    assert bench.crash() == []
    assert [p.lots for p in bench.trader.positions.external] == [pytest.approx(0.2)]

    bench.step(5)
    assert [p.lots for p in bench.held] == [pytest.approx(0.2)]
    assert bench.slot("a")["direction"] == 0
    bench.look()
    bench.step(3)
    assert [p.lots for p in bench.held] == [pytest.approx(0.2)], "an entry would change theirs"
    assert "others hold EURUSD" in bench.trader.pauses.reason("EURUSD", 1)
    assert not bench.trader.core.account[0]["trading"]


@pytest.mark.parametrize(
    ("taken", "ours", "theirs"), [(0.1, LOTS, 0.1), (0.2, LOTS, 0.0), (0.4, LOTS - 0.2, 0.0)]
)
def test_a_hand_takes_its_own_lots_first(
    make_bench: Make, taken: float, ours: float, theirs: float
) -> None:
    """What is taken off a shared position is others' before it is ours, and money goes along."""
    bench = make_bench({"a": "LLLLLLLLLLF"}, margin_mode="netting")
    bench.step(2)
    bench.by_hand(1, 0.2)
    bench.look()
    bench.by_hand(-1, taken)
    bench.look()

    assert bench.slot("a")["lots"] == pytest.approx(ours)
    assert sum(p.lots for p in bench.trader.positions.external) == pytest.approx(theirs)
    bench.look_for_s(30)
    assert not bench.trader.core.account[0]["trading"]
    account = bench.trader.core.account[0]
    assert account["balance_ccy"] + account["external_ccy"] == pytest.approx(
        bench.gateway.account().balance_ccy
        + sum(p.profit_ccy for p in bench.trader.positions.external)
    )


def test_a_stop_out_of_a_shared_position_is_booked_in_part(make_bench: Make) -> None:
    """The stop closes all of it: ours by our part of its money, the rest is others' result."""
    closed = []
    bars = level_bars(at_6=BID - 300 * POINT)
    bench = make_bench({"a": "LLLLLLLLLLL"}, bars, margin_mode="netting")
    bench.trader.positions.on_closed = closed.append
    bench.step(2)
    bench.by_hand(1, LOTS)
    bench.look()
    bench.step(6)
    bench.look()

    assert bench.held == []
    assert [trade.reason for trade in closed] == [ExitReason.STOP]
    deals = [d for d in bench.deals if d.entry == 1]
    assert closed[0].gross_ccy == pytest.approx(deals[0].profit_ccy / 2, abs=0.01)
    assert not bench.trader.core.account[0]["trading"]


def alter(bench: Bench, **changes: float) -> None:
    """Change the broker's one position behind everybody's back."""
    bench.gateway.close()
    ledger = SimLedger(bench.work / "broker.sqlite")
    account = ledger.account()
    assert account is not None
    [position] = ledger.positions()
    ledger.write(account, positions=[msgspec.structs.replace(position, **changes)])
    ledger.close()
    bench.gateway = bench._open_gateway()


@pytest.mark.parametrize("changes", [{"lots": LOTS + 0.2}, {"price_open": BID + 12 * POINT}])
def test_what_no_deal_explains_halts_entries(make_bench: Make, changes: dict[str, float]) -> None:
    """Volume or entry price: told, halted, left as it is, and told again by a restart."""
    bench = make_bench({"a": "LLLLLLLL"})
    bench.step(2)
    alter(bench, **changes)

    bench.look()
    assert not bench.trader.core.account[0]["trading"]
    bench.look_for_s(60)

    assert bench.trader.core.account[0]["trading"]
    assert (
        sum("at the terminal" in e.text and e.level == "critical" for e in bench.events.newest())
        == 1
    )
    assert len(bench.held) == 1
    assert [c for c in bench.crash() if "at the terminal" in c]


def test_a_second_restart_writes_nothing(make_bench: Make) -> None:
    """What a restart found and booked is found by none after it: no row, no intent, no order."""
    bench = make_bench({"a": "LLLLLLLLLLL", "b": "FFL"}, level_bars(at_4=BID - 300 * POINT))
    bench.step(2)
    bench.fault(call="order_send", kind="error", code=-10005, when="after")
    bench.step()
    bench.advance(3)
    before = written(bench)
    assert bench.crash() == []
    first = written(bench)
    assert first != before

    assert bench.crash() == []
    assert bench.crash() == []
    assert written(bench) == first
    bench.check_books()


def written(bench: Bench) -> tuple[object, ...]:
    """Return all that is in journal and broker's books, the state's own number left out."""
    outbox = Outbox(bench.journal.path)
    rows = outbox.entries(0, 10_000)
    outbox.close()
    return rows, intents_since(bench.journal, 0), bench.deals, bench.held


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
