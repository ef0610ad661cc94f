"""The engine's end of a terminal host on another box: who is there, and may we speak.

The certificate is known by its fingerprint, compared before the token is sent. Both ends must
speak the very same records: a difference is told at once instead of misread later.
"""

import hashlib
import hmac
import json
import socket
import ssl
from functools import lru_cache
from importlib.metadata import version
from typing import Any, Final

import msgspec

from engine.child.frames import REPLY, REQUEST
from engine.model import broker
from engine.model.bars import BAR_DTYPE
from engine.model.errors import BrokerError
from engine.terminal import protocol as p
from engine.terminal.host.clock_meter import ClockState
from engine.terminal.host.symbol_rules import SymbolFacts
from engine.terminal.link.secure_link import SecureLink

DEFAULT_PORT: Final = 8222
CONNECT_S: Final = 5.0
_DISTRIBUTION: Final = "portfolio-manager-pro"
_ANSWERS: Final = (
    broker.AccountState,
    broker.BrokerDeal,
    broker.BrokerOrder,
    broker.BrokerPosition,
    broker.MarketUpdate,
    broker.OrderResult,
    broker.Quote,
    ClockState,
    SymbolFacts,
)
encode = msgspec.msgpack.Encoder().encode


class LinkHello(msgspec.Struct, frozen=True, kw_only=True):
    """The engine's first word. `wire` names the records that it speaks."""

    token: str
    wire: str
    release: str

    def __repr__(self) -> str:
        return f"LinkHello({self.wire!r}, {self.release!r})"


class LinkWelcome(msgspec.Struct, frozen=True, kw_only=True):
    """The server's answer: "" lets the engine in, else why not."""

    refusal: str = ""


@lru_cache(maxsize=1)
def wire_version() -> str:
    """Return a short name of everything that goes over the wire: fields, types, bar layout."""
    _, records = msgspec.json.schema_components([p.Op, p.Failure, *_ANSWERS])
    text = json.dumps([_without_prose(records), BAR_DTYPE.descr], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def greeting(token: str) -> LinkHello:
    """Return this program's first word."""
    return LinkHello(token=token, wire=wire_version(), release=version(_DISTRIBUTION))


def difference(hello: LinkHello) -> str:
    """Return why the two programs would misread each other, or ""."""
    if hello.wire == wire_version():
        return ""
    return (
        f"the engine is pmpro {hello.release} ({hello.wire}), the terminal's box has "
        f"{version(_DISTRIBUTION)} ({wire_version()}): install the same version on both"
    )


def host_and_port(address: str) -> tuple[str, int]:
    """Return the two of `HOST:PORT`, `HOST` or `[V6]:PORT`; ValueError when it is neither."""
    host, colon, port = address.rpartition(":")
    if not colon or "]" in port:
        host, port = address, str(DEFAULT_PORT)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 <= int(port) < 65536:
        raise ValueError(f"{address!r} is not HOST:PORT")
    return host, int(port)


def fingerprint_of(certificate: bytes) -> str:
    """Return a certificate's (DER) fingerprint as the operator copies it."""
    return f"sha256:{hashlib.sha256(certificate).hexdigest()}"


def dial(remote: p.Remote) -> SecureLink:
    """Connect, check the certificate, show the token; BrokerError says what is wrong."""
    try:
        sock = _connect(remote.address)
    except OSError as error:
        raise BrokerError(
            f"terminal host {remote.address} cannot be reached: {error.strerror or error}: is "
            "`pmpro terminal serve` running there?"
        ) from None
    found = fingerprint_of(sock.getpeercert(binary_form=True) or b"")
    if not hmac.compare_digest(found, remote.fingerprint.lower()):
        sock.close()
        raise BrokerError(
            f"terminal host {remote.address} shows certificate {found}, terminal.fingerprint is "
            f"{remote.fingerprint}: another box, or its certificate was made anew"
        )
    link = SecureLink(sock)
    refusal = _introduce(link, remote)
    if refusal:
        link.release()
        raise BrokerError(f"terminal host {remote.address}: {refusal}")
    link.trust()
    return link


def _connect(address: str) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # Nobody else vouches for a certificate that its owner made: the fingerprint does.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    sock = socket.create_connection(host_and_port(address), timeout=CONNECT_S)
    try:
        return context.wrap_socket(sock)
    except BaseException:
        sock.close()
        raise


def _introduce(link: SecureLink, remote: p.Remote) -> str:
    """Return why we are not let in, or ""."""
    try:
        link.send(REQUEST, encode(greeting(remote.token)))
        frame = link.read()
        if frame is None or frame[0] != REPLY:
            return "it hung up without an answer"
        return msgspec.msgpack.decode(frame[1], type=LinkWelcome).refusal
    except (OSError, msgspec.MsgspecError) as error:
        return f"it does not answer as pmpro does: {error}"


def _without_prose(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            k: _without_prose(v) for k, v in schema.items() if k not in ("description", "title")
        }
    return [_without_prose(item) for item in schema] if isinstance(schema, list) else schema
