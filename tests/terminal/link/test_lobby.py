"""Who keeps a place at the door: many strangers never keep the one who belongs there out."""

import ipaddress
import socket
import ssl
from typing import Any

import pytest

from engine.model.errors import ConfigError
from engine.terminal.lobby import OF_ONE_ADDRESS_MOST, STRANGERS_MOST, Lobby, Stranger, network

PATIENCE_S = 5.0


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lobby(clock: Clock) -> Lobby:
    return Lobby(patience_s=lambda: PATIENCE_S, monotonic_s=clock)


class Pairs:
    """Connections whose ends a test holds."""

    def __init__(self) -> None:
        self.held: list[Any] = []

    def make(self) -> ssl.SSLSocket:
        near, far = socket.socketpair()
        self.held += (near, far)
        return near  # type: ignore[return-value]


@pytest.fixture
def pairs() -> Any:
    pairs = Pairs()
    yield pairs
    for sock in pairs.held:
        sock.close()


def enter(lobby: Lobby, pairs: Pairs, clock: Clock, *hosts: str) -> list[Stranger]:
    entered = []
    for host in hosts:
        clock.now_s += 0.001
        entered.append(lobby.enter(pairs.make(), host))
    return entered


def gone(strangers: list[Stranger]) -> list[bool]:
    return [stranger.gone.is_set() for stranger in strangers]


def test_one_address_takes_its_own_places_alone(lobby: Lobby, pairs: Pairs, clock: Clock) -> None:
    """The oldest of an address with too many goes; nobody else notices, and the newest stays."""
    (other,) = enter(lobby, pairs, clock, "10.0.0.9")
    flood = enter(lobby, pairs, clock, *["10.0.0.1"] * 40)
    n_left = OF_ONE_ADDRESS_MOST
    assert gone(flood) == [True] * (40 - n_left) + [False] * n_left
    assert not other.gone.is_set()


def test_when_all_places_are_taken_the_oldest_goes(
    lobby: Lobby, pairs: Pairs, clock: Clock
) -> None:
    """Whoever comes gets in; the address with the most gives a place up first, then the oldest."""
    hosts = [f"10.0.1.{n}" for n in range(STRANGERS_MOST - 3)]
    single = enter(lobby, pairs, clock, *hosts)
    many = enter(lobby, pairs, clock, *["10.0.2.1"] * 3)
    (newcomer,) = enter(lobby, pairs, clock, "10.0.3.1")
    assert gone(many) == [True, False, False]
    enter(lobby, pairs, clock, "10.0.3.2", "10.0.3.3")
    assert gone(many) == [True, True, False]
    assert gone(single) == [True] + [False] * (len(single) - 1)
    assert not newcomer.gone.is_set()


def test_the_last_good_address_has_places_of_its_own(
    lobby: Lobby, pairs: Pairs, clock: Clock
) -> None:
    """However many come from elsewhere, and however fast, an engine that comes back is met."""
    (engine,) = enter(lobby, pairs, clock, "10.0.0.5")
    lobby.leave(engine, known=True)
    (back,) = enter(lobby, pairs, clock, "10.0.0.5")
    enter(lobby, pairs, clock, *[f"10.1.{n // 200}.{n % 200}" for n in range(1000)])
    assert not back.gone.is_set()
    lobby.leave(back, known=True)
    flood = enter(lobby, pairs, clock, *[f"10.2.0.{n}" for n in range(STRANGERS_MOST)])
    enter(lobby, pairs, clock, "10.0.0.5")
    assert not any(gone(flood))


def test_a_stranger_has_a_deadline_in_all(lobby: Lobby, pairs: Pairs, clock: Clock) -> None:
    """Who drips bytes is dropped as who says nothing; who has shown the token is let alone."""
    early, known = enter(lobby, pairs, clock, "10.0.0.1", "10.0.0.2")
    lobby.leave(known, known=True)
    clock.now_s += PATIENCE_S / 2
    (late,) = enter(lobby, pairs, clock, "10.0.0.3")
    clock.now_s += PATIENCE_S / 2 + 0.01
    lobby.sweep()
    assert gone([early, known, late]) == [True, False, False]
    assert early.sock.recv(1) == b""


def test_a_network_of_ipv6_is_one_address(lobby: Lobby, pairs: Pairs, clock: Clock) -> None:
    """Who has 2^64 addresses has the places of one; another network's stranger keeps its own."""
    (other,) = enter(lobby, pairs, clock, "2001:db8:1::1")
    flood = enter(lobby, pairs, clock, *[f"2001:db8::{n:x}%eth0" for n in range(1, 41)])
    assert gone(flood).count(False) == OF_ONE_ADDRESS_MOST
    assert not other.gone.is_set()


@pytest.mark.parametrize(
    ("host", "taken"),
    [
        ("10.0.0.5", True),
        ("10.0.0.6", False),
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("127.0.0.1", False),
    ],
)
def test_only_allowed_addresses_are_taken(host: str, taken: bool) -> None:
    """Addresses and networks of both kinds; an IPv4 address in IPv6's clothes is itself."""
    allowed = [network(text) for text in ("10.0.0.5", "10.1.0.0/16", "2001:db8::/32")]
    assert Lobby(allowed, patience_s=lambda: 1.0).allows(host) is taken
    assert Lobby(patience_s=lambda: 1.0).allows(host)


@pytest.mark.parametrize(
    "text", ["", "tradingbox", "10.0.0.5:80", "10.0.0.5/8", "10.0.0", "::/200"]
)
def test_what_is_no_address_is_said(text: str) -> None:
    """A name, a port or a network with bits beyond its mask is refused in one line."""
    with pytest.raises(ConfigError, match="is no address or network") as caught:
        network(text)
    assert "\n" not in str(caught.value)


def test_a_network_is_what_it_says() -> None:
    """One address is a network of one."""
    assert network("10.0.0.5") == ipaddress.ip_network("10.0.0.5/32")
