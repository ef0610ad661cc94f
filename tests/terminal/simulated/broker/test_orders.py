"""Orders: the broker's checks, fills at the quote, hedging and netting, money."""

import pytest

from engine.decision.money import commission_ccy, profit_ccy, round_ccy
from engine.model.errors import ConfigError
from engine.model.symbols import DEFAULT_SYMBOLS
from engine.terminal.simulated.module import constants as c
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

BUY, SELL = 0, 1
NETTING = {"hedging": False}


def stepped_prices(*prices):
    """Return a terminal where each minute has one price."""
    return {EUR: make_bars([(p, p, p, p) for p in prices])}


@pytest.mark.parametrize(
    ("request_", "retcode"),
    [
        (deal(BUY, action=c.TRADE_ACTION_PENDING), c.TRADE_RETCODE_INVALID),
        (deal(BUY, action=c.TRADE_ACTION_REMOVE), c.TRADE_RETCODE_INVALID_ORDER),
        (deal(BUY, action=c.TRADE_ACTION_MODIFY), c.TRADE_RETCODE_INVALID_ORDER),
        (deal(BUY, action=c.TRADE_ACTION_CLOSE_BY), c.TRADE_RETCODE_POSITION_CLOSED),
        (deal(BUY, action=99), c.TRADE_RETCODE_INVALID),
        (deal(c.ORDER_TYPE_BUY_LIMIT), c.TRADE_RETCODE_INVALID),
        (deal(BUY, symbol="NOSUCH"), c.TRADE_RETCODE_INVALID),
        (deal(BUY, type_filling=c.ORDER_FILLING_RETURN), c.TRADE_RETCODE_INVALID_FILL),
        (deal(BUY, type_filling=c.ORDER_FILLING_BOC), c.TRADE_RETCODE_INVALID_FILL),
        (deal(BUY, 0.0), c.TRADE_RETCODE_INVALID_VOLUME),
        (deal(BUY, 0.005), c.TRADE_RETCODE_INVALID_VOLUME),
        (deal(BUY, 0.015), c.TRADE_RETCODE_INVALID_VOLUME),
        (deal(BUY, 100.01), c.TRADE_RETCODE_INVALID_VOLUME),
        (deal(BUY, position=1), c.TRADE_RETCODE_POSITION_CLOSED),
        (deal(BUY, price=-1.0), c.TRADE_RETCODE_INVALID_PRICE),
        (deal(BUY, price=1.100001), c.TRADE_RETCODE_INVALID_PRICE),
        (deal(BUY, sl=1.1), c.TRADE_RETCODE_INVALID_STOPS),
        (deal(BUY, tp=1.1), c.TRADE_RETCODE_INVALID_STOPS),
        (deal(SELL, sl=1.1), c.TRADE_RETCODE_INVALID_STOPS),
        (deal(SELL, tp=1.1001), c.TRADE_RETCODE_INVALID_STOPS),
        (deal(BUY, sl=1.091234567), c.TRADE_RETCODE_INVALID_STOPS),
        (deal(BUY, sl=float("nan")), c.TRADE_RETCODE_INVALID_STOPS),
        (deal(BUY, float("nan")), c.TRADE_RETCODE_INVALID_VOLUME),
        (deal(BUY, float("inf")), c.TRADE_RETCODE_INVALID_VOLUME),
        (deal(BUY, 99.0), c.TRADE_RETCODE_NO_MONEY),
    ],
)
def test_bad_requests_are_refused_and_change_nothing(request_, retcode):
    """Each broken rule has its return code; check and send agree; nothing is booked."""
    terminal = make_terminal()
    before = terminal.account_info()
    assert terminal.order_check(request_).retcode == retcode
    result = terminal.order_send(request_)
    assert (result.retcode, result.deal, result.order) == (retcode, 0, 0)
    assert terminal.last_error() == (1, "Success")
    assert terminal.account_info() == before
    assert terminal.positions_get() == ()
    assert all_deals(terminal) == []


def test_fills_are_at_the_quote():
    """Buys fill at ask, sells at bid; the result echoes fill and request, tickets differ."""
    terminal = make_terminal(spec={"spread_points": 10.0})
    for side, price in ((BUY, 1.1001), (SELL, 1.1)):
        request = deal(side, 0.37, price=1.05, magic=2**40, comment="mark")
        result = terminal.order_send(request)
        assert (result.retcode, result.price, result.volume) == (10009, price, 0.37)
        assert (result.bid, result.ask) == (1.1, 1.1001)
        assert {k: getattr(result.request, k) for k in request} == request
        position = terminal.positions_get(ticket=result.order)[0]
        assert position.ticket == position.identifier == result.order != result.deal
        assert (position.magic, position.comment) == (2**40, "mark")
        assert position.price_open == price


