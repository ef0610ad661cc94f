"""An engine and a terminal's box over TLS: strangers are refused, a lost link is unknown."""

import json
import socket
import ssl
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from engine.model.broker import MarketUpdate
from engine.model.errors import BrokerError, NotSent, OutcomeUnknown
from engine.terminal import remote, serving
from engine.terminal.credentials import certificate_file, fingerprint_in, token_file
from engine.terminal.gateway import Deadlines, Gateway
from engine.terminal.protocol import HostConfig, Remote
from engine.terminal.retcodes import classify
from engine.terminal.secure_link import SecureLink
from engine.terminal.serving import TerminalServer
from tests.child.test_child import wait_until
from tests.terminal.test_gateway_faults import order
from tests.terminal.wire import Wire

pytest.importorskip("cryptography", reason="the extra `terminal` makes certificates")

DEADLINES = Deadlines(read_s=20, order_s=20, connect_s=20)
TOKEN = "a token"
MakeGateway = Callable[..., Gateway]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FAKE_TERMINAL_DIR", str(tmp_path))
    monkeypatch.setattr(serving, "WRONG_TOKEN_WAIT_S", 0.0)
    return tmp_path


@pytest.fixture
def server(home: Path) -> Iterator[TerminalServer]:
    config = HostConfig(
        module="tests.terminal.fake_module",
        lock_path=str(home / "host.lock"),
        log_path=str(home / "host.log"),
    )
    server = TerminalServer(
        ("127.0.0.1", 0), certificate=certificate_file(home), token=TOKEN, config=config
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    yield server
    server.stop()
    thread.join(10)
    server.close()


@pytest.fixture
def wire(server: TerminalServer) -> Iterator[Wire]:
    wire = Wire(server.address)
    yield wire
    wire.close()


@pytest.fixture
def updates() -> list[MarketUpdate]:
    return []


@pytest.fixture
def make(home: Path, wire: Wire, updates: list[MarketUpdate]) -> Iterator[MakeGateway]:
    made: list[Gateway] = []
    there = Remote(
        address=wire.address, fingerprint=fingerprint_in(certificate_file(home)), token=TOKEN
    )

    def make(deadlines: Deadlines = DEADLINES, **changes: str) -> Gateway:
        config = HostConfig(
            module="MetaTrader5",
            lock_path=str(home / "engine.lock"),
            log_path=str(home / "bridge.log"),
            server_clock="UTC",
            login=7,
            remote=msgspec.structs.replace(there, **changes),
        )
        gateway = Gateway(config, deadlines, on_market=updates.append)
        made.append(gateway)
        gateway.start()
        gateway.connect()
        gateway.quotes(["EURUSD"])  # a second look sees a tick arrive
        return gateway

    yield make
    for gateway in made:
        gateway.close()


def executed(home: Path) -> list[int]:
    """Magic numbers of what the broker has executed."""
    ledger = home / "ledger.json"
    return [item["magic"] for item in json.loads(ledger.read_text())] if ledger.exists() else []


def test_an_order_goes_through_and_the_market_comes_back(
    make: MakeGateway, home: Path, updates: list[MarketUpdate]
) -> None:
    """Reads, orders and quotes work as through a pipe, on the module of the terminal's box."""
    gateway = make()
    gateway.watch(["EURUSD"], time.time_ns())
    assert classify(gateway.send(order(magic=11))).filled
    assert [p.magic for p in gateway.positions()] == [11] == executed(home)
    assert wait_until(lambda: any(u.quotes for u in updates), 10)


def test_a_bad_order_is_refused_before_it_leaves(make: MakeGateway, home: Path) -> None:
    """What the host refuses is certainly not sent, however far away the host is."""
    with pytest.raises(NotSent):
        make().send(order(lots=0.005))
    assert executed(home) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"token": "another"}, "wrong token"),
        ({"fingerprint": "sha256:" + 64 * "0"}, "shows certificate sha256:"),
        ({"address": "127.0.0.1:1"}, "cannot be reached"),
    ],
)
def test_a_stranger_is_refused_in_one_line(
    make: MakeGateway, home: Path, change: dict[str, str], words: str
) -> None:
    """Neither end talks to the wrong other one; the line says what was wrong and no token."""
    with pytest.raises(BrokerError, match=words) as caught:
        make(**change)
    assert "\n" not in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_a_token_is_not_shown_to_the_wrong_certificate(home: Path) -> None:
    """Who is not known by the fingerprint hears nothing after the handshake."""
    heard: list[bytes] = []
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate_file(home))
    listener = socket.create_server(("127.0.0.1", 0))

    def impostor() -> None:
        sock, _ = listener.accept()
        with tls.wrap_socket(sock, server_side=True) as secure:
            secure.settimeout(10)
            heard.append(secure.recv(100))

    thread = threading.Thread(target=impostor)
    thread.start()
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(BrokerError, match="shows certificate"):
        remote.dial(Remote(address=address, fingerprint="sha256:0", token=TOKEN))
    thread.join(10)
    listener.close()
    assert heard == [b""]


def test_the_terminals_box_may_name_the_account(make: MakeGateway, server: TerminalServer) -> None:
    """An engine of another account is told so, and no login is tried."""
    server._config = msgspec.structs.replace(server._config, login=8)
    with pytest.raises(BrokerError, match="serves account 8, the engine has 7"):
        make()
    server._config = msgspec.structs.replace(server._config, login=7)
    assert make().account().login == 7


