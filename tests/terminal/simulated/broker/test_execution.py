"""Execution modes, fillings with little liquidity, close-by, and accounts with their own rules."""

import pytest

from engine.terminal.simulated.module import constants as c
from tests.terminal.simulated.broker.test_pending import (
    BUY,
    LIMIT,
    SELL,
    STOP,
    order,
    place,
    remove,
    world,
)
from tests.terminal.simulated.worlds import (
    EUR,
    JPY,
    all_deals,
    deal,
    flat,
    make_bars,
    make_terminal,
    minute,
)

FOK, IOC, RETURN, BOC = 0, 1, 2, 3
EXECUTIONS = ("request", "instant", "market", "exchange")


def close_by(first: int, second: int) -> dict[str, int]:
    """Return a request that closes two positions against each other."""
    return {"action": c.TRADE_ACTION_CLOSE_BY, "position": first, "position_by": second}


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_execution_decides_price_and_filling(execution):
    """Request and instant hold the price or requote; RETURN is refused by market execution only."""
    terminal = make_terminal(execution=execution)
    assert terminal.symbol_info(EUR).trade_exemode == EXECUTIONS.index(execution)
    strict = execution in ("request", "instant")
    old = terminal.order_send(deal(BUY, price=1.0991, deviation=5, type_filling=IOC))
    assert old.retcode == (c.TRADE_RETCODE_REQUOTE if strict else c.TRADE_RETCODE_DONE)
    returned = terminal.order_send(deal(BUY, price=1.1001, type_filling=RETURN))
    refused = execution == "market"
    assert returned.retcode == (c.TRADE_RETCODE_INVALID_FILL if refused else 10009)
    waiting = terminal.order_send(order(LIMIT, 1.09, type_filling=RETURN))
    assert waiting.retcode == c.TRADE_RETCODE_DONE
    crossing = terminal.order_send(order(LIMIT, 1.11))
    assert crossing.retcode == (10009 if execution == "exchange" else 10015)


def test_little_liquidity_fills_in_part_by_the_filling():
    """FOK gets all or nothing, IOC what there is, and each tick brings new liquidity."""
    terminal = make_terminal(liquidity_lots=0.5)
    assert terminal.order_send(deal(BUY, 0.6, type_filling=FOK)).retcode == 10006
    assert all_deals(terminal) == []
    part = terminal.order_send(deal(BUY, 0.6, type_filling=IOC))
    assert (part.retcode, part.volume) == (c.TRADE_RETCODE_DONE_PARTIAL, 0.5)
    (done,) = terminal.history_orders_get(ticket=part.order)
    assert (done.volume_initial, done.volume_current) == (0.6, 0.1)
    assert done.state == c.ORDER_STATE_PARTIAL
    assert terminal.order_send(deal(BUY, 0.1, type_filling=IOC)).retcode == 10006
    assert terminal.order_send(deal(SELL, 0.5)).retcode == c.TRADE_RETCODE_DONE
    terminal.advance(minute(1))
    assert terminal.order_send(deal(BUY, 0.5)).retcode == c.TRADE_RETCODE_DONE
    assert [p.volume for p in terminal.positions_get()] == [0.5, 0.5, 0.5]


def test_a_returned_rest_works_on_at_the_market():
    """RETURN leaves the rest working: further ticks fill it into the same position."""
    terminal = make_terminal(execution="exchange", liquidity_lots=0.4)
    result = terminal.order_send(deal(BUY, 1.0, type_filling=RETURN))
    assert (result.retcode, result.volume) == (c.TRADE_RETCODE_DONE_PARTIAL, 0.4)
    (rest,) = terminal.orders_get()
    assert (rest.ticket, rest.type, rest.state) == (result.order, BUY, c.ORDER_STATE_PARTIAL)
    assert (rest.volume_initial, rest.volume_current) == (1.0, 0.6)
    terminal.advance(minute(2))
    assert [o.volume_current for o in terminal.orders_get()] == [0.2]
    terminal.advance(minute(3))
    assert terminal.orders_total() == 0
    assert [(p.ticket, p.volume) for p in terminal.positions_get()] == [(result.order, 1.0)]
    deals = terminal.history_deals_get(ticket=result.order)
    assert [d.volume for d in deals] == [0.4, 0.4, 0.2]
    assert terminal.history_orders_get(ticket=result.order)[0].state == c.ORDER_STATE_FILLED