def test_stops_level_counts_from_the_closing_side():
    """The least distance is measured from bid for longs and from ask for shorts."""
    terminal = make_terminal(spec={"stops_level_points": 50.0})
    for side, near, far in ((BUY, 1.09951, 1.0995), (SELL, 1.10059, 1.1006)):
        assert terminal.order_send(deal(side, sl=near)).retcode == c.TRADE_RETCODE_INVALID_STOPS
        assert terminal.order_send(deal(side, sl=far)).retcode == c.TRADE_RETCODE_DONE


def test_instant_execution_requotes_beyond_the_deviation():
    """Instant execution wants the price within `deviation` points; market execution does not."""
    terminal = make_terminal(execution="instant")
    refused = terminal.order_send(deal(BUY, price=1.10005, deviation=4))
    assert refused.retcode == c.TRADE_RETCODE_REQUOTE
    assert (refused.bid, refused.ask) == (1.1, 1.1001)
    assert terminal.order_send(deal(BUY, price=1.10005, deviation=5)).price == 1.1001
    assert terminal.order_send(deal(BUY)).retcode == c.TRADE_RETCODE_INVALID_PRICE


def test_closed_market_and_missing_quotes_are_refused():
    """No bar yet: 10021 or closed; inside a long hole: 10018; in a short one trading goes on."""
    bars = {
        EUR: make_bars(flat(1.1, 200)),
        "GBPUSD": make_bars([*flat(1.3, 10)]),
        "AUDUSD": make_bars(flat(0.7, 10), first=60),
    }
    hole = make_bars(flat(0.6, 40))
    hole["time_ns"][10:] += 20 * 60 * 10**9
    bars["NZDUSD"] = hole
    terminal = make_terminal(bars)
    terminal.advance(minute(15))
    codes = {name: terminal.order_send(deal(BUY, symbol=name)).retcode for name in bars}
    assert codes == {
        EUR: c.TRADE_RETCODE_DONE,
        "GBPUSD": c.TRADE_RETCODE_MARKET_CLOSED,
        "AUDUSD": c.TRADE_RETCODE_MARKET_CLOSED,
        "NZDUSD": c.TRADE_RETCODE_DONE,
    }


def test_an_unconvertible_profit_is_refused():
    """Without a quote of the converting pair: 10021; without the pair: no start."""
    bars = {"EURGBP": make_bars(flat(0.86)), "GBPUSD": make_bars(flat(1.3), first=5)}
    terminal = make_terminal(bars)
    assert terminal.order_send(deal(BUY, symbol="EURGBP")).retcode == c.TRADE_RETCODE_PRICE_OFF
    assert terminal.order_calc_profit(BUY, "EURGBP", 1.0, 0.86, 0.87) is None
    terminal.advance(minute(5))
    assert terminal.order_send(deal(BUY, symbol="EURGBP")).retcode == c.TRADE_RETCODE_DONE
    assert terminal.order_calc_profit(BUY, "EURGBP", 1.0, 0.86, 0.87) == 1300.0
    with pytest.raises(ConfigError, match="GBPUSD or USDGBP"):
        make_terminal({"EURGBP": make_bars(flat(0.86))})


def test_hedging_closes_by_position_only():
    """An opposite deal without `position` opens; with it, it closes, in part or whole."""
    terminal = make_terminal()
    first = terminal.order_send(deal(BUY, 0.3)).order
    terminal.order_send(deal(SELL, 0.1))
    assert terminal.positions_total() == 2
    same_side = terminal.order_send(deal(BUY, 0.1, position=first))
    assert same_side.retcode == c.TRADE_RETCODE_INVALID
    too_much = terminal.order_send(deal(SELL, 0.4, position=first))
    assert too_much.retcode == c.TRADE_RETCODE_INVALID_CLOSE_VOLUME
    part = terminal.order_send(deal(SELL, 0.1, position=first))
    assert terminal.positions_get(ticket=first)[0].volume == 0.2
    terminal.order_send(deal(SELL, 0.2, position=first))
    assert terminal.positions_get(ticket=first) == ()
    assert [d.entry for d in terminal.history_deals_get(position=first)] == [0, 1, 1]
    assert terminal.history_deals_get(ticket=part.order)[0].position_id == first
    again = terminal.order_send(deal(SELL, 0.2, position=first))
    assert again.retcode == c.TRADE_RETCODE_POSITION_CLOSED


