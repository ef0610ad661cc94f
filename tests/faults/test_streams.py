"""Real processes whose log nobody takes: they trade, obey and end as if it were taken."""

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from engine.model.errors import BrokerError
from engine.model.portfolio import Portfolio, StrategySpec
from engine.model.views.snapshot import Snapshot
from engine.portfolio.compile import compile_portfolio
from engine.runtime.terminal_start import host_config
from engine.settings.settings import load_settings
from engine.terminal.gateway import Deadlines, Gateway
from engine.terminal.link.credentials import certificate_file, fingerprint_in, token_file
from engine.terminal.protocol import Remote
from pmpro_tui.cli.status_view import facts
from tests.child.test_child import wait_until
from tests.child.test_output import full, hung_up, nobody_reads, stopped, unread
from tests.faults.bench import Bench
from tests.faults.engine_process import busy_portfolio, command, demo_home, engine, until


@pytest.fixture
def home() -> Iterator[Path]:
    """A busy demo's directory."""
    with demo_home(busy_portfolio()) as path:
        yield path


def said(snapshot: Snapshot, source: str, text: str) -> bool:
    return any(e.source == source and text in e.text for e in snapshot.events)


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("make", "trouble"),
    [
        (unread, "nobody has taken a line"),
        (stopped, "nobody has taken a line"),
        (hung_up, "Broken pipe"),
        (full, "/dev/full is not written: No space left on device"),
    ],
)
def test_an_engine_trades_and_obeys_whatever_becomes_of_its_log(
    home: Path, make: Callable[[], contextlib.AbstractContextManager[int]], trouble: str
) -> None:
    """It opens positions, says in an event and in its snapshot what is wrong with the log, closes
    everything at `flatten`, and SIGTERM ends it with code 0."""
    with make() as fd, engine(home, fd) as process:
        until(lambda s: len(s.positions) > 2 and said(s, "log", trouble), home)
        reply = command("flatten")
        assert reply.ok
        assert "busy" not in reply.text
        flat = until(lambda s: not s.positions, home, state="HALTED")
        assert flat.log.trouble
        assert ("log", f"{flat.log.name} is not written: {flat.log.trouble}") in facts(flat)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_a_terminal_host_trades_with_a_log_that_nobody_takes(
    make_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    """Calls that fail are logged, if they can be, and orders go out."""
    with nobody_reads(tmp_path / "terminal.log"):
        bench = make_bench({"a": "LLLF"})
        for _ in range(50):
            with pytest.raises(BrokerError):
                bench.gateway.quotes(["NOBODY"])
        bench.step(3)
        assert len(bench.held) == 1
        bench.step(1)
        assert bench.held == []
        assert bench.gateway.restarts == 0


@pytest.mark.parametrize("make", [unread, stopped, hung_up, full])
def test_a_served_terminal_trades_and_ends_with_a_log_that_nobody_takes(
    make: Callable[[], contextlib.AbstractContextManager[int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`pmpro terminal serve` lets an engine in, and SIGTERM ends it with code 0."""
    pytest.importorskip("cryptography", reason="the extra `terminal` makes certificates")
    port = free_port()
    monkeypatch.setenv("PMPRO_STATE_DIR", str(tmp_path / "there"))
    words = ["terminal", "serve", "--listen", f"127.0.0.1:{port}", "--mode", "demo"]
    with make() as fd:
        process = subprocess.Popen(
            [sys.executable, "-m", "pmpro_tui.cli.main", *words], stdout=fd, stderr=fd
        )
        home = tmp_path / "there" / "serve"
        try:
            gateway = served(home, port)
            assert gateway.connect().login
            assert [quote.symbol for quote in gateway.quotes(["EURUSD"])] == ["EURUSD"]
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
            gateway.close()
        finally:
            process.kill()
            process.wait(10)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def served(home: Path, port: int) -> Gateway:
    """Return a gateway to the terminal that is served there, once it is."""

    def listens() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return True
        return False

    assert wait_until(listens, 60.0)
    remote = Remote(
        address=f"127.0.0.1:{port}",
        fingerprint=fingerprint_in(certificate_file(home)),
        token=token_file(home).read_text().strip(),
    )
    settings = load_settings(mode="demo")
    portfolio = Portfolio(strategy=[StrategySpec(name="a", kind="ma_cross", symbol="EURUSD")])
    config = host_config(settings, compile_portfolio(portfolio), home.parent / "here", None)
    gateway = Gateway(
        msgspec.structs.replace(config, remote=remote),
        Deadlines(connect_s=60.0),
        on_market=lambda update: None,
    )
    gateway.start()
    return gateway
