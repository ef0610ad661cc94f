"""Kill, halt, flatten and close are on disk before they are answered, whatever the engine does."""

import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.execution.journal import Accepted, Journal, Outbox
from engine.execution.journal_file import checksum
from engine.model.errors import StateError
from engine.model.reasons import ExitReason
from engine.model.records import AuditRow
from engine.model.times import NS_PER_S
from engine.model.views.freshness import STALE_AFTER_S
from engine.model.views.snapshot import Command, Reply
from engine.runtime.accepted import Keeper
from engine.runtime.inbox import Inbox
from tests.faults.bench import Bench
from tests.faults.commanding import ACTOR, commands_of, order
from tests.faults.engine_process import busy_portfolio, command, demo_home, engine, until
from tests.faults.test_controls import audited, state_of

Make = Callable[..., Bench]
PLANS = {"a": "LLLLLLLL", "b": "SSSSSSSS"}


def answer_alone(bench: Bench, name: Any, target: str = "", *, text: str = "") -> Reply:
    """Give a command while the engine's thread does nothing at all."""
    commands = commands_of(bench, Inbox())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine.runtime.commands.REPLY_WAIT_S", 0.0)
        return commands.execute(Command(id="1", name=name, target=target, text=text), ACTOR)


def ends(bench: Bench) -> None:
    """Let the positions close that have the goal to."""
    bench.step(2)
    bench.check_books()


@pytest.mark.parametrize(
    ("name", "target", "held", "state"),
    [
        ("kill", "a", [2], ("ACTIVE", "")),
        ("kill", "EURUSD", [], ("ACTIVE", "")),
        ("halt", "", [1, 2], ("HALTED", "entries halted by root")),
        ("flatten", "", [], ("HALTED", "FLAT: flattened by root")),
        ("close", "1", [2], ("ACTIVE", "")),
        ("remove", "a", [2], ("ACTIVE", "")),
    ],
)
def test_what_was_answered_survives_a_kill_9_before_the_engines_thread_knew_of_it(
    make_bench: Make, name: str, target: str, held: list[int], state: tuple[str, str]
) -> None:
    """The engine dies right after the answer, having done nothing: its next life obeys, once."""
    bench = make_bench(PLANS)
    bench.step(2)
    bench.trader.save()
    ticket = next(str(p.ticket) for p in bench.held if p.magic >> 32 == 1)
    target = ticket if name == "close" else target

    reply = answer_alone(bench, name, target, text="flatten" if name == "remove" else "")
    assert reply.ok
    assert "not durable" not in reply.text
    assert audited(bench, "COMMAND")[-1]["command"] == name
    assert len(bench.held) == 2

    assert bench.crash() == []
    assert bench.said("accepted before the engine ended", "warning")
    ends(bench)
    assert sorted(p.magic >> 32 for p in bench.held) == held
    assert state_of(bench) == state
    assert bench.crash() == []
    assert not bench.said("accepted before the engine ended")
    assert sum("after_restart" in row for row in audited(bench, "COMMAND")) == 1


def test_a_later_enable_is_not_undone_by_a_restart(make_bench: Make) -> None:
    """Once a saved state has the kill in it, no restart obeys it again."""
    bench = make_bench(PLANS)
    bench.step(2)
    answer_alone(bench, "kill", "a")
    order(bench, "enable", "a")
    assert bench.journal.accepted() == []
    assert bench.crash() == []
    assert bench.trader.core.outputs[bench.member("a")]["enabled"]
    assert not bench.said("accepted before the engine ended")


def test_a_state_that_was_read_before_the_command_does_not_take_its_row(make_bench: Make) -> None:
    """A save under way when the command comes has not got it: its row stays until the next one."""
    bench = make_bench(PLANS)
    trader, commit = bench.trader, bench.journal.commit
    replies = []

    def commit_late(**what: Any) -> None:
        if not replies:  # the core has been read by now
            replies.append(answer_alone(bench, "halt"))
        commit(**what)

    bench.journal.commit = commit_late  # type: ignore[method-assign]
    trader.save()
    assert [c.name for c in bench.journal.accepted()] == ["halt"]
    bench.crash()
    assert state_of(bench) == ("HALTED", "entries halted by root")


def test_the_same_command_again_is_written_once(make_bench: Make) -> None:
    """Who repeats a halt a thousand times makes the disk write no more than once a saved state."""
    bench = make_bench(PLANS)
    n_rows = len(audited(bench, "COMMAND"))
    for _ in range(50):
        assert answer_alone(bench, "halt").text.startswith("entries halted")
    assert bench.journal.accepted() == [Accepted(name="halt", target="", text="", user="root")]
    assert len(audited(bench, "COMMAND")) == n_rows + 1


