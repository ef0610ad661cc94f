"""Calling conventions, strict types and errors (MT5.md §1)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from engine.model.times import NS_PER_S
from engine.terminal.simulated.module import constants as c
from engine.terminal.simulated.module.api import SimulatedTerminal
from tests.terminal.simulated.worlds import (
    EUR,
    START_NS,
    deal,
    flat,
    make_bars,
    make_terminal,
    minute,
)

SERVER_S = START_NS // NS_PER_S + 7200


@pytest.fixture
def terminal() -> SimulatedTerminal:
    """Return a terminal over an hour of flat EURUSD."""
    return make_terminal()


def test_everything_fails_before_initialize_and_after_shutdown(terminal):
    """Without a connection each function answers None or False and leaves −10004."""
    calls: dict[str, tuple[Any, ...]] = {
        "version": (),
        "terminal_info": (),
        "account_info": (),
        "symbols_total": (),
        "symbols_get": (),
        "symbol_info": (EUR,),
        "symbol_info_tick": (EUR,),
        "symbol_select": (EUR, True),
        "copy_rates_from_pos": (EUR, 1, 0, 1),
        "positions_total": (),
        "positions_get": (),
        "orders_get": (),
        "order_send": (deal(0),),
        "order_check": (deal(0),),
        "history_deals_get": (1, 2),
        "market_book_add": (EUR,),
        "login": (1_000_001,),
    }
    terminal.shutdown()
    for name, args in calls.items():
        assert getattr(terminal, name)(*args) in (None, False), name
        assert terminal.last_error() == (-10004, "No IPC connection")
    assert terminal.initialize("anywhere/terminal64.exe")
    assert terminal.last_error() == (1, "Success")
    assert terminal.positions_get() == ()


def test_login_checks_number_and_password():
    """Only the configured account is known; a wrong password is refused with −6."""
    terminal = make_terminal(account={"login": 77, "password": "right"})
    assert terminal.login(77, password="right")
    assert not terminal.login(78, password="right")
    assert terminal.last_error() == (-6, "Terminal: Authorization failed")
    assert not terminal.login(77, password="wrong")
    assert not terminal.initialize(login=77, password="right", server="Other-Server")
    assert terminal.account_info().login == 77


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("volume", 1),
        ("volume", None),
        ("volume", np.float32(0.1)),
        ("price", 1),
        ("sl", np.int64(1)),
        ("type", 0.0),
        ("type", np.int64(0)),
        ("deviation", np.int32(5)),
        ("magic", "7"),
        ("position", None),
        ("expiration", datetime(2018, 3, 6)),  # noqa: DTZ001
        ("symbol", b"EURUSD"),
        ("comment", "x" * 30),
        ("comment", "\N{GRINNING FACE}" * 15),
    ],
)
def test_requests_are_strictly_typed(terminal, key, value):
    """A wrong type gives None and names the argument; nothing is sent."""
    request = {**deal(0), key: value}
    for function in (terminal.order_send, terminal.order_check):
        assert function(request) is None
        assert terminal.last_error() == (-2, f'Invalid "{key}" argument')
        assert function(**request) is None
    assert terminal.positions_get() == ()


def test_requests_take_what_the_module_takes(terminal):
    """`numpy.float64`, missing keys, unknown keys and keywords are fine."""
    result = terminal.order_send(
        {**deal(0, np.float64(0.1)), "comment": "\N{GRINNING FACE}" * 14, "unknown": object()}
    )
    assert result.retcode == c.TRADE_RETCODE_DONE
    assert type(result.request.volume) is float
    assert terminal.order_send(**deal(1)).retcode == c.TRADE_RETCODE_DONE
    assert terminal.order_send().retcode == c.TRADE_RETCODE_INVALID


def test_negative_unsigned_raises_system_error(terminal):
    """A negative unsigned slips through the type check and raises, as in the module."""
    with pytest.raises(SystemError):
        terminal.order_send(deal(0, magic=-1))


def test_requests_refuse_other_positional_arguments(terminal):
    """Only one dict is taken by position."""
    for args, keywords in (((1,), {}), ((deal(0), deal(0)), {}), ((deal(0),), deal(0))):
        assert terminal.order_send(*args, **keywords) is None
        assert terminal.last_error() == (-2, "Unnamed arguments not allowed")


def test_position_filters_are_not_combined(terminal):
    """Ticket wins over symbol over group; unknown keywords are ignored; no match is ()."""
    ticket = terminal.order_send(deal(0, magic=5)).order
    assert len(terminal.positions_get(magic=99)) == 1
    assert len(terminal.positions_get(ticket=ticket, symbol="GBPUSD")) == 1
    assert terminal.positions_get(ticket=ticket + 1, symbol=EUR) == ()
    assert terminal.positions_get(symbol="GBPUSD", group="*") == ()
    assert len(terminal.positions_get(group="EUR*")) == 1
    assert terminal.positions_get(group="*,!EURUSD") == ()
    assert terminal.positions_get(EUR) is None
    assert terminal.positions_get(ticket="1") is None
    assert terminal.last_error() == (-2, 'Invalid "ticket" argument')
    assert terminal.orders_get() == ()
    assert terminal.orders_total() == 0
    assert terminal.positions_total() == 1


def test_history_takes_dates_or_ticket_or_position(terminal):
    """Two dates by position, else the order's ticket, else a position; 0 is no date."""
    result = terminal.order_send(deal(0))
    day = 86_400
    assert len(terminal.history_deals_get(SERVER_S - day, SERVER_S + day)) == 2
    assert len(terminal.history_deals_get(SERVER_S - day, SERVER_S + day, group="EUR*")) == 1
    assert terminal.history_deals_get(ticket=result.order)[0].ticket == result.deal
    assert terminal.history_deals_get(ticket=result.deal) == ()
    assert terminal.history_deals_get(position=result.order)[0].entry == c.DEAL_ENTRY_IN
    assert terminal.history_orders_get(ticket=result.order)[0].state == c.ORDER_STATE_FILLED
    assert len(terminal.history_orders_get(SERVER_S, SERVER_S)) == 1
    assert terminal.history_orders_get(SERVER_S + 1, SERVER_S + day) == ()
    assert terminal.history_orders_get(SERVER_S - day, SERVER_S - 1) == ()
    assert terminal.history_deals_total(SERVER_S - day, SERVER_S + day) == 2
    assert terminal.history_orders_total(SERVER_S - day, SERVER_S + day) == 1
    assert terminal.history_deals_get(0, SERVER_S) is None
    assert terminal.history_deals_get() is None
    assert terminal.history_deals_get(date_from=1, date_to=2) is None
    with pytest.raises(TypeError):
        terminal.history_deals_total(date_from=1, date_to=2)


