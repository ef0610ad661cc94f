"""The ledger: sums hold, and a restart or a kill changes nothing."""

import json
import subprocess
import sys

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decision.money import round_ccy
from engine.model.errors import ConfigError, StateError
from engine.model.symbols import DEFAULT_SYMBOLS
from engine.terminal.simulated import create
from engine.terminal.simulated.broker.history import SimHistory
from engine.terminal.simulated.broker.state import Deal
from engine.terminal.simulated.module import constants as c
from engine.terminal.simulated.prices.generated import GeneratedSource
from tests.terminal.simulated.worlds import (
    EUR,
    JPY,
    START_NS,
    all_deals,
    deal,
    flat,
    make_bars,
    make_terminal,
    minute,
)

BOTH = (EUR, JPY)
SPECS = [DEFAULT_SYMBOLS[name] for name in BOTH]
SOURCE = GeneratedSource(11, SPECS)


def picture(terminal):
    """Return everything a client can see of the account, without what only counts requests."""
    return (
        terminal.account_info(),
        terminal.positions_get(),
        terminal.history_orders_get(1, 2**31 - 1),
        terminal.history_deals_get(1, 2**31 - 1),
        [terminal.symbol_info_tick(name) for name in BOTH],
        terminal.now_ns(),
    )


actions = st.one_of(
    st.tuples(
        st.just("open"),
        st.sampled_from([0, 1]),
        st.sampled_from(BOTH),
        st.integers(1, 90),
        st.integers(0, 400),
    ),
    st.tuples(st.just("close"), st.integers(0, 5), st.integers(1, 100)),
    st.tuples(st.just("advance"), st.sampled_from([1, 2, 30, 600, 1500])),
)


def play(terminal, script):
    """Play a script of openings, closings and advances."""
    for action, *args in script:
        held = terminal.positions_get()
        if action == "open":
            side, symbol, hundredths, stop_points = args
            tick, point = terminal.symbol_info_tick(symbol), terminal.symbol_info(symbol).point
            away = (stop_points + 100) * point * (1 if side == 0 else -1)
            digits = DEFAULT_SYMBOLS[symbol].digits
            closing = tick.bid if side == 0 else tick.ask
            stops = {"sl": round(closing - away, digits), "tp": round(closing + 2 * away, digits)}
            request = deal(side, hundredths / 100, symbol, **(stops if stop_points else {}))
            terminal.order_send(request)
        elif action == "close" and held:
            which, percent = args
            item = held[which % len(held)]
            lots = max(0.01, round(item.volume * percent / 100, 2))
            terminal.order_send(deal(1 - item.type, lots, item.symbol, position=item.ticket))
        elif action == "advance":
            terminal.advance(terminal.now_ns() + args[0] * 60 * 10**9)


@settings(max_examples=40, deadline=None)
@given(script=st.lists(actions, max_size=14), hedging=st.booleans())
def test_the_balance_is_the_sum_of_the_deals(script, hedging):
    """Balance = deposit + Σ profit + commission + swap; volumes in and out match positions."""
    terminal = make_terminal(
        {}, source=SOURCE, symbols=BOTH, account={"hedging": hedging, "balance_ccy": 50_000.0}
    )
    play(terminal, script)
    deals = terminal.history_deals_get(1, 2**31 - 1)
    total = sum(d.profit + d.commission + d.swap for d in deals)
    info = terminal.account_info()
    assert info.balance == round_ccy(total, 2)
    assert [round_ccy(d.profit, 2) for d in deals] == [d.profit for d in deals]
    for name in BOTH:
        bought = sum(d.volume * (1 - 2 * d.type) for d in deals if d.symbol == name)
        held = [p for p in terminal.positions_get() if p.symbol == name]
        assert bought == pytest.approx(sum(p.volume * (1 - 2 * p.type) for p in held))
        assert hedging or len(held) <= 1
    orders = terminal.history_orders_get(1, 2**31 - 1)
    assert [o.ticket for o in orders] == [d.order for d in deals[1:]]
    assert info.equity == pytest.approx(
        info.balance + sum(p.profit + p.swap for p in terminal.positions_get())
    )


@settings(max_examples=15, deadline=None)
@given(before=st.lists(actions, max_size=8), after=st.lists(actions, max_size=5))
def test_a_restart_changes_nothing(tmp_path_factory, before, after):
    """A terminal restored from its ledger shows and goes on as the one that never stopped."""
    path = tmp_path_factory.mktemp("ledger") / "broker.sqlite"
    unbroken = make_terminal({}, source=SOURCE, symbols=BOTH)
    first = make_terminal({}, source=SOURCE, symbols=BOTH, ledger=path)
    for terminal in (unbroken, first):
        play(terminal, before)
    first.close()
    second = make_terminal({}, source=SOURCE, symbols=BOTH, ledger=path)
    assert picture(second) == picture(unbroken)
    for terminal in (unbroken, second):
        play(terminal, after)
    assert picture(second) == picture(unbroken)
    second.close()


