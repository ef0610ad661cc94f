"""The gateway against a real host process whose module misbehaves."""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import pytest

from engine.model.broker import MarketUpdate, OrderRequest
from engine.model.errors import BrokerError, NotSent, OutcomeUnknown, StateError
from engine.terminal.gateway import Deadlines, Gateway
from engine.terminal.protocol import CallFailed, HostConfig
from engine.terminal.retcodes import Action, classify
from tests.child.test_child import wait_until
from tests.processes import lives

DEADLINES = Deadlines(read_s=20, order_s=20, connect_s=20)
MakeGateway = Callable[..., Gateway]


def order(
    comment: str = "1", *, lots: float = 0.1, magic: int = 5, **kwargs: float
) -> OrderRequest:
    return OrderRequest(
        symbol="EURUSD",
        direction=1,
        lots=lots,
        price=1.10008,
        magic=magic,
        comment=comment,
        **kwargs,
    )


@pytest.fixture
def updates() -> list[MarketUpdate]:
    return []


@pytest.fixture
def make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, updates: list[MarketUpdate]
) -> Iterator[MakeGateway]:
    monkeypatch.setenv("FAKE_TERMINAL_DIR", str(tmp_path))
    made: list[Gateway] = []

    def make(
        deadlines: Deadlines = DEADLINES, *, connect: bool = True, **config: object
    ) -> Gateway:
        options = {
            "module": "tests.terminal.fake_module",
            "lock_path": str(tmp_path / "host.lock"),
            "log_path": str(tmp_path / "host.log"),
            "server_clock": "UTC",
            "login": 7,
            "password": "sesame",
            **config,
        }
        gateway = Gateway(HostConfig(**options), deadlines, on_market=updates.append)
        made.append(gateway)
        gateway.start()
        if connect:
            gateway.connect()
            gateway.quotes(["EURUSD"])  # a second look sees a tick arrive
        return gateway

    yield make
    for gateway in made:
        gateway.close()


def with_order_deadline(gateway: Gateway, order_s: float) -> None:
    gateway._deadlines = Deadlines(read_s=20, order_s=order_s, connect_s=20)


@pytest.mark.parametrize(("comment", "executed"), [("hang", 1), ("hang before", 0)])
def test_a_hung_order_is_unknown_and_found_afterwards(
    make: MakeGateway, comment: str, executed: int
) -> None:
    """A send stuck in C code ends at its deadline as OutcomeUnknown; the host is dead and
    replaced, and the new one shows the order exactly as often as the broker executed it."""
    gateway = make()
    first_pid = gateway.host_pid
    with_order_deadline(gateway, 0.4)
    started_s = time.monotonic()
    with pytest.raises(OutcomeUnknown):
        gateway.send(order(comment))
    assert time.monotonic() - started_s < 2.5
    assert not lives(first_pid)
    assert len(gateway.positions()) == executed
    assert gateway.host_pid not in (0, first_pid)
    assert gateway.account().login == 7


def test_a_host_that_dies_inside_a_send_leaves_it_unknown(make: MakeGateway) -> None:
    """No reply is no answer, however fast it comes."""
    gateway = make()
    with pytest.raises(OutcomeUnknown, match="exit code 9"):
        gateway.send(order("exit"))
    assert len(gateway.positions()) == 1


def test_an_order_that_never_reached_the_module_is_not_unknown(
    make: MakeGateway, tmp_path: Path
) -> None:
    """A terminal that hangs before `order_send` is called: once the host is dead it is certain
    that nothing was sent, so the symbol need not wait for a reconciliation."""
    gateway = make()
    gateway.watch(["EURUSD"], time.time_ns())
    (tmp_path / "hang_ticks").touch()
    with_order_deadline(gateway, 0.5)
    with pytest.raises(NotSent, match="killed"):
        gateway.send(order())
    (tmp_path / "hang_ticks").unlink()
    with_order_deadline(gateway, 20)
    assert gateway.positions() == []
    gateway.quotes(["EURUSD"])
    assert classify(gateway.send(order())).filled


def test_none_after_sending_is_reconciled_not_repeated(make: MakeGateway) -> None:
    """An IPC timeout's order is in the terminal once, and the verdict is UNKNOWN."""
    gateway = make()
    result = gateway.send(order("none"))
    assert (result.retcode, result.error) == (0, -10005)
    assert classify(result).action is Action.UNKNOWN
    assert wait_until(lambda: can_read(gateway), 10)
    assert len(gateway.positions()) == 1


def can_read(gateway: Gateway) -> bool:
    """After a pipe error the session must connect again before it is believed."""
    try:
        gateway.connect()
        gateway.positions()
    except BrokerError:
        return False
    return True