def test_dates_are_read_like_the_module_reads_them(terminal):
    """Aware datetimes by timestamp, naive ones in the host's zone, floats cut to seconds."""
    terminal.advance(minute(10))
    at_s = SERVER_S + 300
    aware = datetime.fromtimestamp(at_s, UTC)
    naive = aware.astimezone().replace(tzinfo=None)
    expected = terminal.copy_rates_from(EUR, 1, at_s, 2)
    assert expected["time"].tolist() == [at_s - 60, at_s]
    for date in (aware, naive, at_s + 0.9, float(at_s), aware + timedelta(milliseconds=900)):
        assert terminal.copy_rates_from(EUR, 1, date, 2).tolist() == expected.tolist()
    assert terminal.copy_rates_from(EUR, 1, at_s + 2**32, 2).tolist() == expected.tolist()
    assert terminal.copy_rates_from(EUR, 1, 0, 2) is None
    assert terminal.copy_rates_from(EUR, 1, str(at_s), 2) is None


def test_market_watch_gates_ticks_and_orders(terminal):
    """A symbol out of Market Watch has no tick and takes no order; positions keep it in."""
    assert terminal.symbol_select(EUR, False)
    assert not terminal.symbol_info(EUR).select
    assert terminal.symbol_info_tick(EUR) is None
    assert terminal.order_send(deal(0)).retcode == c.TRADE_RETCODE_INVALID
    assert terminal.symbol_select(EUR)
    assert terminal.order_send(deal(0)).retcode == c.TRADE_RETCODE_DONE
    assert not terminal.symbol_select(EUR, False)
    assert not terminal.symbol_select("NOSUCH", True)
    assert terminal.symbol_info("NOSUCH") is None
    assert terminal.last_error() == (-4, "Terminal: Not found")


