"""Scripted faults, and the traps users of the module fell into (MT5.md §1, §3, §5)."""

import threading

import pytest

from engine.model.times import NS_PER_S
from engine.terminal.simulated.module import constants as c
from tests.terminal.simulated.worlds import (
    EUR,
    START_NS,
    all_deals,
    deal,
    flat,
    make_bars,
    make_terminal,
    minute,
)


@pytest.fixture
def terminal():
    """Return a terminal over an hour of flat EURUSD."""
    return make_terminal()


def script(terminal, call, kind, **more):
    """Script one fault."""
    terminal.control({"op": "set_fault", "call": call, "kind": kind, **more})


def test_a_lost_reply_leaves_an_executed_order(terminal):
    """A timeout after execution answers None with −10005 although the position exists."""
    script(terminal, "order_send", "error", when="after")
    assert terminal.order_send(deal(0, magic=7)) is None
    assert terminal.last_error() == (-10005, "IPC timeout")
    assert [p.magic for p in terminal.positions_get()] == [7]
    assert terminal.last_error() == (1, "Success")


def test_a_failed_send_leaves_nothing(terminal):
    """An error before execution answers None and changes nothing; the next call is good."""
    script(terminal, "order_send", "error", code=c.RES_E_INTERNAL_FAIL_SEND)
    assert terminal.order_send(deal(0)) is None
    assert terminal.last_error() == (-10001, "IPC send failed")
    assert terminal.positions_get() == ()
    assert terminal.order_send(deal(0)).retcode == c.TRADE_RETCODE_DONE


def test_any_function_can_fail_and_none_is_not_flat(terminal):
    """`positions_get` that fails answers None, never an empty tuple."""
    terminal.order_send(deal(0))
    script(terminal, "positions_get", "error", code=c.RES_E_INTERNAL_FAIL, count=2)
    assert terminal.positions_get() is None
    assert terminal.positions_get() is None
    assert terminal.last_error() == (-10000, "IPC call failed")
    assert len(terminal.positions_get()) == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_terminal_restart_needs_initialize(terminal, when):
    """The call under way fails with −10002, later ones with −10004 until `initialize`."""
    script(terminal, "order_send", "restart", when=when)
    assert terminal.order_send(deal(0)) is None
    assert terminal.last_error()[0] == -10002
    assert terminal.account_info() is None
    assert terminal.last_error()[0] == -10004
    assert terminal.initialize()
    assert terminal.positions_total() == (when == "after")


def test_a_delayed_call_waits(terminal):
    """A delay holds the call, a delay without end hangs it; other threads see it hanging."""
    script(terminal, "account_info", "delay", delay_s=None)
    hung = threading.Thread(target=terminal.account_info, daemon=True)
    hung.start()
    hung.join(0.2)
    assert hung.is_alive()
    script(terminal, "symbols_total", "delay", delay_s=0.01)
    assert terminal.symbols_total() == 1


def test_retcodes_are_overridden_without_execution(terminal):
    """A scripted return code executes nothing; a requote carries the new prices."""
    script(terminal, "order_send", "retcode")
    result = terminal.order_send(deal(0))
    assert (result.retcode, result.comment) == (c.TRADE_RETCODE_REQUOTE, "Requote")
    assert (result.price, result.bid, result.ask) == (1.1001, 1.1, 1.1001)
    script(terminal, "order_send", "retcode", retcode=c.TRADE_RETCODE_TOO_MANY_REQUESTS, count=2)
    codes = [terminal.order_send(deal(0)).retcode for _ in range(3)]
    assert codes == [10024, 10024, 10009]
    assert len(terminal.positions_get()) == 1


def test_a_code_of_no_prices_is_no_success(terminal):
    """10021 comes with neither deal nor order."""
    script(terminal, "order_send", "retcode", retcode=c.TRADE_RETCODE_PRICE_OFF)
    result = terminal.order_send(deal(0))
    assert (result.retcode, result.deal, result.order, result.volume) == (10021, 0, 0, 0.0)
    assert all_deals(terminal) == []


def test_what_was_sent_may_not_be_visible_yet(terminal):
    """Under lag, positions and history show the state before the order for a while."""
    script(terminal, "order_send", "lag", delay_s=3600.0)
    result = terminal.order_send(deal(0))
    assert result.retcode == c.TRADE_RETCODE_DONE
    assert terminal.positions_get() == ()
    assert terminal.positions_total() == 0
    assert terminal.history_deals_get(ticket=result.order) == ()
    assert terminal.history_orders_get(ticket=result.order) == ()
    terminal.trading._lag.until_ns = 0
    assert len(terminal.positions_get()) == 1
    assert len(terminal.history_deals_get(ticket=result.order)) == 1


def test_a_login_may_succeed_and_say_otherwise(terminal):
    """A timeout of `initialize` or `login` can be reported although it succeeded."""
    terminal.shutdown()
    script(terminal, "initialize", "error", when="after")
    assert terminal.initialize() is False
    assert terminal.last_error()[0] == -10005
    assert terminal.account_info().login == 1_000_001


def test_switches_say_why_trading_is_off(terminal):
    """Disconnected 10031, algo-trading off 10027, Python API off −8, investor 10017."""
    for switch, told, retcode in (
        ({"connected": False}, lambda: terminal.terminal_info().connected, 10031),
        ({"algo_trading": False}, lambda: terminal.terminal_info().trade_allowed, 10027),
        ({"investor": True}, lambda: terminal.account_info().trade_allowed, 10017),
    ):
        assert told() is True
        terminal.control({"op": "set_switches", **switch})
        assert told() is False
        assert terminal.order_send(deal(0)).retcode == retcode
        terminal.control({"op": "set_switches", **{k: not v for k, v in switch.items()}})
    terminal.control({"op": "set_switches", "api_enabled": False})
    assert terminal.terminal_info().tradeapi_disabled
    assert terminal.order_send(deal(0)) is None
    assert terminal.last_error()[0] == -8
    assert terminal.positions_get() == ()