def test_none_is_never_flat(make: MakeGateway, tmp_path: Path) -> None:
    """A failed positions_get raises with its code; it never looks like an empty account."""
    gateway = make()
    (tmp_path / "no_positions").touch()
    with pytest.raises(CallFailed, match="positions_get failed: -10001") as caught:
        gateway.positions()
    assert caught.value.code == -10001


def test_a_hung_read_restarts_the_host(make: MakeGateway, tmp_path: Path) -> None:
    """A read past its deadline is an error of the read; the next host answers."""
    gateway = make()
    (tmp_path / "hang_reads").touch()
    gateway._deadlines = Deadlines(read_s=0.3, connect_s=20)
    with pytest.raises(BrokerError, match=r"no answer within .* killed"):
        gateway.terminal()
    (tmp_path / "hang_reads").unlink()
    gateway._deadlines = DEADLINES
    assert gateway.positions() == []
    assert gateway.restarts == 1


def test_a_bad_order_never_leaves(make: MakeGateway) -> None:
    """What the symbol or the module would refuse is refused before sending, as NotSent."""
    gateway = make()
    for bad in (
        order(lots=0.005),
        order(lots=0.015),
        order(lots=float("nan")),
        order("x" * 28),
        order("é"),
        order(stop=1.2),
        order(target=1.0),
        order(stop=float("nan")),
    ):
        with pytest.raises(NotSent):
            gateway.send(bad)
    assert gateway.positions() == []


def test_stray_output_of_the_module_is_harmless(make: MakeGateway, tmp_path: Path) -> None:
    """A module that prints, even to the file descriptor, breaks nothing."""
    gateway = make()
    for _ in range(3):
        with pytest.raises(BrokerError):  # the fake's terminal_info has no _asdict, no version
            gateway.terminal()
    assert gateway.positions() == []
    assert b"stray bytes" in (tmp_path / "host.log").read_bytes()
    assert gateway.restarts == 0


def test_secrets_are_in_no_log(make: MakeGateway, tmp_path: Path) -> None:
    """The password is neither logged by the host nor shown by the configuration."""
    gateway = make()
    gateway.send(order())
    gateway.close()
    assert b"sesame" not in (tmp_path / "host.log").read_bytes()
    assert "sesame" not in repr(HostConfig(module="x", lock_path="y", password="sesame"))


def test_another_account_is_refused(make: MakeGateway) -> None:
    """A terminal on another account is not connected, and nothing can be sent through it."""
    gateway = make(connect=False, login=8)
    with pytest.raises(BrokerError, match="account 7, configured is 8"):
        gateway.connect()
    with pytest.raises(CallFailed):
        gateway.positions()
    with pytest.raises(NotSent):
        gateway.send(order())


def test_two_hosts_exclude_each_other(make: MakeGateway) -> None:
    """While a host lives, a second one opens nothing and says why."""
    make()
    with pytest.raises(StateError, match="earlier terminal host is running"):
        make(lock_wait_s=0.2)


def test_a_new_host_waits_for_the_old_lock(make: MakeGateway, tmp_path: Path) -> None:
    """A lock freed inside the wait lets the new host start."""
    fd = os.open(tmp_path / "host.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    releaser = threading.Timer(0.5, os.close, (fd,))
    releaser.start()
    gateway = make(lock_wait_s=20)
    releaser.join()
    assert gateway.positions() == []


def test_a_missing_module_is_one_line(make: MakeGateway) -> None:
    """The official package on a box that cannot have it: said at the start."""
    with pytest.raises(BrokerError, match="Windows only"):
        make(module="MetaTrader5")


def test_losing_the_host_is_told_and_watching_goes_on(
    make: MakeGateway, updates: list[MarketUpdate]
) -> None:
    """A killed host shows as not connected; the next one watches the same symbols."""
    gateway = make()
    gateway.watch(["EURUSD"], time.time_ns())
    assert wait_until(lambda: any(u.quotes for u in updates), 10)
    os.kill(gateway.host_pid, 9)
    assert wait_until(lambda: any(not u.connected for u in updates), 10)
    seen = len(updates)
    assert wait_until(lambda: any(u.quotes for u in updates[seen:]), 20)


def test_calls_are_counted_and_fast(make: MakeGateway) -> None:
    """Each call is counted; a round trip through gateway, pipe and host is sub-millisecond."""
    gateway = make()
    took_s = []
    for _ in range(200):
        started_s = time.perf_counter()
        gateway.orders()
        took_s.append(time.perf_counter() - started_s)
    print(f"gateway: median {median(took_s) * 1e6:.0f} µs, best {min(took_s) * 1e6:.0f} µs")
    assert gateway.stats()["GetOrders"].n_calls == 200
    assert min(took_s) < 0.002
