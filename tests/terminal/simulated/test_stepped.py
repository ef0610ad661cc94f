"""Stepped time: docs/SEMANTICS.md §1 to the digit."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decision.matching import NO_HIT, STOP_HIT, match_bar
from engine.decision.money import round_ccy, swap_night_ccy, swap_nights
from engine.model.server_clock import ServerClock
from engine.model.symbols import DEFAULT_SYMBOLS
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE, NS_PER_MS
from engine.terminal.simulated.module import constants as c
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

CLOCK = ServerClock("new_york+7")


def server_msc(utc_ns):
    """Return server milliseconds."""
    return CLOCK.to_server_ns(utc_ns) // NS_PER_MS


def test_quotes_are_open_then_close():
    """At T the quote is the open of the bar opening at T; without one, the last close."""
    rows = [(1.1, 1.3, 1.0, 1.2), (1.21, 1.22, 1.2, 1.22)]
    terminal = make_terminal({EUR: make_bars(rows), "GBPUSD": make_bars(flat(1.3, 9))})
    seen = []
    for n in range(4):
        terminal.advance(minute(n))
        tick = terminal.symbol_info_tick(EUR)
        seen.append((tick.bid, tick.time_msc))
    last = server_msc(minute(1)) + 59_999
    assert seen == [
        (1.1, server_msc(minute(0))),
        (1.21, server_msc(minute(1))),
        (1.22, last),
        (1.22, last),
    ]
    assert terminal.now_ns() == minute(3)


def test_advance_refuses_the_past_and_fractions():
    """Time never goes back and moves by whole minutes."""
    terminal = make_terminal()
    terminal.advance(minute(2))
    for to_ns in (minute(1), minute(2) + 1):
        with pytest.raises(ValueError, match="advance"):
            terminal.advance(to_ns)


def test_a_far_step_equals_many_near_ones():
    """Advancing over many bars at once gives the ledger of minute steps."""
    rows = [(1.1, 1.1 + k / 1e4, 1.1 - k / 1e4, 1.1) for k in range(40)]
    histories = []
    for steps in (range(1, 41), [40]):
        terminal = make_terminal({EUR: make_bars(rows)})
        terminal.order_send(deal(0, sl=1.0985))
        terminal.order_send(deal(1, tp=1.0975))
        for n in steps:
            terminal.advance(minute(n))
        histories.append((all_deals(terminal), terminal.account_info()))
    assert histories[0] == histories[1]
    assert len(histories[0][0]) == 4


points = st.integers(-80, 80)


@settings(max_examples=150, deadline=None)
@given(
    direction=st.sampled_from([1, -1]),
    sl_points=st.one_of(st.none(), st.integers(1, 60)),
    tp_points=st.one_of(st.none(), st.integers(1, 60)),
    moves=st.lists(st.tuples(points, points, points, points), min_size=1, max_size=4),
    spread_points=st.integers(0, 30),
)
def test_stops_are_match_bars(direction, sl_points, tp_points, moves, spread_points):
    """Stops and targets fill as `match_bar` says, at the bar's open time."""
    grid = lambda p: round(1.1 + p / 1e5, 5)  # noqa: E731
    spread = spread_points / 1e5
    rows = [(1.1, 1.1, 1.1, 1.1)]
    rows += [(grid(m[0]), grid(max(m)), grid(min(m)), grid(m[3])) for m in moves]
    terminal = make_terminal({EUR: make_bars(rows, spread=spread)})
    closing = 1.1 if direction > 0 else round(1.1 + spread, 5)
    request = deal(0 if direction > 0 else 1)
    sl = round(closing - direction * sl_points / 1e5, 5) if sl_points else math.nan
    tp = round(closing + direction * tp_points / 1e5, 5) if tp_points else math.nan
    levels = {"sl": sl, "tp": tp}
    request |= {name: level for name, level in levels.items() if not math.isnan(level)}
    assert terminal.order_send(request).retcode == c.TRADE_RETCODE_DONE
    terminal.advance(minute(len(rows)))

    expected = None
    for n, (open_, high, low, _) in enumerate(rows):
        hit, price = match_bar(direction, sl, tp, open_, high, low, spread, 5)
        if hit != NO_HIT:
            reason = c.DEAL_REASON_SL if hit == STOP_HIT else c.DEAL_REASON_TP
            expected = (reason, price, server_msc(minute(n)))
            break
    closed = [(d.reason, d.price, d.time_msc) for d in all_deals(terminal)[1:]]
    assert closed == ([expected] if expected else [])
    assert len(terminal.positions_get()) == (expected is None)