def test_faults_can_be_read_and_cleared(terminal):
    """The state lists the faults to come; clearing forgets them."""
    script(terminal, "order_send", "retcode", count=3)
    assert terminal.control({"op": "state"})["faults"][0]["count"] == 3
    terminal.order_send(deal(0))
    assert terminal.control({"op": "state"})["faults"][0]["count"] == 2
    assert terminal.control({"op": "clear_faults"})["faults"] == []
    assert terminal.order_send(deal(0)).retcode == c.TRADE_RETCODE_DONE


def test_a_close_without_position_opens_the_opposite(terminal):
    """On a hedging account an opposite deal without `position` makes two positions."""
    terminal.order_send(deal(0))
    terminal.order_send(deal(1))
    assert [p.type for p in terminal.positions_get()] == [0, 1]


def test_filling_is_a_bitmask_there_and_an_enum_here():
    """A symbol that allows IOC only (2) refuses FOK (0) and takes IOC (1)."""
    terminal = make_terminal(filling_mode=2)
    assert terminal.symbol_info(EUR).filling_mode == 2
    refused = terminal.order_send(deal(0, type_filling=c.ORDER_FILLING_FOK))
    assert refused.retcode == c.TRADE_RETCODE_INVALID_FILL
    taken = terminal.order_send(deal(0, type_filling=c.ORDER_FILLING_IOC))
    assert taken.retcode == c.TRADE_RETCODE_DONE


def test_a_range_ending_at_utc_now_misses_the_newest_deals(terminal):
    """Deals carry server time, hours ahead of UTC: the end must lie beyond the server's now."""
    terminal.order_send(deal(0))
    now_s = START_NS // NS_PER_S
    missed = terminal.history_deals_get(now_s - 86_400, now_s)
    found = terminal.history_deals_get(now_s - 86_400, now_s + 86_400)
    assert (len(missed), len(found)) == (0, 2)


@pytest.mark.parametrize(
    ("rule", "hours"), [("new_york+7", 2), ("UTC", 0), ("Europe/Athens", 2), ("UTC-5:30", -5.5)]
)
def test_times_are_the_servers_wall_clock(rule, hours):
    """Bars, ticks, positions and deals are shifted by the server's offset, one and the same."""
    terminal = make_terminal(server_clock=rule)
    expected = START_NS // NS_PER_S + int(hours * 3600)
    result = terminal.order_send(deal(0))
    assert terminal.symbol_info_tick(EUR).time == expected
    assert terminal.copy_rates_from_pos(EUR, 1, 0, 1)["time"][0] == expected
    assert terminal.positions_get()[0].time == expected
    assert terminal.positions_get()[0].time_msc == expected * 1000
    assert terminal.history_deals_get(ticket=result.order)[0].time == expected
    assert terminal.history_orders_get(ticket=result.order)[0].time_done == expected


def test_daylight_saving_moves_the_server_with_new_york():
    """New York changes clocks weeks before Europe, and the server with it."""
    sunday_ns = 1_520_802_000_000_000_000  # 2018-03-11 21:00 UTC, the week's open
    bars = make_bars(flat(1.1, 5))
    bars["time_ns"] += sunday_ns - START_NS
    offsets = {}
    for rule in ("new_york+7", "Europe/Athens"):
        terminal = make_terminal({EUR: bars}, start_ns=sunday_ns, server_clock=rule)
        offsets[rule] = terminal.symbol_info_tick(EUR).time - sunday_ns // NS_PER_S
    assert offsets == {"new_york+7": 3 * 3600, "Europe/Athens": 2 * 3600}


def test_int_volume_is_refused_for_ever(terminal):
    """However often it is tried, an int volume never closes a position."""
    ticket = terminal.order_send(deal(0, 1.0)).order
    for _ in range(100):
        assert terminal.order_send(deal(1, 1, position=ticket)) is None
    assert terminal.last_error() == (-2, 'Invalid "volume" argument')
    assert terminal.positions_total() == 1


def test_three_orders_before_the_first_is_visible_are_three_positions(terminal):
    """Looking before sending does not help while the terminal lags."""
    for _ in range(3):
        script(terminal, "order_send", "lag", delay_s=3600.0)
    for _ in range(3):
        assert terminal.positions_get(symbol=EUR) == ()
        terminal.order_send(deal(0))
        terminal.trading._lag.positions = []
    terminal.trading._lag.until_ns = 0
    assert terminal.positions_total() == 3


def test_strategies_on_a_netting_account_share_one_position():
    """Orders of different magics end up in one position under the first's identifier."""
    terminal = make_terminal(account={"hedging": False})
    first = terminal.order_send(deal(0, 0.3, magic=1)).order
    terminal.order_send(deal(0, 0.2, magic=2))
    terminal.order_send(deal(1, 0.4, magic=3))
    (held,) = terminal.positions_get()
    assert (held.volume, held.magic, held.identifier) == (0.1, 1, first)
    assert [d.magic for d in terminal.history_deals_get(position=first)] == [1, 2, 3]


def test_the_request_echoes_the_caller_not_the_server(terminal):
    """`result.request` holds what was passed, even where the fill differs."""
    terminal.advance(minute(1))
    result = terminal.order_send(deal(0, price=1.2345, deviation=3))
    assert (result.request.price, result.price) == (1.2345, 1.1001)
    assert type(result.request).__name__ == "TradeRequest"
    assert not isinstance(result._asdict()["request"], dict)