def test_another_release_is_one_clear_line(
    make: MakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs whose records differ do not talk: both versions and the remedy are named."""
    monkeypatch.setattr(
        serving,
        "difference",
        lambda hello: remote.difference(msgspec.structs.replace(hello, wire="0123456789ab")),
    )
    with pytest.raises(BrokerError, match=r"0123456789ab.*install the same version on both"):
        make()


def test_a_second_engine_waits_outside(make: MakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """One engine at a time; the other one hears who is there, and comes in when it has gone."""
    monkeypatch.setattr(serving, "SLOT_WAIT_S", 0.3)
    first = make()
    with pytest.raises(BrokerError, match=r"serves another engine, 127\.0\.0\.1:\d+ since"):
        make()
    assert first.positions() == []
    first.close()
    monkeypatch.setattr(serving, "SLOT_WAIT_S", 15.0)
    assert make().positions() == []


@pytest.mark.parametrize(("comment", "magics"), [("hang", [31]), ("hang before", [])])
def test_a_link_cut_inside_order_send_is_unknown_and_found_afterwards(
    make: MakeGateway, wire: Wire, home: Path, comment: str, magics: list[int]
) -> None:
    """The order's outcome is unknown at once, not at its deadline; nothing is sent again; the
    next host shows the order exactly as often as the broker executed it."""
    gateway = make()
    gateway.watch(["EURUSD"], time.time_ns())
    outcomes: list[Exception] = []

    def send() -> None:
        try:
            gateway.send(order(comment, magic=31))
        except BrokerError as error:
            outcomes.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    assert wait_until((home / "sending").exists, 10)
    wire.cut()
    thread.join(10)
    assert [type(error) for error in outcomes] == [OutcomeUnknown]
    assert [p.magic for p in gateway.positions()] == magics == executed(home)
    assert gateway.restarts == 1


@pytest.mark.parametrize(("fate", "magics"), [("held", []), ("deaf", [41])])
def test_a_silent_link_is_lost_within_seconds(
    make: MakeGateway,
    wire: Wire,
    home: Path,
    updates: list[MarketUpdate],
    fate: str,
    magics: list[int],
) -> None:
    """A network that swallows everything, or every answer, shows as not connected long before a
    long deadline; an order of that time is unknown, for it may have been executed; the terminal's
    box ends its host and lets the engine back in."""
    gateway = make()
    gateway.watch(["EURUSD"], time.time_ns())
    wire.hold() if fate == "held" else wire.deafen()
    with pytest.raises(OutcomeUnknown):
        gateway.send(order(magic=41))
    assert wait_until(lambda: any(not u.connected for u in updates), 10)
    wire.mend()
    assert wait_until(lambda: gateway.host_pid != 0, 20)
    assert [p.magic for p in gateway.positions()] == executed(home) == magics


def test_a_missed_deadline_over_the_link_is_unknown(make: MakeGateway, home: Path) -> None:
    """An order without an answer in time may have been executed, although its host is far away;
    the next host starts only after the hung one has ended."""
    gateway = make()
    gateway._deadlines = Deadlines(read_s=20, order_s=1.0, connect_s=20)
    with pytest.raises(OutcomeUnknown):
        gateway.send(order("hang", magic=51))
    assert [p.magic for p in gateway.positions()] == [51] == executed(home)


def test_what_serves_is_private(home: Path) -> None:
    """Certificate, key and token are made once, stay the same and are their owner's alone."""
    for make_file in (certificate_file, token_file):
        path = make_file(home / "serve")
        content = path.read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert make_file(home / "serve").read_bytes() == content
    assert stat.S_IMODE((home / "serve").stat().st_mode) == 0o700
    assert fingerprint_in(certificate_file(home / "serve")).startswith("sha256:")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("box:9", ("box", 9)),
        ("box", ("box", remote.DEFAULT_PORT)),
        ("10.0.0.5:80", ("10.0.0.5", 80)),
        ("[::1]:80", ("::1", 80)),
        ("[::1]", ("::1", remote.DEFAULT_PORT)),
    ],
)
def test_addresses(text: str, found: tuple[str, int]) -> None:
    """A port may be left out."""
    assert remote.host_and_port(text) == found


@pytest.mark.parametrize("text", ["", ":80", "box:", "box:x", "box:99999"])
def test_bad_addresses(text: str) -> None:
    """What cannot be an address is said before anything is dialled."""
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        remote.host_and_port(text)


def test_who_says_nothing_is_shown_out(
    server: TerminalServer, make: MakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strangers that connect and wait, with and without TLS, keep no engine out for long."""
    monkeypatch.setattr(serving, "GREETING_S", 0.3)
    plain = [socket.create_connection(server.address) for _ in range(serving._STRANGERS_MOST)]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for sock in plain:
        sock.settimeout(10)
        assert sock.recv(1) == b""  # hung up on
        sock.close()
    with context.wrap_socket(socket.create_connection(server.address, timeout=10)) as secure:
        received = b""
        while data := secure.recv(100):
            received += data
    assert TOKEN.encode() not in received
    assert make().positions() == []


def test_nothing_crosses_a_closed_link(home: Path) -> None:
    """After its end a link neither sends in the clear nor takes what comes in the clear."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        there = socket.create_connection(listener.getsockname())
        here, _ = listener.accept()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate_file(home))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    ends: list[ssl.SSLSocket] = []
    thread = threading.Thread(target=lambda: ends.append(context.wrap_socket(there)))
    thread.start()
    link = SecureLink(tls.wrap_socket(here, server_side=True))
    thread.join(10)
    link.close()
    with pytest.raises(OSError, match="closed"):
        link.send(1, b"secret")
    assert link.read() is None
    link.release()
    ends[0].close()
