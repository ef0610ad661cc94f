"""A portfolio speaks of EURUSD whatever the broker calls it."""

from types import SimpleNamespace
from typing import Any

import pytest

from engine.model.broker import OrderRequest
from engine.model.errors import BrokerError, NotSent
from engine.model.times import NS_PER_MINUTE, NS_PER_S
from engine.terminal.host import trading
from engine.terminal.host.loading import LoadedTerminal
from engine.terminal.host.session import TerminalSession
from engine.terminal.host.watcher import Watcher
from engine.terminal.protocol import CallFailed, HostConfig
from tests.terminal.fake_api import FakeApi

NOW_NS = 1_800_000_000 * NS_PER_S


def session_with(*names: str, **config: Any) -> TerminalSession:
    """A connected session of a terminal with these symbols, all of them EUR against USD."""
    api = FakeApi()
    api.now = NOW_NS
    api.ticks = dict.fromkeys(names, (NOW_NS, 1.1))
    api.bars = {name: [NOW_NS - NS_PER_MINUTE] for name in names}
    host = HostConfig(module="fake", lock_path="", server_clock="UTC", **config)
    session = TerminalSession(LoadedTerminal(api, now_ns=api.now_ns, control=None), host)
    session.connect()
    return session


def broker_name(session: TerminalSession, name: str = "EURUSD") -> str:
    facts = session.facts(name)
    assert facts.name == name
    return facts.broker_name


@pytest.mark.parametrize(
    ("there", "config", "found"),
    [
        (["EURUSD"], {}, "EURUSD"),
        (["EURUSD", "EURUSD.r"], {}, "EURUSD"),
        (["EURUSD.r"], {}, "EURUSD.r"),
        (["m.EURUSD"], {}, "m.EURUSD"),
        (["EURUSD.r", "EURUSD"], {"symbol_suffix": ".r"}, "EURUSD.r"),
        (["EURUSD.r", "EURUSD.pro"], {"symbol_suffix": ".pro"}, "EURUSD.pro"),
        (["#EURUSD", "EURUSD"], {"symbol_prefix": "#"}, "#EURUSD"),
        (["EURUSD"], {"symbol_suffix": ".r"}, "EURUSD"),
        (["EURUSD", "FIBER"], {"symbol_names": {"EURUSD": "FIBER"}}, "FIBER"),
    ],
)
def test_a_name_is_found(there: list[str], config: dict[str, Any], found: str) -> None:
    """What is configured wins, then the name itself, then the only one with something around."""
    assert broker_name(session_with(*there, **config)) == found


def test_a_name_that_may_be_two_is_for_the_operator() -> None:
    """Guessing would trade one account type's contract for another's."""
    with pytest.raises(BrokerError, match=r"any of EURUSD\.pro, EURUSD\.r: set terminal\.symbol"):
        broker_name(session_with("EURUSD.r", "EURUSD.pro"))


@pytest.mark.parametrize(
    ("there", "facts"),
    [
        ("EURUSDT", {"currency_profit": "UST"}),
        ("EURUSD-an-index-of-it", {}),
        ("GBPUSD", {"currency_base": "GBP"}),
        ("EURUSD.r", {"trade_mode": 0}),
    ],
)
def test_another_symbol_is_not_taken_for_it(there: str, facts: dict[str, Any]) -> None:
    """Other currencies, a long addition, or a symbol that cannot be traded: not the same."""
    session = session_with(there)
    session.api.symbols = {there: facts}
    with pytest.raises(BrokerError, match="the terminal has no symbol EURUSD"):
        broker_name(session)


def test_digits_after_digits_are_another_symbol() -> None:
    """US300 is not US30; US30.cash is."""
    with pytest.raises(BrokerError, match="no symbol US30"):
        broker_name(session_with("US300"), "US30")
    assert broker_name(session_with("US300", "US30.cash"), "US30") == "US30.cash"


def test_a_disabled_symbol_gives_way_to_the_one_that_trades() -> None:
    """Brokers keep the plain name for quotes only."""
    session = session_with("EURUSD", "EURUSD.r")
    session.api.symbols = {"EURUSD": {"trade_mode": 0}}
    assert broker_name(session) == "EURUSD.r"


def test_a_configured_name_that_is_not_there_is_said() -> None:
    """A spelling mistake is not searched around."""
    with pytest.raises(BrokerError, match=r"no symbol FIBRE, which terminal\.symbol_names gives"):
        broker_name(session_with("EURUSD", symbol_names={"EURUSD": "FIBRE"}))


def test_two_names_for_one_symbol_are_refused() -> None:
    """Positions could not be told apart."""
    session = session_with("GOLD", symbol_names={"XAUUSD": "GOLD", "GOLD": "GOLD"})
    broker_name(session, "XAUUSD")
    with pytest.raises(BrokerError, match="GOLD and XAUUSD would both be GOLD"):
        session.facts("GOLD")


def test_a_lost_terminal_is_not_a_missing_symbol() -> None:
    """No answer is no evidence about names."""
    session = session_with("EURUSD.r")
    session.api.down = (-10001, "IPC send failed")
    with pytest.raises(CallFailed, match="-10001"):
        broker_name(session)


def test_everything_speaks_our_names_and_the_terminal_hears_its_own() -> None:
    """Quotes, bars, positions and checks come as EURUSD; orders go out as EURUSD.r."""
    session = session_with("EURUSD.r")
    api = session.api
    watcher = Watcher(session, HostConfig(module="fake", lock_path="", server_clock="UTC"))
    watcher.watch(["EURUSD"], NOW_NS - NS_PER_MINUTE)
    update = watcher.batch(NOW_NS)
    assert [q.symbol for q in update.quotes] == ["EURUSD"]
    assert list(update.bars) == ["EURUSD"]
    order = OrderRequest(symbol="EURUSD", direction=1, lots=0.1, price=1.1, magic=5, comment="pm1")
    prepared = trading.prepare_send(session, order, checked=True)
    assert isinstance(prepared, dict)
    trading.send(session, prepared)
    assert [request["symbol"] for request in api.sent] == ["EURUSD.r"]
    zeros = dict.fromkeys(("price_current", "sl", "tp", "profit", "swap", "price_open"), 0.0)
    held = SimpleNamespace(
        ticket=3, identifier=3, symbol="EURUSD.r", magic=5, type=0, volume=0.1, time_msc=0,
        comment="", **zeros,
    )  # fmt: skip
    assert session.position(held).symbol == "EURUSD"
    held.symbol = "USDJPY.r"
    assert session.position(held).symbol == "USDJPY.r"


def test_an_unknown_symbol_is_not_sent() -> None:
    """The order is certainly not out."""
    session = session_with("GBPUSD")
    order = OrderRequest(symbol="EURUSD", direction=1, lots=0.1, price=1.1, magic=5, comment="pm1")
    with pytest.raises(NotSent, match="no symbol EURUSD"):
        trading.prepare_send(session, order, checked=True)