def test_netting_adds_reduces_closes_and_reverses():
    """One position a symbol: the mean price, INOUT on reversal, the identifier stays."""
    terminal = make_terminal(stepped_prices(1.1, 1.2, 1.3, 1.3), account=NETTING)
    first = terminal.order_send(deal(BUY, 0.1)).order
    terminal.advance(minute(1))
    terminal.order_send(deal(BUY, 0.3))
    (held,) = terminal.positions_get()
    assert held.volume == 0.4
    assert held.price_open == pytest.approx((0.1 * 1.1001 + 0.3 * 1.2001) / 0.4)
    terminal.advance(minute(2))
    terminal.order_send(deal(SELL, 0.1))
    reversal = terminal.order_send(deal(SELL, 0.5))
    (held,) = terminal.positions_get()
    assert (held.type, held.volume, held.price_open) == (c.POSITION_TYPE_SELL, 0.2, 1.3)
    assert (held.ticket, held.identifier) == (reversal.order, first)
    terminal.order_send(deal(BUY, 0.2))
    assert terminal.positions_get() == ()
    entries = [d.entry for d in terminal.history_deals_get(position=first)]
    assert entries == [c.DEAL_ENTRY_IN, c.DEAL_ENTRY_IN, c.DEAL_ENTRY_OUT, c.DEAL_ENTRY_INOUT, 1]


def test_money_is_the_decision_cores():
    """Profit, commission and balance are the core's functions, to the last bit, converted."""
    terminal = make_terminal(
        {JPY: make_bars([(p, p, p, p) for p in (108.123, 109.456)], spread=0.013)}
    )
    opened = terminal.order_send(deal(BUY, 0.37, JPY))
    terminal.advance(minute(1))
    closed = terminal.order_send(deal(SELL, 0.37, JPY, position=opened.order))
    entry, exit_ = all_deals(terminal)
    profit = round_ccy(profit_ccy(1, 0.37, 108.136, 109.456, 3, 100_000.0, 1.0 / 109.456), 2)
    commission = commission_ccy(0.37, DEFAULT_SYMBOLS[JPY].commission_per_lot_ccy, 2)
    assert (entry.profit, entry.commission) == (0.0, commission)
    assert (exit_.profit, exit_.commission) == (profit, commission)
    assert (opened.price, closed.price) == (108.136, 109.456)
    balance = round_ccy(round_ccy(100_000.0 + commission, 2) + profit + commission, 2)
    assert terminal.account_info().balance == balance
    assert terminal.order_calc_profit(BUY, JPY, 0.37, 108.136, 109.456) == profit


def test_sltp_moves_levels():
    """Levels are set, removed by leaving them out, refused inside the level; same is 10025."""
    terminal = make_terminal()
    ticket = terminal.order_send(deal(BUY, sl=1.09)).order
    move = {"action": c.TRADE_ACTION_SLTP, "symbol": EUR, "position": ticket}
    assert terminal.order_send({**move, "sl": 1.095, "tp": 1.12}).retcode == 10009
    held = terminal.positions_get()[0]
    assert (held.sl, held.tp) == (1.095, 1.12)
    same = terminal.order_send({**move, "sl": 1.095, "tp": 1.12})
    assert same.retcode == c.TRADE_RETCODE_NO_CHANGES
    bad = terminal.order_send({**move, "sl": 1.1})
    assert bad.retcode == c.TRADE_RETCODE_INVALID_STOPS
    assert terminal.order_send(move).retcode == 10009
    assert terminal.positions_get()[0].sl == 0.0
    gone = terminal.order_send({**move, "position": 1})
    assert gone.retcode == c.TRADE_RETCODE_POSITION_CLOSED


