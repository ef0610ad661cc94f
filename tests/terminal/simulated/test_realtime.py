"""Real time: ticks are processed before each call, speed is adjustable, closures are skipped."""

import pytest

from engine.model.errors import UserError
from engine.model.symbols import DEFAULT_SYMBOLS
from engine.model.times import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE, NS_PER_S, iso_utc
from engine.terminal.simulated.module import constants as c
from engine.terminal.simulated.prices.clock import SimClock
from engine.terminal.simulated.prices.generated import GeneratedSource
from engine.terminal.simulated.prices.ticks import bar_ticks
from tests.terminal.simulated.worlds import (
    EUR,
    START_NS,
    ManualClock,
    all_deals,
    deal,
    flat,
    make_bars,
    make_terminal,
    minute,
)


def test_the_clock_runs_at_its_speed_and_jumps():
    """Simulated time is start + real time × speed, through changes of speed and jumps."""
    real = ManualClock()
    clock = SimClock(1_000, 60.0, real)
    real.ns = 10
    assert clock.now_ns() == 1_600
    clock.set_speed(0.0)
    real.ns = 1_000
    assert clock.now_ns() == 1_600
    clock.jump(50_000)
    clock.set_speed(2.0)
    real.ns = 1_100
    assert clock.now_ns() == 50_200


def test_calls_see_the_tick_of_now():
    """After any real delay a call shows the last tick at or before simulated now."""
    real = ManualClock()
    source = GeneratedSource(5, [DEFAULT_SYMBOLS[EUR]])
    terminal = make_terminal(
        {}, source=source, symbols=[EUR], speed=60.0, monotonic_ns=real, start_ns=START_NS
    )
    for step_ns in (0, 1, 10**7, 3 * 10**8, 10**9, 9 * 10**9, 61 * 10**9):
        real.ns += step_ns
        now_ns = START_NS + real.ns * 60
        tick = terminal.symbol_info_tick(EUR)
        assert terminal.now_ns() == now_ns
        bar = source.bar_at(EUR, now_ns - now_ns % NS_PER_MINUTE)
        times, bids = bar_ticks(EUR, bar, 5)
        last = times.searchsorted(now_ns, side="right") - 1
        assert tick.bid == bids[last]
        assert tick.time_msc == (int(times[last]) + 2 * NS_PER_HOUR) // 10**6


@pytest.mark.parametrize("polls", [1, 7, 600])
def test_stops_in_real_time_fill_at_the_level_whoever_looks(polls):
    """Inside a minute a stop fills at its level; a gap at a minute's first tick at the open."""
    rows = [(1.1, 1.1, 1.1, 1.1), (1.1, 1.102, 1.098, 1.1), (1.095, 1.096, 1.09, 1.09)]
    real = ManualClock()
    terminal = make_terminal({EUR: make_bars(rows)}, speed=1.0, monotonic_ns=real)
    inside = terminal.order_send(deal(0, sl=1.099)).order
    gapped = terminal.order_send(deal(0, sl=1.0975)).order
    target = terminal.order_send(deal(1, tp=1.0985)).order
    late = terminal.order_send(deal(0, sl=1.0925)).order
    for _ in range(polls):
        real.ns += 150 * NS_PER_S // polls
        terminal.positions_total()
    assert terminal.positions_get() == ()
    found = {t: terminal.history_deals_get(position=t)[-1] for t in (inside, gapped, target, late)}
    assert (found[inside].price, found[inside].reason) == (1.099, c.DEAL_REASON_SL)
    assert (found[gapped].price, found[gapped].reason) == (1.095, c.DEAL_REASON_SL)
    assert (found[target].price, found[target].reason) == (1.0985, c.DEAL_REASON_TP)
    opened_s = START_NS // NS_PER_S + 7200
    assert 60 <= found[inside].time - opened_s < 120
    assert found[gapped].time - opened_s == 120
    assert found[late].price == 1.0925
    assert 120 < found[late].time - opened_s < 180


def test_how_often_one_looks_changes_no_deal():
    """Polling often or rarely over two hours gives the same deals, swaps included."""
    source = GeneratedSource(9, [DEFAULT_SYMBOLS[EUR]])
    start_ns = START_NS + 12 * NS_PER_HOUR  # the day rolls an hour later
    outcomes = []
    for polls in (3, 400):
        real = ManualClock()
        terminal = make_terminal(
            {}, source=source, symbols=[EUR], speed=60.0, monotonic_ns=real, start_ns=start_ns
        )
        bid = terminal.symbol_info_tick(EUR).bid
        for k in range(1, 9):
            away = k * 30 / 1e5
            terminal.order_send(deal(0, sl=round(bid - away, 5), tp=round(bid + away, 5)))
        for _ in range(polls):
            real.ns += 120 * NS_PER_S // polls
            terminal.now_ns()
        outcomes.append((all_deals(terminal), [p.swap for p in terminal.positions_get()]))
        assert any(d.entry == c.DEAL_ENTRY_OUT for d in outcomes[-1][0])
    assert outcomes[0] == outcomes[1]


