"""A hundred strategies at full speed while PostgreSQL is gone: trading does not notice."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from engine.control.client import new_command
from engine.model.times import NS_PER_MINUTE
from engine.store.embedded import EmbeddedServer
from engine.store.migrate import upgrade
from engine.terminal.simulated.broker.ledger import SimLedger
from pmpro_tui.bench.portfolio import portfolio_text
from tests.faults.engine_process import client, demo_home, engine, until

AWAY_MINUTES = 600
GROWTH_MB = 40.0


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory that the server's account can reach too, and the engine's settings."""
    with demo_home(portfolio_text(100), "/var/tmp") as path:
        path.chmod(0o711)
        yield path


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_ten_hours_of_market_without_postgresql(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No row is lost, kill acts at once, memory stays, and the rows follow when it is back."""
    server = EmbeddedServer(home / "pg", home / "run", start_s=60.0)
    urls = server.start()
    upgrade(urls.owner)
    url = urls.operator.render_as_string(hide_password=False)
    monkeypatch.setenv("PMPRO_DATABASE__URL", url)
    try:
        with engine(home) as process:
            until(lambda s: s.database == "ok" and len(s.positions) > 3, home, deadline_s=300.0)
            assert server.stop()
            gone = until(lambda s: s.database.startswith("away"), home)
            rss = psutil.Process(process.pid).memory_info
            until(lambda s: s.market_ns > gone.market_ns + 60 * NS_PER_MINUTE, home)
            before_mb = rss().rss / 1e6
            held = until(lambda s: len(s.positions) > 0, home).positions[0].owner
            asked_s = time.monotonic()
            with client() as operator:
                operator.send(new_command("kill", held, now_ns=time.time_ns))
            until(lambda s: all(p.owner != held for p in s.positions), home)
            assert time.monotonic() - asked_s < 5.0
            away_ns = AWAY_MINUTES * NS_PER_MINUTE
            late = until(lambda s: s.market_ns > gone.market_ns + away_ns, home, deadline_s=1500.0)
            assert late.database.startswith("away")
            assert late.journal_backlog > 1000
            assert rss().rss / 1e6 - before_mb < GROWTH_MB
            server.start()
            until(lambda s: s.database == "ok" and s.journal_backlog < 100, home, deadline_s=300.0)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        entries = {
            d.magic
            for d in SimLedger(home / "demo" / "broker.sqlite").deals()
            if d.magic and d.entry == 0
        }
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            rows = connection.execute("SELECT magic FROM orders WHERE action = 'OPEN'").fetchall()
        assert len(entries) > 100
        assert entries <= {magic for (magic,) in rows}
    finally:
        server.stop()
