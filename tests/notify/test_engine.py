"""A whole engine with alerts: channels that hang cost it nothing, and nothing is told to nobody."""

import json
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.control.client import new_command
from engine.model.times import NS_PER_MINUTE
from engine.model.views.snapshot import Snapshot
from tests.faults.engine_process import client, demo_home, engine, until
from tests.notify.servers import http_server, smtp_server

DEADLINE_S = 2
SECRET = "T0KENsecretT0KEN"
RULES = [{"name": "all", "level": "info"}]
PORTFOLIO = "".join(
    f"""
[[strategy]]
name = "{symbol}-{fast}"
kind = "ma_cross"
symbol = "{symbol}"
params = {{ fast = {fast}, slow = {3 * fast}, stop_points = 60, target_points = 60 }}
sizing = {{ risk_frac = 0.0002 }}
"""
    for symbol in ("EURUSD", "GBPUSD", "USDJPY", "AUDUSD")
    for fast in (2, 3, 5)
)


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A busy demo, ten bars a second, every event an alert, logging all there is."""
    with demo_home(PORTFOLIO) as path:
        monkeypatch.setenv("PMPRO_LOG__LEVEL", "debug")
        monkeypatch.setenv("PMPRO_ALERTS__RULE", json.dumps(RULES))
        monkeypatch.setenv("PMPRO_ALERTS__DIGEST_S", "1")
        monkeypatch.setenv("PMPRO_ALERTS__DEADLINE_S", str(DEADLINE_S))
        yield path


def send(name: str, target: str = "") -> str:
    with client() as operator:
        reply = operator.send(new_command(name, target, now_ns=time.time_ns))  # type: ignore[arg-type]
    assert reply.ok, reply.text
    return reply.text


def latencies_ms(home: Path, begun: Snapshot, minutes: int) -> list[float]:
    """Return what batches took over so many minutes of market."""
    seen: dict[int, float] = {}

    def look(snapshot: Snapshot) -> bool:
        seen[snapshot.market_ns // NS_PER_MINUTE] = snapshot.latency_ms
        return snapshot.market_ns > begun.market_ns + minutes * NS_PER_MINUTE

    until(look, home)
    return list(seen.values())


@pytest.mark.timeout(240)
def test_channels_that_all_hang_cost_a_trading_engine_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It trades on, loses no event, obeys a kill at once, and shows that they fail."""
    with http_server("hang") as hook, http_server("drip") as drip, smtp_server("hang") as mail:
        urls = {
            "hook": f"json://127.0.0.1:{hook.port}/{SECRET}",
            "drip": f"json://127.0.0.1:{drip.port}/{SECRET}",
            "mail": f"mailto://127.0.0.1:{mail.port}?from=a@example.com&to=b@example.com",
        }
        monkeypatch.setenv("PMPRO_ALERTS__URLS", " ".join(f"{n}={u}" for n, u in urls.items()))
        with engine(home) as process:
            begun = until(lambda s: len(s.positions) > 2, home)
            assert all(server.arrived.wait(60) for server in (hook, drip, mail))
            hanging = until(lambda s: len(s.positions) > 0, home)
            took_ms = latencies_ms(home, hanging, 100)
            held = until(lambda s: len(s.positions) > 0, home).positions[0].owner
            asked_s = time.monotonic()
            send("kill", held)
            until(lambda s: all(p.owner != held for p in s.positions), home)
            assert time.monotonic() - asked_s < 5.0
            seen = until(lambda s: {c.state for c in s.channels} == {"FAILING"}, home)
            assert seen.n_alerts_lost == 0
            assert {c.name for c in seen.channels} == urls.keys()
            assert all("killed" in c.detail for c in seen.channels)
            assert all(a.delivery.startswith("PENDING") for a in seen.alerts)
            assert seen.alerts
            assert seen.market_ns > begun.market_ns
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
    # A batch that waits for a channel, once, takes as long as the channel may.
    assert max(took_ms) < 1000.0 * DEADLINE_S
    assert statistics.median(took_ms) < 250.0


@pytest.mark.timeout(180)
def test_what_a_debugging_engine_writes_holds_no_token(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not its output, logs, journal, alerts or snapshot, nor any process's arguments."""
    with http_server() as works, http_server("fail") as fails:
        urls = home.parent / f"{home.name}.urls"
        urls.touch(0o600)
        urls.write_text(
            f"a = json://ann:{SECRET}@127.0.0.1:{works.port}/{SECRET}\n"
            f"b = json://127.0.0.1:{fails.port}/{SECRET}?+X-Key={SECRET}\n"
        )
        monkeypatch.setenv("PMPRO_ALERTS__URLS_FILE", str(urls))
        try:
            with engine(home) as process:
                until(lambda s: any(c.state == "FAILING" for c in s.channels), home)
                away = until(lambda s: any(a.source == "database" for a in s.alerts), home)
                assert away.database.startswith("away")
                path, body = works.next()
                assert SECRET in path
                assert body["title"].startswith("pmpro demo: ")
                seen = until(lambda s: len(s.alerts) > 3, home)
                target = str(seen.alerts[0].id)
                assert send("ack", target) == f"acknowledged alert {target}"
                acked = until(lambda s: any(a.acked_by for a in s.alerts), home)
                with pytest.raises(AssertionError, match="was acknowledged by"):
                    send("ack", target)
                listed = pmpro("alert", "list", "--json")
                arguments = b"".join(
                    (Path(f"/proc/{pid}/cmdline")).read_bytes() for pid in session_of(process.pid)
                )
                process.send_signal(signal.SIGTERM)
                assert process.wait(30) == 0
        finally:
            urls.unlink()
    written = {p: p.read_bytes() for p in home.rglob("*") if p.is_file()}
    assert any(p.name == "alerts.log" and text for p, text in written.items())
    texts = [*written.values(), arguments, repr(acked).encode(), listed.encode()]
    assert not any(SECRET.encode() in text for text in texts)
    assert b"ack" in written[home / "demo" / "journal.sqlite"]


def test_an_engine_that_does_not_start_tells_somebody(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody watches a console at night: what keeps it from trading leaves before it ends."""
    (home / "portfolio.toml").write_text(PORTFOLIO.replace("fast = 2", "fast = 99"))
    monkeypatch.setenv("PMPRO_ALERTS__RULE", "[]")
    with http_server() as server:
        monkeypatch.setenv("PMPRO_ALERTS__URLS", f"hook=json://127.0.0.1:{server.port}/{SECRET}")
        with engine(home) as process:
            assert process.wait(60) == 2
        assert "engine: not started: " in server.next()[1]["message"]


def pmpro(*arguments: str) -> str:
    """Return what a one-shot command prints."""
    command = [sys.executable, "-P", "-m", "pmpro_tui.cli.main", *arguments, "--mode", "demo"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def session_of(pid: int) -> list[int]:
    """Return the engine and its children."""
    import psutil

    one = psutil.Process(pid)
    return [pid, *(child.pid for child in one.children(recursive=True))]
