"""Commands that come faster than the engine's thread turns: a kill stands, nothing is lost."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from engine.control.messages import Actor
from engine.execution.journal import Outbox
from engine.model.errors import PmproError, TryAgain
from engine.model.records import AuditRow
from engine.model.views.snapshot import Command, Reply
from engine.runtime import commands as commands_module
from engine.runtime.commands import Commands
from engine.runtime.inbox import JOBS_MAX, Inbox
from tests.child.test_child import wait_until
from tests.faults.bench import Bench
from tests.faults.commanding import ACTOR, commands_of

Make = Callable[..., Bench]
OPERATOR = Actor(uid=1001, user="op", role="operator")


class Busy:
    """A bench whose engine thread has not turned yet, and clients that wait for it."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.inbox = Inbox()
        self.commands: Commands = commands_of(bench, self.inbox)
        self.answers: list[tuple[str, Reply | PmproError]] = []
        self._threads: list[threading.Thread] = []

    def send(self, name: Any, target: str = "", *, by: Actor = ACTOR) -> None:
        """Send a command as a client does; return once it waits, or has its answer."""
        before = len(self.answers), self._n_jobs()

        def ask() -> None:
            try:
                reply: Reply | PmproError = self.commands.execute(
                    Command(id="1", name=name, target=target), by
                )
            except PmproError as error:
                reply = error
            self.answers.append((f"{name} {target}".strip(), reply))

        self._threads.append(threading.Thread(target=ask))
        self._threads[-1].start()
        assert wait_until(lambda: (len(self.answers), self._n_jobs()) != before, 10)

    def turn(self) -> None:
        """Let the engine's thread go on until everybody has an answer."""
        while any(thread.is_alive() for thread in self._threads):
            for job in self.inbox.take(0.01).jobs:
                job()
            if self.bench.trader.recorder.waits:
                self.bench.trader.save()

    def _n_jobs(self) -> int:
        inbox = self.inbox
        return len(inbox._once) + len(inbox._urgent) + len(inbox._jobs)


@pytest.fixture
def busy(make_bench: Make) -> Busy:
    bench = make_bench({"a": "LLLLLLLL", "b": "LLLLLLLL"})
    bench.step(2)
    assert len(bench.held) == 2
    return Busy(bench)


def audited(bench: Bench) -> list[tuple[str, str, str]]:
    """Return command, target and status of every command in the audit trail, in its order."""
    outbox = Outbox(bench.journal.path)
    rows = [entry.record for entry in outbox.entries(0, 100_000)]
    outbox.close()
    return [
        (row.details["command"], row.details["target"], row.status)
        for row in rows
        if isinstance(row, AuditRow) and row.event_type == "COMMAND" and "target" in row.details
    ]


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (("enable", "a"), ("kill", "a")),
        (("enable", "a"), ("kill", "EURUSD")),
        (("enable", "EURUSD"), ("kill", "EURUSD")),
        (("resume", ""), ("halt", "")),
        (("resume", "rebase"), ("flatten", "")),
    ],
)
def test_what_waited_never_undoes_a_newer_kill(
    busy: Busy, first: tuple[str, str], then: tuple[str, str]
) -> None:
    """An enable or resume that was accepted while the engine was busy is refused when a kill,
    halt or flatten of the same came in the meantime; both stand in the audit trail."""
    busy.send(*first)
    busy.send(*then)
    busy.turn()
    answers = dict(busy.answers)
    undone = answers[" ".join(first).strip()]
    if then[1] == "EURUSD" and first[1] == "a":  # the symbol stays killed, the strategy may vote
        assert isinstance(undone, Reply)
        assert busy.bench.trader.core.quotes["killed"].any()
    else:
        assert isinstance(undone, TryAgain)
        assert "was overtaken by a newer" in str(undone)
        assert (*first, "FAILED") in audited(busy.bench)
    obeyed = answers[" ".join(then).strip()]
    assert isinstance(obeyed, Reply)
    assert obeyed.ok
    assert (*then, "SUCCESS") in audited(busy.bench)
    busy.bench.step(3)
    if first[1] == "a" and then[1] == "a":
        assert [p.magic >> 32 for p in busy.bench.held] == [2]
    elif then[0] in ("kill", "flatten"):
        assert busy.bench.held == []


def test_another_s_kill_undoes_no_enable(busy: Busy) -> None:
    """A kill of one strategy is no reason to refuse the enable of another one."""
    busy.send("kill", "a")
    busy.turn()
    busy.send("enable", "a")
    busy.send("kill", "b")
    busy.turn()
    assert all(isinstance(reply, Reply) and reply.ok for _, reply in busy.answers)


def test_a_kill_needs_no_place(busy: Busy, monkeypatch: pytest.MonkeyPatch) -> None:
    """With both lanes full, and an engine thread that does not turn, a kill's flag is set, its
    answer says so, and its audit row is written when the thread goes on; another command is
    refused, told so and audited too."""
    monkeypatch.setattr(commands_module, "REPLY_WAIT_S", 0.05)
    for _ in range(JOBS_MAX):
        busy.inbox.run(lambda: None)
        busy.inbox.run(lambda: None, urgent=True)
    busy.send("kill", "a", by=OPERATOR)
    busy.send("disable", "b", by=OPERATOR)
    busy.send("limit", "order_max_lots")
    assert wait_until(lambda: len(busy.answers) == 3, 10)
    answers = dict(busy.answers)
    killed = answers["kill a"]
    assert isinstance(killed, Reply)
    assert killed.ok
    assert killed.text.endswith("the engine is busy, orders follow")
    for name in ("disable b", "limit order_max_lots"):
        assert "too busy" in str(answers[name])
    for _ in range(JOBS_MAX):
        for job in busy.inbox.take(0.0).jobs:
            job()
    assert [p.magic >> 32 for p in busy.bench.held] == [2]
    told = audited(busy.bench)
    assert ("kill", "a", "SUCCESS") in told
    assert ("disable", "b", "FAILED") in told
    assert ("limit", "order_max_lots", "FAILED") in told


def test_a_flood_of_kills_is_one_journal_entry_a_turn(
    busy: Busy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred clients' flattens cost the engine's thread one save and one look at the goals, and
    the broker's refused closes are not tried more often than once a second."""
    trader = busy.bench.trader
    calls: list[str] = []
    monkeypatch.setattr(trader, "save", lambda: calls.append("save"))
    monkeypatch.setattr(trader.positions, "retry_now", lambda: calls.append("retry"))
    for _ in range(3):
        for _ in range(20):
            busy.inbox.once("flags", busy.commands._pursue)
        for job in busy.inbox.take(0.0).jobs:
            job()
    assert calls.count("save") == 3
    assert calls.count("retry") == 1