def test_what_cannot_be_written_is_in_force_and_said(make_bench: Make) -> None:
    """On a disk that takes nothing the flag holds, and the answer says that it is not durable."""
    bench = make_bench(PLANS)
    bench.step(2)
    bench.journal._db.execute("PRAGMA query_only = 1")
    reply = answer_alone(bench, "flatten")
    assert reply.ok
    assert reply.text.startswith("flattening 2 position(s), entries halted; in force, not durable")
    assert "journal.sqlite: attempt to write a readonly database" in reply.text
    assert bench.trader.flattening is ExitReason.FLATTEN
    bench.trader.pursue()
    assert bench.held == []
    bench.journal._db.execute("PRAGMA query_only = 0")
    bench.trader.save()
    bench.crash()
    assert state_of(bench)[0] == "HALTED"


def test_a_disk_that_hangs_holds_no_client_up(make_bench: Make) -> None:
    """While somebody else is in the journal for ever the answer comes in time, and says so."""
    bench = make_bench(PLANS)
    keeper = Keeper(bench.journal, wait_s=0.05)
    row = AuditRow(time_ns=0, event_type="COMMAND", actor="root", details={})
    hold, held = threading.Event(), threading.Event()

    def hang() -> None:
        with bench.journal._mutex:
            held.set()
            hold.wait(20)

    thread = threading.Thread(target=hang)
    thread.start()
    held.wait(20)
    faults = [keeper.keep(Command(id="", name="halt"), "root", row).fault for _ in range(10)]
    hold.set()
    thread.join()
    assert all("0.05 s" in fault or "does not answer" in fault for fault in faults)


def test_accepted_commands_are_checked_at_the_start(tmp_path: Path) -> None:
    """A row that is not as it was written refuses the start, as every other row's damage does."""
    path = tmp_path / "journal.sqlite"
    journal = Journal(path)
    row = AuditRow(time_ns=0, event_type="COMMAND", actor="root", details={})
    halt = Accepted(name="halt", target="", text="", user="root")
    assert journal.accept(halt, row, wait_s=1.0)
    journal.close()
    outbox = Outbox(path)
    assert [entry.record for entry in outbox.entries(0, 10)] == [row]
    outbox.close()
    journal = Journal(path)
    assert journal.accepted() == [halt]
    journal.close()
    db = sqlite3.connect(path)
    db.execute("UPDATE accepted SET crc = ?", (checksum(b"else"),))
    db.commit()
    db.close()
    with pytest.raises(StateError, match="1 row\\(s\\) of accepted fail their checksum"):
        Journal(path)


def test_the_answer_says_how_long_the_engines_thread_is_silent(make_bench: Make) -> None:
    """Who is told that orders follow is told, too, where nothing follows for now."""
    bench = make_bench(PLANS)
    commands = commands_of(bench, Inbox())
    commands._turn_s = lambda: 75.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine.runtime.commands.REPLY_WAIT_S", 0.0)
        reply = commands.execute(Command(id="1", name="flatten"), ACTOR)
    assert reply.text.endswith("the engine's thread has been silent for 75 s, orders follow")


@pytest.mark.timeout(240)
def test_a_real_engine_that_is_killed_after_its_answer_flattens_in_its_next_life(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its thread hangs in a terminal that does not answer, `pmpro status` calls it STALE; `flatten`
    and `kill` are answered all the same; after `kill -9` the next start has both and closes all."""
    # The thread hangs until the kill, however slow the box is: a terminal host that is replaced
    # before would have the commands carried out, and saved, in the first life.
    for name in ("CALL", "ORDER"):
        monkeypatch.setenv(f"PMPRO_TERMINAL__{name}_DEADLINE_S", "120")
    with demo_home(busy_portfolio()) as home:
        with engine(home) as process:
            until(lambda s: len(s.positions) > 2, home)
            host = next(
                child
                for child in psutil.Process(process.pid).children()
                if "engine.terminal.host.process" in child.cmdline()
            )
            host.send_signal(signal.SIGSTOP)
            assert command("kill", "EURUSD-2").ok
            until(lambda s: time.time_ns() - s.taken_ns > 1.5 * STALE_AFTER_S * NS_PER_S, home)
            status = [
                sys.executable,
                "-m",
                "pmpro_tui.cli.main",
                "status",
                "--mode",
                "demo",
                "--json",
            ]
            shown = subprocess.run(status, check=False, capture_output=True, timeout=30)
            assert (shown.returncode, json.loads(shown.stdout)["word"]) == (1, "STALE")
            reply = command("flatten")
            assert reply.ok
            assert "not durable" not in reply.text
            process.kill()
            process.wait(10)
        with engine(home) as process:
            flat = until(lambda s: not s.positions, home, state="HALTED")
            assert [s.name for s in flat.strategies if s.state == "KILLED"] == ["EURUSD-2"]
            assert any("accepted before the engine ended" in e.text for e in flat.events)
