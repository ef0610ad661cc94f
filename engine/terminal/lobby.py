"""Who waits at the door of `pmpro terminal serve`: few at once, and nobody for long.

A connection is a stranger until it has shown the token. Strangers from one address have a few
places, all strangers together a few more; who comes when they are taken gets the place of the
stranger that has waited longest, first of the address with the most. The address that showed the
token last has places that no other address can take.
"""

import contextlib
import ipaddress
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from engine.model.errors import ConfigError

STRANGERS_MOST: Final = 64
OF_ONE_ADDRESS_MOST: Final = 4
# A household has a whole network of this size in IPv6.
_IPV6_PREFIX: Final = 64

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def network(text: str) -> Network:
    """Return an address or a network as a network.

    Raises:
        ConfigError: it is neither.
    """
    try:
        return ipaddress.ip_network(text.strip())
    except ValueError as error:
        raise ConfigError(
            f"{text!r} is no address or network, such as 10.0.0.5 or 10.0.0.0/24: {error}"
        ) from None


class Stranger:
    """A connection that has not shown the token yet."""

    def __init__(self, sock: ssl.SSLSocket, origin: Network, arrived_s: float) -> None:
        self.sock = sock
        self.origin = origin
        self.arrived_s = arrived_s
        self.gone = threading.Event()

    def drop(self) -> None:
        """Have its thread find the connection ended."""
        self.gone.set()
        # Not the TLS socket's own method: from then on it would speak without TLS.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)


class Lobby:
    """The strangers of one server. `allowed`: from where connections are taken, all for none."""

    def __init__(
        self,
        allowed: Sequence[Network] = (),
        *,
        patience_s: Callable[[], float],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._allowed = tuple(allowed)
        self._patience_s = patience_s
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._strangers: list[Stranger] = []  # the one that came first stands first
        self._known: Network | None = None

    def allows(self, host: str) -> bool:
        """Tell whether connections from there are taken at all."""
        address = _address(host)
        return not self._allowed or any(address in allowed for allowed in self._allowed)

    def enter(self, sock: ssl.SSLSocket, host: str) -> Stranger:
        """Give a connection a place, another one's if need be."""
        stranger = Stranger(sock, _origin(host), self._monotonic_s())
        with self._lock:
            if (victim := self._in_the_way(stranger.origin)) is not None:
                self._strangers.remove(victim)
                victim.drop()
            self._strangers.append(stranger)
        return stranger

    def leave(self, stranger: Stranger, *, known: bool) -> None:
        """Take a stranger out; `known`: it has shown the token."""
        with self._lock:
            if known:
                self._known = stranger.origin
            if stranger in self._strangers:
                self._strangers.remove(stranger)

    def sweep(self) -> None:
        """Drop who has been a stranger for too long."""
        until_s = self._monotonic_s() - self._patience_s()
        with self._lock:
            for stranger in self._strangers:
                if stranger.arrived_s <= until_s:
                    stranger.drop()

    def _in_the_way(self, origin: Network) -> Stranger | None:
        counts = Counter(stranger.origin for stranger in self._strangers)
        if counts[origin] >= OF_ONE_ADDRESS_MOST:
            return next(s for s in self._strangers if s.origin == origin)
        others = [s for s in self._strangers if s.origin != self._known]
        if origin == self._known or len(others) < STRANGERS_MOST:
            return None
        return min(others, key=lambda s: (-counts[s.origin], s.arrived_s))


def _address(host: str) -> Address:
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _origin(host: str) -> Network:
    """Return what counts as one address."""
    address = _address(host)
    prefix = _IPV6_PREFIX if address.version == 6 else address.max_prefixlen
    return ipaddress.ip_network((address, prefix), strict=False)
