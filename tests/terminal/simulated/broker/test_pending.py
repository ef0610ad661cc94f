"""Working orders: what places, triggers, changes, expires and ends them."""

from typing import Any

import pytest

from engine.terminal.simulated.module import constants as c
from engine.terminal.simulated.module.api import SimulatedTerminal
from tests.terminal.simulated.worlds import (
    EUR,
    START_NS,
    Row,
    all_deals,
    deal,
    flat,
    make_bars,
    make_terminal,
    minute,
)

LIMIT, STOP, STOP_LIMIT = 2, 4, 6
BUY, SELL = 0, 1
SERVER_S = START_NS // 10**9 + 7200
DAY_S = 86_400
ALWAYS = (1, 2**31 - 1)


def order(kind: int, price: float, lots: float = 0.1, **more: Any) -> dict[str, Any]:
    """Return a request for a working order."""
    return {
        "action": c.TRADE_ACTION_PENDING,
        "symbol": EUR,
        "volume": lots,
        "type": kind,
        "price": price,
        "type_filling": c.ORDER_FILLING_RETURN,
        **more,
    }


def place(terminal: SimulatedTerminal, kind: int, price: float, **more: Any) -> int:
    """Place a working order and return its ticket."""
    result = terminal.order_send(order(kind, price, **more))
    assert (result.retcode, result.deal) == (c.TRADE_RETCODE_DONE, 0), result
    return result.order


def remove(ticket: int) -> dict[str, Any]:
    """Return a request to take an order back."""
    return {"action": c.TRADE_ACTION_REMOVE, "order": ticket}


def world(*rows: Row, **more: Any) -> SimulatedTerminal:
    """Return a terminal at bid 1.1000, ask 1.1001, with rows from the next minute on."""
    return make_terminal({EUR: make_bars([*flat(1.1, 1), *rows, *flat(rows[-1][3], 5)])}, **more)


@pytest.mark.parametrize(
    ("kind", "price", "row", "filled"),
    [
        # Buys are triggered by the ask, a pip above the bid.
        (LIMIT + BUY, 1.09, (1.095, 1.095, 1.0899, 1.09), 1.09),
        (LIMIT + BUY, 1.09, (1.095, 1.095, 1.09, 1.09), None),
        (LIMIT + BUY, 1.09, (1.085, 1.095, 1.08, 1.09), 1.0851),
        (LIMIT + SELL, 1.11, (1.105, 1.11, 1.1, 1.1), 1.11),
        (LIMIT + SELL, 1.11, (1.105, 1.1099, 1.1, 1.1), None),
        (LIMIT + SELL, 1.11, (1.12, 1.13, 1.1, 1.1), 1.12),
        (STOP + BUY, 1.11, (1.105, 1.1099, 1.1, 1.1), 1.11),
        (STOP + BUY, 1.11, (1.105, 1.1098, 1.1, 1.1), None),
        (STOP + BUY, 1.11, (1.12, 1.13, 1.1, 1.1), 1.1201),
        (STOP + SELL, 1.09, (1.095, 1.1, 1.09, 1.09), 1.09),
        (STOP + SELL, 1.09, (1.095, 1.1, 1.0901, 1.095), None),
        (STOP + SELL, 1.09, (1.08, 1.1, 1.07, 1.09), 1.08),
    ],
)
def test_orders_fill_when_their_side_reaches_them(kind, price, row, filled):
    """Reached: at the order's price; gapped through: at the open; else the order goes on."""
    terminal = world(flat(1.1, 1)[0], row)
    ticket = place(terminal, kind, price, magic=7, comment="waits")
    (working,) = terminal.orders_get()
    assert (working.ticket, working.state, working.time_done) == (ticket, 1, 0)
    assert (working.price_open, working.volume_current, working.magic) == (price, 0.1, 7)
    terminal.advance(minute(3))
    if filled is None:
        assert [o.ticket for o in terminal.orders_get()] == [ticket]
        assert terminal.positions_total() == 0
        return
    assert terminal.orders_total() == 0
    (held,) = terminal.positions_get()
    assert (held.ticket, held.price_open, held.magic, held.comment) == (ticket, filled, 7, "waits")
    (booked,) = all_deals(terminal)
    assert (booked.order, booked.price, booked.entry) == (ticket, filled, c.DEAL_ENTRY_IN)
    (done,) = terminal.history_orders_get(ticket=ticket)
    assert (done.state, done.volume_current, done.type) == (c.ORDER_STATE_FILLED, 0.0, kind)
    assert done.time_setup == SERVER_S
    assert done.time_done == SERVER_S + 120