def test_a_closing_rest_closes_and_excludes_another_close():
    """A close that goes on working refuses a second one (10039) and never turns a position."""
    terminal = make_terminal(execution="exchange", liquidity_lots=0.4)
    held = terminal.order_send(deal(BUY, 0.4)).order
    terminal.advance(minute(1))
    terminal.order_send(deal(BUY, 0.4, type_filling=IOC))
    terminal.order_send(deal(SELL, 0.3))
    rest = terminal.order_send(deal(SELL, 0.4, position=held, type_filling=RETURN))
    assert (rest.retcode, rest.volume) == (c.TRADE_RETCODE_DONE_PARTIAL, 0.1)
    again = terminal.order_send(deal(SELL, 0.1, position=held, type_filling=RETURN))
    assert again.retcode == c.TRADE_RETCODE_CLOSE_ORDER_EXIST
    terminal.advance(minute(3))
    assert terminal.positions_get(ticket=held) == ()
    assert terminal.orders_total() == 0
    assert sum(d.volume for d in terminal.history_deals_get(position=held)) == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("filling", "state", "lots"), [(FOK, 2, 0.0), (IOC, 3, 0.4), (RETURN, 4, 1)]
)
def test_working_orders_fill_by_their_filling(filling, state, lots):
    """A triggered order takes what its filling allows: nothing, the part, or all in time."""
    rows = [(1.1, 1.1, 1.08, 1.085)] * 4
    terminal = world(*rows, liquidity_lots=0.4, filling_mode=7)
    ticket = place(terminal, LIMIT, 1.09, lots=1.0, type_filling=filling)
    terminal.advance(minute(6))
    assert terminal.history_orders_get(ticket=ticket)[0].state == state
    assert sum(p.volume for p in terminal.positions_get()) == pytest.approx(lots)


def test_exchanges_take_crossing_limits_unless_they_are_passive():
    """A limit through the quote is filled at the quote at once; as BOC it is refused."""
    terminal = make_terminal(execution="exchange", filling_mode=7, account={"hedging": False})
    result = terminal.order_send(order(LIMIT, 1.11, 0.3))
    assert (result.retcode, terminal.orders_total()) == (c.TRADE_RETCODE_DONE, 0)
    assert terminal.positions_get()[0].price_open == 1.1001
    passive = terminal.order_send(order(LIMIT, 1.11, type_filling=BOC))
    assert (passive.retcode, passive.order) == (c.TRADE_RETCODE_REJECT, 0)
    assert place(terminal, LIMIT, 1.09, type_filling=BOC)
    assert terminal.order_send(order(STOP, 1.12, type_filling=BOC)).retcode == 10030
    assert terminal.order_send(deal(BUY, type_filling=BOC)).retcode == 10030


def test_close_by_closes_two_positions_against_each_other():
    """Two OUT_BY deals of one order, the profit in the first, no commission; the rest stays."""
    terminal = world((1.2, 1.2, 1.2, 1.2))
    long = terminal.order_send(deal(BUY, 0.5)).order
    terminal.advance(minute(1))
    short = terminal.order_send(deal(SELL, 0.2)).order
    before = terminal.account_info().balance
    expected = terminal.order_calc_profit(BUY, EUR, 0.2, 1.1001, 1.2)
    result = terminal.order_send(close_by(long, short))
    assert (result.retcode, result.volume) == (c.TRADE_RETCODE_DONE, 0.2)
    first, second = terminal.history_deals_get(ticket=result.order)
    assert (first.position_id, second.position_id) == (long, short)
    assert (first.type, second.type) == (SELL, BUY)
    assert first.entry == second.entry == c.DEAL_ENTRY_OUT_BY
    assert (first.profit, second.profit) == (expected, 0.0)
    assert first.commission == second.commission == 0.0
    assert terminal.account_info().balance == pytest.approx(before + expected)
    assert [(p.ticket, p.volume) for p in terminal.positions_get()] == [(long, 0.3)]
    (done,) = terminal.history_orders_get(ticket=result.order)
    assert (done.type, done.position_id, done.position_by_id) == (8, long, short)


