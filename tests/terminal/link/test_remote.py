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
from engine.terminal.gateway import Deadlines, Gateway
from engine.terminal.host.process import Host
from engine.terminal.link import remote, serving
from engine.terminal.link.credentials import certificate_file, fingerprint_in, token_file
from engine.terminal.link.remote import encode
from engine.terminal.link.secure_link import SecureLink
from engine.terminal.link.serving import TerminalServer
from engine.terminal.lobby import network
from engine.terminal.protocol import HostConfig, Open, Remote
from engine.terminal.retcodes import classify
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


def tls_client() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def idle(server: TerminalServer, source: str = "127.0.0.1") -> socket.socket:
    """Return a connection from an address of this box that says nothing."""
    return socket.create_connection(server.address, timeout=10, source_address=(source, 0))


def test_who_says_nothing_is_shown_out(
    server: TerminalServer, make: MakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strangers that connect and wait, with and without TLS, have a deadline and learn nothing."""
    monkeypatch.setattr(serving, "GREETING_S", 0.3)
    for sock in [idle(server, f"127.0.0.{n}") for n in range(2, 20)]:
        assert sock.recv(1) == b""  # hung up on
        sock.close()
    with tls_client().wrap_socket(idle(server)) as secure:
        received = b""
        while data := secure.recv(100):
            received += data
    assert TOKEN.encode() not in received
    assert make().positions() == []


def test_who_drips_is_shown_out(server: TerminalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline is for all of the greeting: a byte now and then does not extend it."""
    monkeypatch.setattr(serving, "GREETING_S", 0.5)
    began_s = time.monotonic()
    with idle(server) as sock:
        sock.sendall(b"\x16\x03\x01\x02\x00")  # a TLS record of 512 bytes begins
        sock.settimeout(0.05)
        received: bytes | None = None
        while received is None and time.monotonic() - began_s < 10.0:
            try:
                sock.sendall(b"\x01")
                received = sock.recv(1)
            except TimeoutError:
                continue
            except OSError:
                received = b""
    assert received == b""
    assert time.monotonic() - began_s < 5.0


@pytest.mark.parametrize(
    "sources",
    [["127.0.0.1"], [f"127.0.0.{n}" for n in range(2, 250)]],
    ids=["the engine's own address", "many addresses"],
)
def test_idle_connections_keep_no_engine_out(
    server: TerminalServer, make: MakeGateway, sources: list[str]
) -> None:
    """Hundreds of connections that say nothing, some of them in TLS, and an engine is let in at
    once, at the first time and when it comes back; the deadline need not have passed."""
    assert serving.GREETING_S == 5.0
    began_s = time.monotonic()
    held: list[socket.socket] = []

    def besiege(n: int) -> None:
        for i in range(n):
            held.append(idle(server, sources[i % len(sources)]))
            if i % 20 == 0:
                held[-1] = tls_client().wrap_socket(held[-1], do_handshake_on_connect=False)

    besiege(250)
    gateway = make()
    assert gateway.positions() == []
    besiege(250)
    gateway.close()
    besiege(50)
    assert make().positions() == []
    assert time.monotonic() - began_s < 5.0
    for sock in held:
        sock.close()


def test_a_siege_makes_few_log_lines_and_few_threads(
    server: TerminalServer, make: MakeGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hundreds of connections from one address are a line or two, and no thread stays."""
    make()
    n_before = threading.active_count()
    for _ in range(300):
        idle(server).close()
    assert wait_until(lambda: threading.active_count() <= n_before, 10)
    assert capsys.readouterr().out.count("no_handshake") in (1, 2)


def test_only_allowed_addresses_are_served(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever connects from elsewhere is hung up on before a byte of TLS."""
    server = TerminalServer(
        ("127.0.0.1", 0),
        certificate=certificate_file(home),
        token=TOKEN,
        config=HostConfig(module="tests.terminal.fake_module", lock_path=str(home / "host.lock")),
        allow=[network("127.0.0.5"), network("127.0.9.0/24")],
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        for source, served in (("127.0.0.1", False), ("127.0.0.5", True), ("127.0.9.77", True)):
            with idle(server, source) as sock:
                try:
                    tls_client().wrap_socket(sock).close()
                    shaken = True
                except OSError:
                    shaken = False
                assert shaken is served, source
    finally:
        server.stop()
        thread.join(10)
        server.close()
    assert "address_refused" in capsys.readouterr().out


OWN = HostConfig(module="own", lock_path="own", login=7, server="Own", password="own-password")
UNNAMED = msgspec.structs.replace(OWN, login=0, server="", password="")


@pytest.mark.parametrize(
    ("own", "asked", "words"),
    [
        ({}, {"login": 8}, "serves account 7, the engine has 8"),
        ({}, {"login": 7, "server": "Other"}, "serves server 'Own', the engine has 'Other'"),
        ({"login": 0}, {"login": 8, "server": "Other"}, "serves server 'Own'"),
        ({"server": ""}, {"login": 7, "server": "Evil"}, "names no server, the engine asks for"),
        ({}, {}, ""),
        ({}, {"login": 7, "server": "Own"}, ""),
        ({"server": "", "password": ""}, {"login": 7, "server": "Mine"}, ""),
        ({"login": 0, "server": "", "password": ""}, {"login": 8, "server": "Mine"}, ""),
    ],
)
def test_an_engine_asks_only_for_what_the_box_allows(
    own: dict[str, object], asked: dict[str, object], words: str
) -> None:
    """What the box names is no engine's to change; its password goes to no broker but its own."""
    theirs = msgspec.structs.replace(UNNAMED, password="their-password", **asked)
    text = serving.overstepping(msgspec.structs.replace(OWN, **own), theirs)
    assert (words in text) if words else not text
    assert "password" not in text.replace("has the password of account", "")


def test_the_box_s_own_account_stands(home: Path) -> None:
    """Account, server, password, module, paths and the ban on real money are the box's; clock and
    pace are the engine's; a box that names nothing takes the engine's account."""
    asked = HostConfig(
        module="os",
        lock_path="/etc/theirs",
        log_path="/etc/log",
        terminal_path="/bin/evil",
        login=7,
        server="Own",
        password="their-password",
        server_clock="UTC",
        poll_ms=77.0,
    )
    own = msgspec.structs.replace(OWN, demo_only=True, terminal_path="own.exe")
    found = serving.merged(own, asked)
    assert (found.login, found.server, found.password) == (7, "Own", "own-password")
    assert (found.module, found.lock_path, found.log_path) == ("own", "own", "")
    assert found.terminal_path == "own.exe"
    assert found.demo_only
    assert (found.server_clock, found.poll_ms) == ("UTC", 77.0)
    taken = serving.merged(UNNAMED, asked)
    assert (taken.login, taken.server, taken.password) == (7, "Own", "their-password")


def test_a_host_is_opened_once_even_if_that_failed(tmp_path: Path) -> None:
    """What comes after the first word over a link cannot choose another module or path."""
    host = Host()
    bad = HostConfig(module="no.such.module", lock_path=str(tmp_path / "lock"))
    evil = HostConfig(module="tests.terminal.fake_api", lock_path=str(tmp_path / "other"))
    assert b"no.such.module" in host.answer(encode(Open(config=bad)))
    assert b"opened before" in host.answer(encode(Open(config=evil)))
    assert not (tmp_path / "other").exists()


def test_nothing_crosses_a_closed_link(home: Path) -> None:
    """After its end a link neither sends in the clear nor takes what comes in the clear."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        there = socket.create_connection(listener.getsockname())
        here, _ = listener.accept()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate_file(home))
    ends: list[ssl.SSLSocket] = []
    thread = threading.Thread(target=lambda: ends.append(tls_client().wrap_socket(there)))
    thread.start()
    link = SecureLink(tls.wrap_socket(here, server_side=True))
    thread.join(10)
    link.close()
    with pytest.raises(OSError, match="closed"):
        link.send(1, b"secret")
    assert link.read() is None
    link.release()
    ends[0].close()
