"""The state disk is full: nothing is opened, closes go on, and somebody hears of it."""

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from engine.terminal.simulated.broker.ledger import SimLedger
from pmpro_tui.cli.status_view import facts
from tests.faults.engine_process import busy_portfolio, command, demo_home, engine, until
from tests.notify.servers import http_server


@pytest.fixture
def disk() -> Iterator[Path]:
    """A small disk of its own."""
    path = Path(tempfile.mkdtemp(prefix="pmd", dir="/var/tmp"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        path.rmdir()
        pytest.skip("needs the right to mount a small disk")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)
    path.rmdir()


def fill(disk: Path) -> Path:
    """Take all the room there is."""
    # In a directory of its own: Landlock keeps files that strategy hosts may read by name.
    (disk / "others").mkdir()
    filler = disk / "others" / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return filler


@pytest.mark.timeout(240)
def test_a_full_state_disk_stops_entries_alone(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """REDUCING with the file's name; an alert goes out; a strategy host that dies is replaced; kill
    and flatten close; with room again all is written and the books agree; SIGTERM ends it."""
    with http_server("ok") as hook, demo_home(busy_portfolio(), str(disk)) as home:
        monkeypatch.setenv("PMPRO_ALERTS__URLS", f"hook=json://127.0.0.1:{hook.port}/")
        monkeypatch.setenv("PMPRO_ALERTS__DIGEST_S", "1")
        monkeypatch.setenv("PMPRO_STRATEGY_HOSTS__COUNT", "1")
        with engine(home) as process:
            until(lambda s: len(s.positions) > 2, home)
            filler = fill(disk)
            reduced = until(
                lambda s: "database or disk is full" in s.state_reason, home, state="REDUCING"
            )
            assert str(home / "demo" / "journal.sqlite") in reduced.state_reason
            assert ("state", f"REDUCING {reduced.state_reason}") in facts(reduced)
            told = ""
            while "journal.sqlite: database or disk is full" not in told:
                told = json.dumps(hook.next())

            for host in psutil.Process(process.pid).children():
                if "engine.hosts.child" in host.cmdline():
                    host.kill()
            later = until(
                lambda s: s.market_ns > reduced.market_ns + 3 * 60 * 10**9, home, state="REDUCING"
            )
            assert not [s.name for s in later.strategies if s.state == "QUARANTINED"]

            assert command("kill", "EURUSD-2").ok
            assert command("flatten").ok
            until(lambda s: not s.positions, home, state="HALTED")
            filler.unlink()
            again = until(lambda s: said(s, "journal", "is written again"), home, state="HALTED")
            assert again.n_alerts_lost == 0
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0

        ledger = SimLedger(home / "demo" / "broker.sqlite")
        assert ledger.positions() == []
        entries = [deal.magic for deal in ledger.deals() if deal.magic and deal.entry == 0]
        assert len(entries) == len(set(entries))
        ledger.close()
        with engine(home) as process:
            flat = until(lambda s: s.connected, home, state="HALTED")
            assert not flat.positions
            assert not [e for e in flat.events if e.source == "reconcile"]
            assert [s.name for s in flat.strategies if s.state == "KILLED"] == ["EURUSD-2"]


def said(snapshot: object, source: str, text: str) -> bool:
    return any(e.source == source and text in e.text for e in snapshot.events)  # type: ignore[attr-defined]


def last_words(home: Path) -> list[str]:
    """Start an engine that cannot start; return what it says on stderr."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pmpro_tui.launch.tui", "--daemon", "--demo"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    return done.stderr.splitlines()


def test_a_start_on_a_full_disk_is_refused_in_one_line_that_names_the_file(disk: Path) -> None:
    """What cannot be written at the start is named; nothing is left running."""
    with demo_home(busy_portfolio(), str(disk)) as home:
        fill(disk)
        (line,) = last_words(home)
        assert str(home) in line
        assert "No space left on device" in line or "disk is full" in line or "I/O error" in line


@pytest.mark.parametrize("name", ["demo", "demo/engine.lock", "demo/journal.sqlite"])
def test_a_state_file_that_cannot_be_made_is_named(name: str) -> None:
    """Something else in a file's or a directory's place is one line with its path."""
    with demo_home(busy_portfolio()) as home:
        path = home / name
        path.parent.mkdir(exist_ok=True)
        if name == "demo":
            path.write_text("in the way")
        else:
            path.mkdir()
        (line,) = last_words(home)
        assert str(path) in line


def test_logs_that_cannot_be_kept_keep_no_engine_from_starting() -> None:
    """Where the children's logs cannot be, it trades without them and says so."""
    with demo_home(busy_portfolio()) as home:
        (home / "demo").mkdir()
        (home / "demo" / "logs").write_text("in the way")
        with engine(home) as process:
            seen = until(lambda s: len(s.positions) > 0, home)
            assert said(seen, "log", f"{home}/demo/logs: File exists")
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