def test_a_demo_never_stands_still():
    """Weekends are jumped over at once; positions pay their swaps all the same."""
    real = ManualClock()
    source = GeneratedSource(9, [DEFAULT_SYMBOLS[EUR]])
    friday_ns = START_NS + 4 * NS_PER_DAY + 12 * NS_PER_HOUR + 50 * NS_PER_MINUTE
    terminal = make_terminal(
        {}, source=source, symbols=[EUR], speed=60.0, monotonic_ns=real, start_ns=friday_ns
    )
    terminal.order_send(deal(0, 1.0))
    real.ns += 11 * NS_PER_S
    now = iso_utc(terminal.now_ns())
    assert now == "2018-03-11T21:00:00Z"  # Sunday 17:00 New York, daylight saving since 2:00
    assert terminal.positions_get()[0].swap == pytest.approx(-6.1)
    assert terminal.order_send(deal(0)).retcode == c.TRADE_RETCODE_DONE


def test_short_holes_are_waited_for_and_the_end_stands():
    """A hole of an hour is lived through; after the last bar time stops, the market is closed."""
    bars = make_bars(flat(1.1, 20))
    bars["time_ns"][10:] += NS_PER_HOUR
    real = ManualClock()
    terminal = make_terminal({EUR: bars}, speed=60.0, monotonic_ns=real)
    real.ns = 40 * NS_PER_S
    assert terminal.now_ns() == minute(40)
    assert terminal.order_send(deal(0)).retcode == c.TRADE_RETCODE_MARKET_CLOSED
    real.ns = 100 * NS_PER_S
    assert terminal.now_ns() == minute(80)
    assert terminal.control({"op": "state"})["next_open_ns"] is None
    assert terminal.order_send(deal(0)).retcode == c.TRADE_RETCODE_MARKET_CLOSED


def test_speed_is_controlled_beside_the_module():
    """`set_speed` takes hold at once; modes refuse what belongs to the other."""
    real = ManualClock()
    terminal = make_terminal(speed=1.0, monotonic_ns=real)
    real.ns = 5 * NS_PER_S
    assert terminal.control({"op": "set_speed", "speed": 60})["now_ns"] == START_NS + 5 * NS_PER_S
    real.ns += NS_PER_S
    assert terminal.now_ns() == START_NS + 65 * NS_PER_S
    with pytest.raises(UserError, match="stepped time"):
        terminal.control({"op": "advance", "to_ns": minute(9)})
    with pytest.raises(UserError, match="no speed"):
        make_terminal().control({"op": "set_speed", "speed": 2.0})
    for message in ({"op": "dance"}, {"op": "set_speed"}, {"op": "set_fault", "call": "x"}):
        with pytest.raises(UserError):
            terminal.control(message)


def test_a_restart_in_real_time_goes_on_at_most_a_minute_back(tmp_path):
    """The ledger's clock is never ahead of what was shown and never a minute behind."""
    real = ManualClock()
    path = tmp_path / "broker.sqlite"
    bars = {EUR: make_bars(flat(1.1, 600))}
    first = make_terminal(bars, speed=60.0, monotonic_ns=real, ledger=path)
    real.ns = 10 * NS_PER_S + 1
    first.order_send(deal(0))
    real.ns = 33 * NS_PER_S + NS_PER_S // 2
    shown_ns = first.now_ns()
    first.broker.close()  # as a kill would leave it: the clock is not written
    second = make_terminal(bars, speed=60.0, monotonic_ns=real, ledger=path)
    assert shown_ns - NS_PER_MINUTE < second.now_ns() <= shown_ns
    assert second.positions_total() == 1
    real.ns += 7 * NS_PER_S
    second.now_ns()
    real.ns += NS_PER_S // 10
    second.order_send(deal(0, sl=1.0))
    ordered_ns = second.now_ns()
    second.broker.close()
    third = make_terminal(bars, speed=60.0, monotonic_ns=real, ledger=path)
    assert third.now_ns() == ordered_ns  # ticks from before an order never meet it
    third.close()