def test_close_by_wants_two_opposite_positions_of_a_hedging_account():
    """Unknown, equal, same-sided or netted positions are refused and change nothing."""
    terminal = make_terminal()
    first, second = (terminal.order_send(deal(BUY)).order for _ in range(2))
    for request, retcode in (
        (close_by(first, 1), c.TRADE_RETCODE_POSITION_CLOSED),
        (close_by(1, first), c.TRADE_RETCODE_POSITION_CLOSED),
        (close_by(first, first), c.TRADE_RETCODE_INVALID),
        (close_by(first, second), c.TRADE_RETCODE_INVALID),
    ):
        assert terminal.order_send(request).retcode == retcode
    netting = make_terminal(account={"hedging": False})
    held = netting.order_send(deal(BUY)).order
    assert netting.order_send(close_by(held, held)).retcode == c.TRADE_RETCODE_INVALID
    assert terminal.positions_total() == 2


def test_fifo_accounts_close_the_oldest_first():
    """A younger position of the symbol is refused with 10045 while an older one is open."""
    terminal = make_terminal(account={"fifo": True})
    assert terminal.account_info().fifo_close is True
    old, young = (terminal.order_send(deal(BUY)).order for _ in range(2))
    refused = terminal.order_send(deal(SELL, position=young))
    assert refused.retcode == c.TRADE_RETCODE_FIFO_CLOSE
    for ticket in (old, young):
        assert terminal.order_send(deal(SELL, position=ticket)).retcode == 10009


def test_accounts_without_hedging_refuse_opposite_positions():
    """Against an open position only a close is allowed: 10046; working orders too."""
    terminal = make_terminal(account={"hedge_allowed": False})
    held = terminal.order_send(deal(BUY)).order
    assert terminal.order_send(deal(SELL)).retcode == 10046
    assert terminal.order_send(order(LIMIT + SELL, 1.11)).retcode == 10046
    assert terminal.order_send(deal(BUY)).retcode == 10009
    assert terminal.order_send(deal(SELL, position=held)).retcode == 10009


def test_margin_modes_are_told():
    """Netting, exchange and hedging accounts name their margin mode; only hedging has close-by."""
    for account, mode in (
        ({"hedging": False}, c.ACCOUNT_MARGIN_MODE_RETAIL_NETTING),
        ({"hedging": False, "exchange": True}, c.ACCOUNT_MARGIN_MODE_EXCHANGE),
        ({}, c.ACCOUNT_MARGIN_MODE_RETAIL_HEDGING),
    ):
        terminal = make_terminal(account=account, margin_call_frac=0.8)
        info = terminal.account_info()
        assert (info.margin_mode, info.margin_so_call) == (mode, 80.0)
        assert bool(terminal.symbol_info(EUR).order_mode & 64) == info.margin_mode // 2


def test_requests_by_ticket_need_no_symbol():
    """Levels, changes and removals find the symbol by their position or order."""
    terminal = make_terminal()
    held = terminal.order_send(deal(BUY)).order
    waiting = place(terminal, LIMIT, 1.09)
    levels = {"action": c.TRADE_ACTION_SLTP, "position": held, "sl": 1.09}
    assert terminal.order_send(levels).retcode == c.TRADE_RETCODE_DONE
    assert terminal.order_send(remove(waiting)).retcode == c.TRADE_RETCODE_DONE
    assert terminal.order_send({**levels, "position": 1}).retcode == 10036


def test_margin_in_the_base_currency_does_not_depend_on_the_price():
    """An account in a symbol's base currency needs the same margin at any price."""
    terminal = make_terminal({JPY: make_bars(flat(110.0), spread=0.01)})
    margins = {terminal.order_calc_margin(0, JPY, 1.0, price) for price in (100.0, 110.0, 120.0)}
    assert margins == {1000.0}