def test_trade_modes_allow_only_their_side():
    """Close-only and one-sided symbols refuse entries but never a close."""
    terminal = make_terminal()
    ticket = terminal.order_send(deal(BUY)).order
    for mode, side, retcode in (
        (c.SYMBOL_TRADE_MODE_CLOSEONLY, BUY, c.TRADE_RETCODE_CLOSE_ONLY),
        (c.SYMBOL_TRADE_MODE_LONGONLY, SELL, c.TRADE_RETCODE_LONG_ONLY),
        (c.SYMBOL_TRADE_MODE_SHORTONLY, BUY, c.TRADE_RETCODE_SHORT_ONLY),
        (c.SYMBOL_TRADE_MODE_DISABLED, BUY, c.TRADE_RETCODE_TRADE_DISABLED),
    ):
        terminal.control({"op": "set_switches", "trade_modes": {EUR: mode}})
        assert terminal.symbol_info(EUR).trade_mode == mode
        assert terminal.order_send(deal(side)).retcode == retcode
    terminal.control({"op": "set_switches", "trade_modes": {EUR: c.SYMBOL_TRADE_MODE_CLOSEONLY}})
    assert terminal.order_send(deal(SELL, position=ticket)).retcode == c.TRADE_RETCODE_DONE


def test_account_figures_hang_together():
    """Equity = balance + profit; free = equity − margin; a hedged pair costs its larger leg."""
    terminal = make_terminal(stepped_prices(1.1, 1.11))
    terminal.order_send(deal(BUY, 1.0))
    terminal.order_send(deal(SELL, 0.4))
    terminal.advance(minute(1))
    info = terminal.account_info()
    positions = terminal.positions_get()
    assert [p.price_current for p in positions] == [1.11, 1.1101]
    assert [p.profit for p in positions] == [990.0, -404.0]
    assert info.profit == pytest.approx(sum(p.profit + p.swap for p in positions))
    assert info.equity == pytest.approx(info.balance + info.profit)
    assert info.margin == 1110.0
    assert info.margin_free == pytest.approx(info.equity - info.margin)
    assert info.margin_level == pytest.approx(info.equity / info.margin * 100)
    check = terminal.order_check(deal(BUY, 1.0))
    assert (check.retcode, check.comment) == (0, "Done")
    assert check.margin == pytest.approx(2220.0)
    assert terminal.order_calc_margin(BUY, EUR, 1.0, 1.2) == 1200.0


def test_stop_out_closes_the_largest_loser():
    """Below 50 % margin level the largest loser goes, and only as many as needed."""
    terminal = make_terminal(
        stepped_prices(1.1, 1.092, 1.092), account={"balance_ccy": 10_000.0, "leverage": 100}
    )
    big = terminal.order_send(deal(BUY, 5.0)).order
    terminal.order_send(deal(BUY, 4.0))
    terminal.advance(minute(1))
    assert [p.volume for p in terminal.positions_get()] == [4.0]
    last = terminal.history_deals_get(position=big)[-1]
    assert (last.reason, last.price) == (c.DEAL_REASON_SO, 1.092)


def test_stop_out_by_money_looks_at_the_free_margin():
    """The account tells mode and levels; only as much goes as brings the free margin back."""
    levels = {"margin_so_ccy": 500.0, "margin_call_ccy": 1000.0}
    terminal = make_terminal(
        stepped_prices(1.1, 1.0995, 1.0988, 1.0988), account={"balance_ccy": 10_000.0}, **levels
    )
    info = terminal.account_info()
    assert (info.margin_so_mode, info.margin_so_call, info.margin_so_so) == (1, 1000.0, 500.0)
    big = terminal.order_send(deal(BUY, 5.0)).order
    terminal.order_send(deal(BUY, 3.0))
    terminal.advance(minute(1))
    assert 500.0 < terminal.account_info().margin_free < 1000.0
    assert terminal.positions_total() == 2
    terminal.advance(minute(2))
    assert [p.volume for p in terminal.positions_get()] == [3.0]
    assert terminal.history_deals_get(position=big)[-1].reason == c.DEAL_REASON_SO
    assert terminal.account_info().margin_free > 500.0