@pytest.mark.parametrize(
    ("kind", "price", "limit", "trigger", "back"),
    [
        (STOP_LIMIT + BUY, 1.11, 1.105, (1.1, 1.1105, 1.1, 1.11), (1.11, 1.11, 1.1049, 1.108)),
        (STOP_LIMIT + SELL, 1.09, 1.095, (1.1, 1.1, 1.0895, 1.09), (1.09, 1.095, 1.09, 1.092)),
    ],
)
def test_a_stop_limit_becomes_a_limit(kind, price, limit, trigger, back):
    """Its stop price places a limit order under the same ticket, filled by later prices only."""
    terminal = world(trigger, back)
    ticket = place(terminal, kind, price, stoplimit=limit)
    terminal.advance(minute(2))
    (working,) = terminal.orders_get()
    assert (working.ticket, working.price_open) == (ticket, limit)
    assert working.type == LIMIT + kind % 2
    terminal.advance(minute(3))
    assert [p.price_open for p in terminal.positions_get()] == [limit]


@pytest.mark.parametrize(
    ("request_", "retcode"),
    [
        (order(BUY, 1.09), c.TRADE_RETCODE_INVALID),
        (order(c.ORDER_TYPE_CLOSE_BY, 1.09), c.TRADE_RETCODE_INVALID),
        (order(LIMIT, 1.09, 0.001), c.TRADE_RETCODE_INVALID_VOLUME),
        (order(LIMIT, 1.1001), c.TRADE_RETCODE_INVALID_PRICE),
        (order(LIMIT, 1.09972), c.TRADE_RETCODE_INVALID_PRICE),
        (order(LIMIT + SELL, 1.1), c.TRADE_RETCODE_INVALID_PRICE),
        (order(STOP, 1.1), c.TRADE_RETCODE_INVALID_PRICE),
        (order(STOP + SELL, 1.1), c.TRADE_RETCODE_INVALID_PRICE),
        (order(LIMIT, 0.0), c.TRADE_RETCODE_INVALID_PRICE),
        (order(LIMIT, 1.0900001), c.TRADE_RETCODE_INVALID_PRICE),
        (order(LIMIT, float("nan")), c.TRADE_RETCODE_INVALID_PRICE),
        (order(STOP_LIMIT, 1.11), c.TRADE_RETCODE_INVALID_PRICE),
        (order(STOP_LIMIT, 1.11, stoplimit=1.11), c.TRADE_RETCODE_INVALID_PRICE),
        (order(STOP_LIMIT + SELL, 1.09, stoplimit=1.08), c.TRADE_RETCODE_INVALID_PRICE),
        (order(LIMIT, 1.09, sl=1.09), c.TRADE_RETCODE_INVALID_STOPS),
        (order(LIMIT, 1.09, sl=1.08962), c.TRADE_RETCODE_INVALID_STOPS),
        (order(STOP + SELL, 1.09, tp=1.095), c.TRADE_RETCODE_INVALID_STOPS),
        (order(LIMIT, 1.09, type_filling=c.ORDER_FILLING_BOC), c.TRADE_RETCODE_INVALID_FILL),
        (order(LIMIT, 1.09, type_filling=9), c.TRADE_RETCODE_INVALID_FILL),
        (order(LIMIT, 1.09, type_time=4), c.TRADE_RETCODE_INVALID_EXPIRATION),
        (order(LIMIT, 1.09, type_time=2), c.TRADE_RETCODE_INVALID_EXPIRATION),
        (order(LIMIT, 1.09, type_time=2, expiration=SERVER_S), c.TRADE_RETCODE_INVALID_EXPIRATION),
        (
            order(LIMIT, 1.09, type_time=3, expiration=SERVER_S - DAY_S),
            c.TRADE_RETCODE_INVALID_EXPIRATION,
        ),
    ],
)
def test_bad_working_orders_are_refused(request_, retcode):
    """Each broken rule has its code, check and send agree, and nothing waits afterwards."""
    terminal = make_terminal(spec={"stops_level_points": 40.0})
    assert terminal.order_check(request_).retcode == retcode
    result = terminal.order_send(request_)
    assert (result.retcode, result.order) == (retcode, 0)
    assert terminal.orders_get() == ()
    assert terminal.history_orders_get(*ALWAYS) == ()


