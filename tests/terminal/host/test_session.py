"""Connecting, and the clock, against a scripted module."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from engine.model.broker import OrderRequest, OrderResult
from engine.model.errors import BrokerError, NotSent
from engine.model.times import NS_PER_HOUR, NS_PER_S
from engine.terminal.host import trading
from engine.terminal.host.loading import LoadedTerminal
from engine.terminal.host.session import TerminalSession
from engine.terminal.protocol import CallFailed, HostConfig
from tests.terminal.fake_api import FakeApi

NOW_NS = 1_800_000_000 * NS_PER_S
ORDER = OrderRequest(symbol="A", direction=1, lots=0.1, price=1.1, magic=5, comment="pm1")


def send(session: TerminalSession, order: OrderRequest, *, checked: bool = False) -> OrderResult:
    prepared = trading.prepare_send(session, order, checked=checked)
    return trading.send(session, prepared) if isinstance(prepared, dict) else prepared


def session_of(api: FakeApi, *, own_clock: bool = True, **config: object) -> TerminalSession:
    host = HostConfig(**{"module": "x", "lock_path": "", "server_clock": "UTC", **config})
    terminal = LoadedTerminal(api, now_ns=api.now_ns, control=None)
    terminal.has_own_clock = own_clock
    return TerminalSession(terminal, host)


@pytest.fixture
def api() -> FakeApi:
    api = FakeApi()
    api.now = NOW_NS
    api.ticks = {"A": (NOW_NS - NS_PER_S, 1.1)}
    return api


def test_a_login_reported_as_failed_may_have_succeeded(api: FakeApi) -> None:
    """The account the terminal is on decides, not what login() said."""
    api.login_answer = None
    assert session_of(api, login=7).connect().login == 7
    with pytest.raises(CallFailed, match="login"):
        session_of(api, login=8).connect()


@pytest.mark.parametrize("trade_mode", [2, 3])
def test_where_only_play_money_may_be_traded_real_money_is_no_connection(
    api: FakeApi, trade_mode: int
) -> None:
    """Also when somebody switches the visible terminal to a real account between two orders, and
    whatever unknown kind of account a broker may invent."""
    session = session_of(api, demo_only=True)
    session.connect()
    api.trade_mode = trade_mode
    with pytest.raises(NotSent, match="trades real money"):
        send(session, ORDER)
    assert not api.sent
    with pytest.raises(BrokerError, match="mode is paper, account 7 trades real money"):
        session.connect()
    assert session_of(api).connect().real_money


@pytest.mark.parametrize("config", [{"login": 8}, {"login": 7, "server": "Other"}])
def test_the_wrong_account_or_server_is_no_connection(
    api: FakeApi, config: dict[str, object]
) -> None:
    """Nothing is read from it and nothing sent to it."""
    session = session_of(api, **config)
    with pytest.raises(BrokerError, match="configured is"):
        session.connect()
    with pytest.raises(CallFailed):
        session.positions()
    with pytest.raises(NotSent):
        send(session, ORDER, checked=True)
    assert api.sent == []


def test_an_account_switched_later_is_noticed(api: FakeApi) -> None:
    """Somebody logs the visible terminal into another account: the next look stops orders."""
    session = session_of(api, login=7)
    session.connect()
    api.login_found = 8
    with pytest.raises(BrokerError, match="account 8, configured is 7"):
        session.account()
    with pytest.raises(NotSent):
        send(session, ORDER, checked=True)
    assert api.sent == []


@pytest.mark.parametrize(
    "ask",
    [
        lambda session: session.positions(),
        lambda session: session.deals(0),
        lambda session: send(session, ORDER, checked=True),
    ],
)
def test_another_accounts_emptiness_is_no_evidence(
    api: FakeApi, ask: Callable[[TerminalSession], Any]
) -> None:
    """Whoever asks first after the switch is refused: nothing of it is read, nothing sent."""
    session = session_of(api, login=7)
    session.connect()
    api.login_found = 8
    with pytest.raises(BrokerError, match="account 8, configured is 7"):
        ask(session)
    assert not session.connected
    assert api.sent == []


def tick(api: FakeApi, session: TerminalSession, *, server_hours: int = 0, age_ns: int = 0) -> None:
    """A tick arrives between two looks, by a server that is so many hours ahead."""
    session.quote("A")
    api.now += NS_PER_S
    api.ticks = {"A": (api.now + server_hours * NS_PER_HOUR - age_ns, 1.1)}
    session.quote("A")


def test_the_wrong_clock_stops_entries_and_bars_and_not_exits(api: FakeApi) -> None:
    """An offset that is not the rule's refuses entries, every time, and bars, which would be
    shifted; closing goes through. The right offset makes both good again."""
    session = session_of(api, own_clock=False, server_clock="UTC+2")
    session.connect()
    tick(api, session, server_hours=1)
    for _ in range(2):
        with pytest.raises(NotSent, match=r"UTC\+1 h by its newest tick.*says UTC\+2"):
            send(session, ORDER)
    with pytest.raises(BrokerError, match="server clock"):
        session.newest_rates("A", 10, api.now)
    with pytest.raises(BrokerError, match="server clock"):
        session.rates("A", 0, api.now)
    close = OrderRequest(
        symbol="A", direction=-1, lots=0.1, price=1.1, magic=5, comment="pm1", position=3
    )
    send(session, close)
    assert [request["position"] for request in api.sent] == [3]


def test_the_clock_is_measured_again(api: FakeApi) -> None:
    """A broker that changes its clock is noticed with the next tick, and when it changes back."""
    session = session_of(api, own_clock=False)
    session.connect()
    tick(api, session)
    send(session, ORDER)
    tick(api, session, server_hours=1)
    with pytest.raises(NotSent, match="server clock"):
        send(session, ORDER)
    tick(api, session)
    send(session, ORDER)
    assert len(api.sent) == 2


def test_a_tick_that_stood_there_measures_nothing(api: FakeApi) -> None:
    """A market that has been silent for exactly two hours does not confirm a rule that is two
    hours off, nor does a first look."""
    session = session_of(api, own_clock=False, server_clock="UTC")
    api.ticks = {"A": (api.now, 1.1)}  # UTC+2, two hours old
    session.connect()
    with pytest.raises(NotSent, match="no tick has arrived yet"):
        send(session, ORDER)
    with pytest.raises(NotSent, match="no tick has arrived yet"):
        send(session, ORDER)
    assert api.sent == []


def test_a_box_with_a_wrong_clock_sends_no_entries(api: FakeApi) -> None:
    """Ticks seven minutes from any offset are doubt: no entries, but bars, which are right."""
    session = session_of(api, own_clock=False)
    session.connect()
    tick(api, session, age_ns=7 * 60 * NS_PER_S)
    with pytest.raises(NotSent, match=r"-7\.0 min from UTC.*set this box's clock"):
        send(session, ORDER)
    assert len(session.newest_rates("A", 10, api.now)) == 0


def test_a_measurement_does_not_hold_for_ever(api: FakeApi) -> None:
    """After a weekend without ticks entries wait for the first one."""
    session = session_of(api, own_clock=False)
    session.connect()
    tick(api, session)
    api.now += 48 * NS_PER_HOUR
    with pytest.raises(NotSent, match="no tick has arrived for 2880 min"):
        send(session, ORDER)
    tick(api, session)
    send(session, ORDER)
    assert len(api.sent) == 1


def test_a_simulated_clock_needs_no_measurement_and_may_still_be_wrong(api: FakeApi) -> None:
    """Entries of the simulated terminal do not wait for ticks; an offset that jumps is a fault."""
    session = session_of(api)
    session.connect()
    send(session, ORDER)
    tick(api, session, server_hours=1)
    with pytest.raises(NotSent, match="server clock"):
        send(session, ORDER)
    assert len(api.sent) == 1


def test_a_pipe_error_while_sending_closes_the_door(api: FakeApi) -> None:
    """After None with a pipe's error no second order leaves before connecting again."""
    session = session_of(api)
    session.connect()
    session.facts("A")
    assert send(session, ORDER).error == -4
    api.down = (-10001, "IPC send failed")
    session.connected = True
    with pytest.raises(NotSent):
        send(session, ORDER, checked=True)
    assert len(api.sent) == 1


@pytest.mark.parametrize(
    ("mode", "long", "short"),
    [(0, 10017, 10017), (1, 0, 10042), (2, 10043, 0), (3, 10044, 10044), (4, 0, 0)],
)
def test_a_side_that_is_closed_is_refused_as_the_broker_would(
    api: FakeApi, mode: int, long: int, short: int
) -> None:
    """Its own return code, so that the router pauses that side; nothing is sent."""
    api.symbols = {"A": {"trade_mode": mode}}
    session = session_of(api)
    session.connect()
    for direction, retcode in ((1, long), (-1, short)):
        order = msgspec.structs.replace(ORDER, direction=direction)
        prepared = trading.prepare_send(session, order, checked=False)
        assert (0 if isinstance(prepared, dict) else prepared.retcode) == retcode