def test_groups_select_symbols():
    """Masks are taken in order, `!` takes out."""
    bars = {name: make_bars(flat(1.1)) for name in ("EURUSD", "GBPUSD", "EURGBP", "XAUUSD")}
    terminal = make_terminal(bars)
    names = lambda group: [s.name for s in terminal.symbols_get(group)]  # noqa: E731
    assert names("*") == list(bars)
    assert names("*USD*,!EURUSD") == ["GBPUSD", "XAUUSD"]
    assert names("!*USD") == ["EURGBP"]
    assert [s.name for s in terminal.symbols_get(group="EUR*")] == ["EURUSD", "EURGBP"]
    assert terminal.symbols_total() == 4


def test_depth_of_market_is_unsupported_without_limits(terminal):
    """Where liquidity never ends the book functions answer False or None with −7."""
    for function, answer in (
        (terminal.market_book_add, False),
        (terminal.market_book_release, False),
        (terminal.market_book_get, None),
    ):
        assert function(EUR) is answer
        assert terminal.last_error()[0] == c.RES_E_UNSUPPORTED


def test_depth_of_market_is_what_is_left_at_the_quote():
    """A subscribed symbol shows offers before bids, less what was taken; else it is −4."""
    terminal = make_terminal(liquidity_lots=2.5)
    assert terminal.symbol_info(EUR).ticks_bookdepth == 1
    assert terminal.market_book_get(EUR) is None
    assert terminal.last_error()[0] == c.RES_E_NOT_FOUND
    assert terminal.market_book_add(EUR)
    terminal.order_send(deal(0, 1.0))
    offer, bid = terminal.market_book_get(EUR)
    assert tuple(offer) == (c.BOOK_TYPE_SELL, 1.1001, 1, 1.5)
    assert tuple(bid) == (c.BOOK_TYPE_BUY, 1.1, 2, 2.5)
    assert terminal.market_book_release(EUR)
    assert terminal.market_book_get(EUR) is None


def test_a_symbol_tells_of_its_day():
    """Highest and lowest prices, the day's open, yesterday's close and the change since."""
    at_open = START_NS - 11 * 3_600_000_000_000
    bars = make_bars(
        [(1.2, 1.25, 1.15, 1.2), *flat(1.1, 1439), (1.0, 1.3, 0.9, 1.21), *flat(1.21, 9)]
    )
    bars["time_ns"] += at_open - START_NS
    terminal = make_terminal({EUR: bars}, start_ns=at_open)
    terminal.advance(at_open + 1445 * 60_000_000_000)
    info = terminal.symbol_info(EUR)
    assert (info.bidhigh, info.bidlow, info.session_open, info.session_close) == (
        1.3,
        0.9,
        1.0,
        1.1,
    )
    assert (info.askhigh, info.asklow, info.price_change) == (1.3001, 0.9001, 10.0)


def test_bad_series_arguments_are_errors(terminal):
    """Unknown symbols, timeframes and counts answer None, never an empty array."""
    assert terminal.copy_rates_from_pos("NOSUCH", 1, 0, 1) is None
    assert terminal.last_error() == (-1, "Terminal: Call failed")
    for args in ((EUR, 7, 0, 1), (EUR, 1, -1, 1), (EUR, 1, 0, 0), (EUR, 1, 0, "1")):
        assert terminal.copy_rates_from_pos(*args) is None
        assert terminal.last_error()[0] == c.RES_E_INVALID_PARAMS
    assert terminal.copy_ticks_from(EUR, SERVER_S, 10, 99) is None
    with pytest.raises(TypeError):
        terminal.copy_rates_from_pos(symbol=EUR, timeframe=1, start_pos=0, count=1)