CHILD = """
import json, sys
from engine.terminal.simulated import create
terminal = create(json.loads(sys.argv[1]))
terminal.initialize()
terminal.symbol_select("EURUSD")
terminal.control({"op": "set_fault", "call": "order_send", "kind": "exit", "when": "after"})
terminal.order_send(json.loads(sys.argv[2]))
"""


def test_a_kill_before_the_reply_forgets_nothing(tmp_path):
    """A process that dies after executing, before answering, has the position in its ledger."""
    config = {
        "specs": [msgspec.to_builtins(DEFAULT_SYMBOLS[EUR])],
        "source": {"kind": "generated", "seed": 3},
        "start_ns": START_NS,
        "ledger_path": str(tmp_path / "broker.sqlite"),
    }
    request = deal(0, 0.25, magic=2**33 + 1)
    child = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(config), json.dumps(request)],
        check=False,
        timeout=60,
    )
    assert child.returncode == 70
    terminal = create(config)
    terminal.initialize()
    (held,) = terminal.positions_get()
    assert (held.volume, held.magic) == (0.25, 2**33 + 1)
    assert terminal.symbol_info(EUR).select
    assert [d.entry for d in all_deals(terminal)] == [c.DEAL_ENTRY_IN]
    terminal.close()


def test_a_ledger_has_one_owner(tmp_path):
    """A second terminal on the same ledger, or another account on it, is refused."""
    path = tmp_path / "deep" / "broker.sqlite"
    first = make_terminal(ledger=path)
    first.order_send(deal(0))
    with pytest.raises(StateError, match="locked"):
        make_terminal(ledger=path)
    first.close()
    with pytest.raises(StateError, match="account 1000001"):
        make_terminal(ledger=path, account={"login": 2})


def test_a_full_disk_stops_no_broker(tmp_path):
    """Orders go on in memory; with room again the next change writes all that waited, exactly."""
    path = tmp_path / "broker.sqlite"
    terminal = make_terminal(ledger=path)
    ledger = terminal.broker._ledger
    ledger._db.execute("PRAGMA max_page_count = 12")
    for _ in range(60):
        assert terminal.order_send(deal(0, 0.01)) is not None
    assert ledger._unwritten
    held = terminal.positions_get()
    assert len(held) == 60
    for position in held[:30]:
        assert terminal.order_send({**deal(1, 0.01), "position": position.ticket}) is not None
    assert len(ledger.positions()) < 60

    ledger._db.execute("PRAGMA max_page_count = 1000000")
    assert terminal.order_send(deal(0, 0.01)) is not None
    assert ledger._unwritten == {}
    balance = terminal.account_info().balance
    tickets = [position.ticket for position in terminal.positions_get()]
    terminal.broker.close()
    again = make_terminal(ledger=path)
    assert [position.ticket for position in again.positions_get()] == tickets
    assert len(all_deals(again)) == 91
    assert again.account_info().balance == balance
    again.close()


def test_unusable_ledgers_and_configurations_are_one_line_errors(tmp_path):
    """A damaged ledger, missing bars and unknown settings say what is wrong."""
    path = tmp_path / "broker.sqlite"
    path.write_bytes(b"not a database, but long enough to look like a file of one" * 30)
    with pytest.raises(StateError, match=r"broker\.sqlite"):
        make_terminal(ledger=path)
    for config in ({"specs": [], "start_ns": 0}, {"specs": [], "start_ns": 0, "sourc": {}}):
        with pytest.raises(ConfigError, match="simulated terminal"):
            create(config)


def test_history_finds_deals_that_stepped_back_in_time():
    """Stops of one catch-up may be written out of order by seconds; every range finds them."""
    times_msc = [1_000, 50_000, 20_000, 90_000]
    history = SimHistory[Deal](lambda item: item.order)
    for ticket, msc in enumerate(times_msc):
        history.append(
            Deal(
                ticket=ticket,
                order=ticket,
                time_msc=msc,
                type=0,
                entry=1,
                magic=0,
                position_id=1,
                reason=4,
                volume=0.1,
                price=1.0,
                commission=0.0,
                swap=0.0,
                profit=0.0,
                symbol=EUR,
                comment="",
            )
        )
    for from_s in range(0, 100, 5):
        for to_s in range(from_s, 100, 5):
            expected = [k for k, msc in enumerate(times_msc) if from_s <= msc // 1000 <= to_s]
            assert [d.ticket for d in history.between(from_s, to_s)] == expected


def test_the_clock_resumes_where_it_stood(tmp_path):
    """After a restart simulated time goes on from the ledger's clock, not from the start."""
    path = tmp_path / "broker.sqlite"
    bars = {EUR: make_bars(flat(1.1, 200))}
    first = make_terminal(bars, ledger=path)
    first.advance(minute(90))
    first.close()
    second = make_terminal(bars, ledger=path)
    assert second.now_ns() == minute(90)
    second.close()