def test_conversion_of_a_stop_uses_the_quotes_of_the_bars_open():
    """A stop inside a bar converts at that bar's opens, whatever the symbols' order."""
    jpy = [(100.0, 100.0, 100.0, 100.0), (110.0, 120.0, 110.0, 120.0), *flat(120.0, 2)]
    cross = [(130.0, 130.0, 130.0, 130.0), (130.0, 130.0, 120.0, 121.0), *flat(121.0, 2)]
    for names in ((JPY, "EURJPY"), ("EURJPY", JPY)):
        bars = {JPY: make_bars(jpy, spread=0.0), "EURJPY": make_bars(cross, spread=0.0)}
        terminal = make_terminal(bars, symbols=names)
        terminal.advance(minute(1))
        terminal.order_send(deal(0, 0.1, "EURJPY", sl=125.0))
        terminal.advance(minute(3))
        stopped = all_deals(terminal)[-1]
        assert stopped.profit == round_ccy(-5.0 * 100_000 * 0.1 / 110.0, 2)
        assert stopped.time_msc == server_msc(minute(1))
        assert stopped.comment == "[sl 125.000]"
        assert stopped.type == c.DEAL_TYPE_SELL


def test_swaps_accumulate_unrounded_until_the_deal():
    """Each night adds its swap, Wednesday three; the deal carries the sum, rounded once."""
    n = 9 * 1440
    terminal = make_terminal({EUR: make_bars(flat(1.1, n))}, spec={"swap_long_points": -6.13})
    ticket = terminal.order_send(deal(0, 0.37)).order
    spec = DEFAULT_SYMBOLS[EUR]
    night = swap_night_ccy(1, 0.37, -6.13, spec.swap_short_points, spec.digits, 100_000.0, 1.0)
    expected, day = 0.0, CLOCK.day(START_NS)
    for k in range(1, 8):
        now_ns = START_NS + k * NS_PER_DAY
        terminal.advance(now_ns)
        expected += swap_nights(day, CLOCK.day(now_ns), 2) * night
        day = CLOCK.day(now_ns)
        assert terminal.positions_get()[0].swap == round_ccy(expected, 2)
    terminal.order_send(deal(1, 0.37, position=ticket))
    assert all_deals(terminal)[-1].swap == round_ccy(expected, 2)
    assert expected == pytest.approx(7 * night)


def test_a_part_close_takes_its_share_of_the_swap():
    """Closing half realises half of the swap; nothing is lost."""
    terminal = make_terminal({EUR: make_bars(flat(1.1, 3000))})
    ticket = terminal.order_send(deal(0, 1.0)).order
    terminal.advance(START_NS + NS_PER_DAY)
    total = terminal.positions_get()[0].swap
    for lots in (0.5, 0.3, 0.2):
        terminal.order_send(deal(1, lots, position=ticket))
    shares = [d.swap for d in all_deals(terminal)[1:]]
    assert shares == pytest.approx([total / 2, total * 0.3, total * 0.2], abs=0.0051)
    assert sum(shares) == pytest.approx(total, abs=0.011)


def test_swaps_come_before_the_opens_of_the_new_day():
    """At the roll the swap converts at the last closes, not at the new day's opens."""
    roll_ns = CLOCK.to_utc_ns((CLOCK.day(START_NS) + 1) * NS_PER_DAY)
    n = (roll_ns - START_NS) // NS_PER_MINUTE
    rows = [*flat(100.0, n), *flat(200.0, 5)]
    terminal = make_terminal({JPY: make_bars(rows)})
    terminal.order_send(deal(0, 1.0, JPY))
    terminal.advance(roll_ns)
    spec = DEFAULT_SYMBOLS[JPY]
    expected = spec.swap_long_points * 0.001 * 100_000 * (1 / 100.0)
    assert terminal.positions_get()[0].swap == round_ccy(expected, 2)