@pytest.mark.parametrize(
    ("type_time", "expiration", "ends_s"),
    [
        (c.ORDER_TIME_GTC, 0, None),
        (c.ORDER_TIME_DAY, 0, SERVER_S // DAY_S * DAY_S + DAY_S),
        (c.ORDER_TIME_SPECIFIED, SERVER_S + 1800, SERVER_S + 1800),
        (c.ORDER_TIME_SPECIFIED_DAY, SERVER_S + DAY_S, SERVER_S // DAY_S * DAY_S + 2 * DAY_S),
    ],
)
def test_orders_expire_on_the_servers_clock(type_time, expiration, ends_s):
    """An order works until its last moment and is then in the history as expired."""
    terminal = make_terminal({EUR: make_bars(flat(1.1, 4000))})
    ticket = place(terminal, LIMIT, 1.09, type_time=type_time, expiration=expiration)
    assert terminal.orders_get()[0].time_expiration == expiration
    if ends_s is None:
        terminal.advance(minute(3900))
        assert terminal.orders_total() == 1
        return
    end = (ends_s - SERVER_S) // 60
    terminal.advance(minute(end - 1))
    assert terminal.orders_total() == 1
    terminal.advance(minute(end))
    assert terminal.orders_total() == 0
    (done,) = terminal.history_orders_get(ticket=ticket)
    assert (done.state, done.time_done) == (c.ORDER_STATE_EXPIRED, ends_s)
    assert done.volume_current == done.volume_initial


@pytest.mark.parametrize(
    ("orders", "mode", "waits", "levels"),
    [
        ("gtc", c.SYMBOL_ORDERS_GTC, True, (1.05, 1.15)),
        ("daily", c.SYMBOL_ORDERS_DAILY, False, (0.0, 0.0)),
        ("daily_no_stops", c.SYMBOL_ORDERS_DAILY_NO_STOPS, False, (1.05, 1.15)),
    ],
)
def test_what_ends_with_the_servers_day(orders, mode, waits, levels):
    """Daily: orders without a term expire, stops and targets go; a term of its own goes on."""
    terminal = make_terminal({EUR: make_bars(flat(1.1, 1000))}, orders=orders)
    assert terminal.symbol_info(EUR).order_gtc_mode == mode
    terminal.order_send(deal(BUY, sl=1.05, tp=1.15))
    ticket = place(terminal, LIMIT, 1.09)
    timed = place(terminal, LIMIT, 1.09, type_time=2, expiration=SERVER_S + 2 * DAY_S)
    midnight = (DAY_S - SERVER_S % DAY_S) // 60
    terminal.advance(minute(midnight - 1))
    assert (terminal.orders_total(), terminal.positions_get()[0].sl) == (2, 1.05)
    terminal.advance(minute(midnight))
    assert [o.ticket for o in terminal.orders_get()] == ([ticket] if waits else []) + [timed]
    (held,) = terminal.positions_get()
    assert (held.sl, held.tp) == levels
    if not waits:
        assert terminal.history_orders_get(ticket=ticket)[0].state == c.ORDER_STATE_EXPIRED


def test_the_rest_of_a_close_takes_no_more_than_is_left():
    """What a close-by took meanwhile is not sold again: the rest ends with its position."""
    terminal = make_terminal(execution="exchange", liquidity_lots=0.3)
    held = terminal.order_send(deal(BUY, 0.9, type_filling=c.ORDER_FILLING_RETURN)).order
    other = terminal.order_send(deal(SELL, 0.2)).order
    terminal.advance(minute(3))
    assert [p.volume for p in terminal.positions_get()] == [0.9, 0.2]
    closing = deal(SELL, 0.9, position=held, type_filling=c.ORDER_FILLING_RETURN)
    part = terminal.order_send(closing)
    assert (part.retcode, part.volume) == (c.TRADE_RETCODE_DONE_PARTIAL, 0.3)
    by = {"action": c.TRADE_ACTION_CLOSE_BY, "position": held, "position_by": other}
    assert terminal.order_send(by).retcode == c.TRADE_RETCODE_DONE
    assert [p.volume for p in terminal.positions_get()] == [0.4]
    terminal.advance(minute(7))
    assert (terminal.positions_get(), terminal.orders_get()) == ((), ())
    sold = [d.volume for d in terminal.history_deals_get(ticket=part.order)]
    assert sold == pytest.approx([0.3, 0.3, 0.1])
    (done,) = terminal.history_orders_get(ticket=part.order)
    assert (done.state, done.volume_current) == (c.ORDER_STATE_CANCELED, 0.2)


def test_an_order_can_be_changed_and_taken_back():
    """Price, stops and expiration change in place; the same again is 10025; unknown is 10035."""
    terminal = make_terminal()
    ticket = place(terminal, LIMIT, 1.09)
    change = {"action": c.TRADE_ACTION_MODIFY, "order": ticket, "price": 1.08, "sl": 1.07}
    assert terminal.order_send(change).retcode == c.TRADE_RETCODE_DONE
    (working,) = terminal.orders_get(ticket=ticket)
    assert (working.price_open, working.sl, working.volume_current) == (1.08, 1.07, 0.1)
    assert terminal.order_send(change).retcode == c.TRADE_RETCODE_NO_CHANGES
    bad = {**change, "price": 1.2}
    assert terminal.order_send(bad).retcode == c.TRADE_RETCODE_INVALID_PRICE
    for request in ({**change, "order": 1}, remove(1), {**remove(ticket), "symbol": "USDJPY"}):
        assert terminal.order_send(request).retcode in (10035, 10013)
    assert terminal.orders_get()[0].price_open == 1.08
    assert terminal.order_send(remove(ticket)).retcode == c.TRADE_RETCODE_DONE
    assert terminal.orders_get() == ()
    (done,) = terminal.history_orders_get(ticket=ticket)
    assert (done.state, done.volume_current) == (c.ORDER_STATE_CANCELED, 0.1)
    assert terminal.order_send(remove(ticket)).retcode == c.TRADE_RETCODE_INVALID_ORDER


def test_frozen_orders_and_positions_stay_as_they_are():
    """Within the freeze level nothing is changed, removed or closed: 10029."""
    terminal = make_terminal(freeze_level_points=50.0)
    near, far = place(terminal, LIMIT, 1.0997), place(terminal, LIMIT, 1.09)
    change = {"action": c.TRADE_ACTION_MODIFY, "price": 1.09}
    for request in ({**change, "order": near}, remove(near)):
        assert terminal.order_send(request).retcode == c.TRADE_RETCODE_FROZEN
    assert terminal.order_send(remove(far)).retcode == c.TRADE_RETCODE_DONE
    held = terminal.order_send(deal(BUY, sl=1.0996)).order
    move = {"action": c.TRADE_ACTION_SLTP, "symbol": EUR, "position": held, "sl": 1.09}
    for request in (move, deal(SELL, position=held)):
        assert terminal.order_send(request).retcode == c.TRADE_RETCODE_FROZEN
    assert terminal.symbol_info(EUR).trade_freeze_level == 50


def test_what_an_order_opens_has_its_stop():
    """Stop and target come with the fill; one already passed at the close closes at the close."""
    terminal = world((1.1, 1.1, 1.0895, 1.0898), (1.0898, 1.0898, 1.084, 1.086))
    place(terminal, LIMIT, 1.09, sl=1.085, tp=1.11)
    terminal.advance(minute(2))
    (held,) = terminal.positions_get()
    assert (held.sl, held.tp) == (1.085, 1.11)
    terminal.advance(minute(3))
    assert [d.price for d in all_deals(terminal)] == [1.09, 1.085]

    terminal = world((1.1, 1.1, 1.08, 1.081))
    place(terminal, LIMIT, 1.09, sl=1.085)
    terminal.advance(minute(2))
    assert terminal.positions_get() == ()
    first, last = all_deals(terminal)
    assert (last.reason, last.price, last.position_id) == (c.DEAL_REASON_SL, 1.081, first.order)


def test_an_order_nets_on_a_netting_account():
    """A fill of a working order reduces, closes or reverses the one position of its symbol."""
    terminal = world((1.1, 1.12, 1.1, 1.1), account={"hedging": False})
    first = terminal.order_send(deal(BUY, 0.1)).order
    ticket = place(terminal, LIMIT + SELL, 1.11, lots=0.3)
    terminal.advance(minute(2))
    (held,) = terminal.positions_get()
    assert (held.type, held.volume, held.ticket, held.identifier) == (SELL, 0.2, ticket, first)
    assert all_deals(terminal)[-1].entry == c.DEAL_ENTRY_INOUT


def test_an_order_that_cannot_be_margined_is_rejected():
    """What placing does not reserve may be gone when the price comes: rejected, nothing dealt."""
    terminal = world((1.1, 1.1, 1.08, 1.09), account={"balance_ccy": 1000.0})
    ticket = place(terminal, LIMIT, 1.09, lots=2.0)
    terminal.advance(minute(2))
    (done,) = terminal.history_orders_get(ticket=ticket)
    assert (done.state, terminal.orders_total(), all_deals(terminal)) == (5, 0, [])


def test_numbers_and_volumes_of_orders_are_limited():
    """One order too many is 10033, more lots in one direction than allowed 10034."""
    terminal = make_terminal(account={"limit_orders": 2}, volume_limit_lots=1.0)
    assert terminal.account_info().limit_orders == 2
    assert terminal.symbol_info(EUR).volume_limit == 1.0
    terminal.order_send(deal(BUY, 0.5))
    place(terminal, LIMIT, 1.09, lots=0.4)
    over = c.TRADE_RETCODE_LIMIT_VOLUME
    assert terminal.order_send(order(LIMIT, 1.09, 0.2)).retcode == over
    assert terminal.order_send(deal(BUY, 0.2)).retcode == over
    place(terminal, STOP + SELL, 1.09, lots=0.9)
    assert terminal.order_send(order(LIMIT, 1.09)).retcode == c.TRADE_RETCODE_LIMIT_ORDERS


def test_working_orders_keep_their_symbol_and_survive_a_restart(tmp_path):
    """A restored terminal shows the same orders, fills them, and keeps positions by ticket."""
    bars = {EUR: make_bars([*flat(1.1, 2), (1.1, 1.1, 1.08, 1.09), *flat(1.09, 9)])}
    path = tmp_path / "broker.sqlite"
    first = make_terminal(bars, ledger=path)
    waiting = place(first, LIMIT, 1.085, type_time=2, expiration=SERVER_S + 3600, sl=1.06)
    gone = place(first, LIMIT, 1.085)
    first.order_send(remove(gone))
    opened = first.order_send(deal(BUY)).order
    assert not first.symbol_select(EUR, False)
    shown = first.orders_get(), first.history_orders_get(*ALWAYS)
    first.close()
    second = make_terminal(bars, ledger=path)
    assert (second.orders_get(), second.history_orders_get(*ALWAYS)) == shown
    second.advance(minute(3))
    assert [p.ticket for p in second.positions_get()] == [waiting, opened]
    assert [o.ticket for o in second.history_orders_get(*ALWAYS)] == [waiting, gone, opened]
    second.close()


def test_order_filters_are_not_combined():
    """Ticket wins over symbol over group; no match is (); by position nothing is taken."""
    terminal = make_terminal()
    ticket = place(terminal, LIMIT, 1.09)
    assert len(terminal.orders_get(ticket=ticket, symbol="GBPUSD")) == 1
    assert terminal.orders_get(ticket=1, symbol=EUR) == ()
    assert terminal.orders_get(symbol="GBPUSD", group="*") == ()
    assert len(terminal.orders_get(group="EUR*")) == len(terminal.orders_get(symbol=EUR)) == 1
    assert terminal.orders_get(magic=5)[0].ticket == ticket
    assert terminal.orders_get(EUR) is None
    assert terminal.history_orders_total(*ALWAYS) == 0


@pytest.mark.parametrize("kind", [LIMIT, STOP_LIMIT])
def test_orders_fill_between_ticks_in_real_time(kind):
    """In real time the ticks of a minute trigger orders at the moment they pass."""
    from tests.terminal.simulated.worlds import ManualClock

    clock = ManualClock()
    rows = [*flat(1.1, 1), (1.1, 1.1, 1.08, 1.1), (1.1, 1.12, 1.08, 1.1), *flat(1.1, 5)]
    terminal = make_terminal({EUR: make_bars(rows)}, speed=1.0, monotonic_ns=clock)
    more = {"stoplimit": 1.105} if kind == STOP_LIMIT else {}
    place(terminal, kind, 1.115 if more else 1.09, **more)
    clock.ns = 179 * 10**9
    (held,) = terminal.positions_get()
    assert held.price_open == (1.105 if more else 1.09)
    minute_of_fill = 120 if more else 60
    assert SERVER_S + minute_of_fill < held.time < SERVER_S + minute_of_fill + 60
    assert terminal.orders_total() == 0


@pytest.mark.parametrize("kind", [LIMIT, STOP_LIMIT])
def test_a_kill_in_the_minute_of_a_fill_repeats_nothing(tmp_path, kind):
    """Prices that an order has used do not touch what it became, after a restart either."""
    bars = {EUR: make_bars([*flat(1.1, 1), (1.1, 1.12, 1.08, 1.0999), *flat(1.1, 5)])}
    path = tmp_path / "broker.sqlite"
    first = make_terminal(bars, ledger=path)
    more = {"stoplimit": 1.09} if kind == STOP_LIMIT else {"sl": 1.085}
    ticket = place(first, kind, 1.11 if kind == STOP_LIMIT else 1.09, **more)
    first.advance(minute(3))
    shown = first.positions_get(), first.orders_get()
    assert len(shown[0]) + len(shown[1]) == 1
    first.broker._ledger.close()
    second = make_terminal(bars, ledger=path)
    assert second.now_ns() < minute(3)
    second.advance(minute(3))
    assert (second.positions_get(), second.orders_get()) == shown
    assert (*shown[0], *shown[1])[0].ticket == ticket
    second.close()