@pytest.mark.parametrize("hedging", [True, False])
def test_the_number_of_positions_is_limited(hedging):
    """One more is 10040; what closes, adds to or reverses a netted position is taken."""
    bars = {EUR: make_bars(flat(1.1)), JPY: make_bars(flat(110.0), spread=0.01)}
    terminal = make_terminal(bars, account={"hedging": hedging, "limit_positions": 1})
    waits = {"action": c.TRADE_ACTION_PENDING, "symbol": JPY, "volume": 0.1, "type": 2}
    waits |= {"price": 109.0, "type_filling": c.ORDER_FILLING_RETURN}
    over = c.TRADE_RETCODE_LIMIT_POSITIONS
    ticket = terminal.order_send(waits).order
    # Only where positions hedge must a waiting order open one more.
    expected = over if hedging else c.TRADE_RETCODE_DONE
    assert terminal.order_send(deal(BUY)).retcode == expected
    terminal.order_send({"action": c.TRADE_ACTION_REMOVE, "order": ticket})
    if hedging:
        assert terminal.order_send(deal(BUY)).retcode == c.TRADE_RETCODE_DONE
    (held,) = terminal.positions_get()
    refused = [terminal.order_send(r) for r in (deal(SELL, symbol=JPY), waits)]
    assert [(r.retcode, r.comment) for r in refused] == [(over, "Position limit reached")] * 2
    for lots in (0.1, 0.2):
        added = terminal.order_send(deal(BUY, lots)).retcode
        assert added == (over if hedging else c.TRADE_RETCODE_DONE)
    closing = deal(SELL, 0.1, position=held.ticket)
    assert terminal.order_send(closing).retcode == c.TRADE_RETCODE_DONE


def test_helpers_retry_requotes_and_close():
    """`Buy`, `Sell` and `Close` exist, try again on a requote and report what happened."""
    terminal = make_terminal()
    terminal.control({"op": "set_fault", "call": "order_send", "kind": "retcode", "count": 3})
    assert terminal.Buy(EUR, 0.1).retcode == c.TRADE_RETCODE_DONE
    assert terminal.Sell(EUR, 0.2, comment="s").retcode == c.TRADE_RETCODE_DONE
    assert terminal.Close(EUR) is True
    assert terminal.positions_get() == ()
    assert terminal.Close(EUR) is False
    assert terminal.Buy(EUR, 1) is None


@pytest.mark.parametrize("side", ["Buy", "Sell"])
def test_helpers_send_a_given_price_once(side):
    """With a price it is the caller's to try again: one request, whatever its answer."""
    terminal = make_terminal(execution="instant")
    trade = getattr(terminal, side)
    for number in (1, 2):
        stale = trade(EUR, 0.1, 1.05)
        assert (stale.retcode, stale.request_id) == (c.TRADE_RETCODE_REQUOTE, number)
    for code in (c.TRADE_RETCODE_REQUOTE, c.TRADE_RETCODE_PRICE_OFF):
        fault = {"call": "order_send", "kind": "retcode", "retcode": code, "count": 2}
        terminal.control({"op": "set_fault", **fault})
        n_deals = len(all_deals(terminal))
        assert trade(EUR, 0.1, 1.1).retcode == code
        assert len(all_deals(terminal)) == n_deals
        # Without one it goes out again at the market's: the second fault, then done.
        assert trade(EUR, 0.1).retcode == c.TRADE_RETCODE_DONE


def test_helpers_with_a_price_ask_for_no_tick():
    """Outside Market Watch a symbol has no tick; the server answers an order with a price."""
    bars = {EUR: make_bars(flat(1.1)), JPY: make_bars(flat(110.0))}
    terminal = make_terminal(bars)
    terminal.symbol_select(JPY, False)
    assert terminal.symbol_info_tick(JPY) is None
    answers = [terminal.Sell(JPY, 0.1, 110.0), terminal._RawOrder(SELL, JPY, 0.1, 110.0)]
    expected = terminal.order_send(deal(SELL, symbol=JPY, price=110.0))
    assert [a.retcode for a in answers] == [expected.retcode] * 2
    assert terminal.Sell(JPY, 0.1) is None


def test_raw_orders_are_sent_as_they_are_given():
    """`_RawOrder`, which adapters wrap: one request, positional comment and ticket."""
    terminal = make_terminal()
    opened = terminal._RawOrder(BUY, EUR, 0.2, 1.1001, "mine", None)
    assert (opened.retcode, opened.request.comment) == (c.TRADE_RETCODE_DONE, "mine")
    assert opened.request.deviation == 10
    closed = terminal._RawOrder(SELL, EUR, 0.2, 1.1, ticket=opened.order)
    assert (closed.retcode, terminal.positions_total()) == (c.TRADE_RETCODE_DONE, 0)
    assert terminal._RawOrder(BUY, EUR, 1, 1.1001) is None
    assert terminal.last_error() == (-2, 'Invalid "volume" argument')
