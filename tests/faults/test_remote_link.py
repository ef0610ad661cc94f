"""The engine's trading parts over a TLS link that is lost while an order is under way."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.model.broker import OrderRequest, OrderResult
from engine.terminal.gateway import Deadlines, Gateway
from engine.terminal.link.credentials import certificate_file, fingerprint_in
from engine.terminal.link.serving import TerminalServer
from engine.terminal.protocol import HostConfig, Remote
from tests.child.test_child import wait_until
from tests.faults.bench import Bench, portfolio
from tests.terminal.wire import Wire

pytest.importorskip("cryptography", reason="the extra `terminal` makes certificates")

TOKEN = "a token"


class RemoteBench(Bench):
    """A bench whose terminal host is behind `pmpro terminal serve` and a wire."""

    server: TerminalServer | None = None
    wire: Wire

    def host_config(self) -> HostConfig:
        """Return the configuration of the engine's end; the server is started at the first."""
        config = super().host_config()
        certificate = certificate_file(self.work)
        if self.server is None:
            self.server = TerminalServer(
                ("127.0.0.1", 0), certificate=certificate, token=TOKEN, config=config
            )
            threading.Thread(target=self.server.run, daemon=True).start()
            self.wire = Wire(self.server.address)
        there = Remote(
            address=self.wire.address, fingerprint=fingerprint_in(certificate), token=TOKEN
        )
        return msgspec.structs.replace(config, simulated={}, remote=there)

    def deadlines(self) -> Deadlines:
        """Return deadlines that a test does not reach: the link is what fails."""
        return Deadlines(order_s=60.0)

    def close(self) -> None:
        """End the parts, the terminal's box last."""
        super().close()
        if self.server is not None:
            self.wire.close()
            self.server.stop()
            self.server.close()


@pytest.fixture
def make_remote(tmp_path: Path) -> Iterator[Callable[[dict[str, str]], RemoteBench]]:
    made: list[RemoteBench] = []

    def make(plans: dict[str, str]) -> RemoteBench:
        made.append(RemoteBench(tmp_path, portfolio(plans)))
        return made[-1]

    yield make
    for bench in made:
        bench.close()


class Watched:
    """A gateway that tells when an order is sent, and when the broker had written its book last."""

    def __init__(self, gateway: Gateway, work: Path) -> None:
        self._gateway = gateway
        self._work = work
        self.before_ns = 0
        self.sending = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gateway, name)

    def send(self, request: OrderRequest) -> OrderResult:
        self.before_ns = written_ns(self._work)
        self.sending.set()
        return self._gateway.send(request)


def written_ns(work: Path) -> int:
    """When the broker wrote its book last."""
    return max(path.stat().st_mtime_ns for path in work.glob("broker.sqlite*"))


def test_days_of_trading_over_the_link_balance(make_remote: Callable[..., RemoteBench]) -> None:
    """Entries, reversals and exits through TLS: the books and the broker's agree."""
    bench = make_remote({"a": "LLSF", "b": "FSSL"})
    bench.step(6)
    assert len(bench.deals) > 4
    bench.check_books()
    bench.check_balance()


def test_an_order_under_way_when_the_link_is_cut_is_found_by_its_magic(
    make_remote: Callable[..., RemoteBench],
) -> None:
    """It is unknown at once, never sent again, and becomes the slot's position by the terminal's
    evidence; what follows trades on."""
    bench = make_remote({"a": "LLLF"})
    bench.fault(call="order_send", kind="delay", when="after")
    watched: list[Watched] = []

    def watch(gateway: Gateway) -> Watched:
        watched.append(Watched(gateway, bench.work))
        return watched[-1]

    bench.terminal = watch
    assert bench.crash() == []

    def cut() -> None:
        watched[-1].sending.wait(30)
        assert wait_until(lambda: written_ns(bench.work) > watched[-1].before_ns, 30)
        bench.wire.cut()

    cutter = threading.Thread(target=cut)
    cutter.start()
    bench.step()
    cutter.join(30)
    assert bench.slot("a")["unsettled"]
    bench.look()
    assert bench.slot("a")["direction"] == 1
    assert not bench.slot("a")["unsettled"]
    bench.step(5)
    assert len(bench.deals) == 2
    bench.check_books()
    bench.check_balance()


def test_a_link_cut_between_batches_costs_nothing(
    make_remote: Callable[..., RemoteBench],
) -> None:
    """A lost link with nothing under way leaves nothing to settle; a restart agrees too."""
    bench = make_remote({"a": "LLLF"})
    bench.step()
    bench.wire.cut()
    assert wait_until(lambda: bench.gateway.restarts == 1, 30)
    bench.wait_connected()
    assert bench.crash() == []
    bench.step(4)
    assert len(bench.deals) == 2
    bench.check_books()
    bench.check_balance()
