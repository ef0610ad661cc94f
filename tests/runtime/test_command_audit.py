"""Audit rows of commands: complete and few, whatever clients send."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.control.messages import Actor
from engine.model.times import NS_PER_S, iso_utc
from engine.model.views.snapshot import Command
from engine.runtime.command_audit import (
    FOLD_S,
    KINDS_OF_ONE_MAX,
    OBEYED_ROWS,
    AuditedCommand,
    CommandAudit,
)

START_NS = 1_790_000_000 * NS_PER_S


class Clock:
    now_ns = START_NS

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def audit(clock: Clock) -> CommandAudit:
    return CommandAudit(clock)


def actor(uid: int = 1001) -> Actor:
    return Actor(uid=uid, user=f"user{uid}", role="viewer")


def kill(target: str = "eur") -> Command:
    return Command(id="1", name="kill", target=target)


def note(audit: CommandAudit, command: Command, by: Actor, result: str, *, ok: bool) -> bool:
    """Count a command as the engine does; tell whether it has a row of its own."""
    if (row := audit.count(command, by, result, ok=ok)) is not None:
        audit.put(row)
    return row is not None


def n_told(rows: list[AuditedCommand]) -> int:
    """Return how many commands rows stand for."""
    return sum(row.details.get("count", 1) for row in rows)


def test_a_flood_of_equal_refusals_is_a_row_and_then_a_counted_one(
    audit: CommandAudit, clock: Clock
) -> None:
    """The first is told at once; every ten seconds one row has the number of the others, the first
    one's time and the last one's; a refusal much later is a first one again."""
    for n in range(50_000):
        clock.now_ns = START_NS + n * NS_PER_S // 10_000
        assert note(audit, kill(), actor(), "kill needs role operator", ok=False) is (n == 0)
    (first,) = audit.take()
    assert (first.actor, first.status) == ("user1001", "FAILED")
    assert first.details["result"] == "kill needs role operator"
    assert "count" not in first.details
    clock.now_ns = START_NS + FOLD_S * NS_PER_S
    (counted,) = audit.take()
    assert counted.details == {
        **first.details,
        "count": 49_999,
        "first": iso_utc(START_NS + NS_PER_S // 10_000),
        "last": iso_utc(START_NS + 49_999 * NS_PER_S // 10_000),
    }
    assert counted.status == "FAILED"
    clock.now_ns += 2 * FOLD_S * NS_PER_S
    assert audit.take() == []
    assert note(audit, kill(), actor(), "kill needs role operator", ok=False)
    assert n_told(audit.take()) == 1


def test_what_was_obeyed_has_rows_of_its_own(audit: CommandAudit) -> None:
    """An operator who presses a key again sees each of it in the trail; only a flood is counted."""
    for _ in range(OBEYED_ROWS):
        assert note(audit, kill(), actor(), "killed eur", ok=True)
    assert not note(audit, kill(), actor(), "killed eur", ok=True)
    assert note(audit, kill("gbp"), actor(), "killed gbp", ok=True)
    rows = audit.take(everything=True)
    assert {row.status for row in rows} == {"SUCCESS"}
    assert n_told(rows) == OBEYED_ROWS + 2


def test_who_varies_what_it_sends_makes_no_more_rows(audit: CommandAudit, clock: Clock) -> None:
    """A million targets are so many rows and a counted one; another user's refusal still has its
    own."""
    for n in range(100_000):
        note(audit, kill(f"target {n}"), actor(), "no role", ok=False)
    note(audit, kill("theirs"), actor(1002), "no role", ok=False)
    rows = audit.take()
    assert len(rows) <= KINDS_OF_ONE_MAX + 1
    assert [row.details["target"] for row in rows if row.actor == "user1002"] == ["theirs"]
    clock.now_ns += FOLD_S * NS_PER_S
    later = audit.take()
    assert len(later) == 1
    assert later[0].details["target"] == "target 99999"
    assert n_told(rows) + n_told(later) == 100_001


def test_memory_is_bounded_by_users_too(audit: CommandAudit, clock: Clock) -> None:
    """Thousands of users with hundreds of targets each are counted in bounded memory, all of
    them; once it is quiet nothing is kept."""
    n = 0
    for uid in range(3_000):
        for target in range(3):
            note(audit, kill(f"{target}"), actor(uid), "no role", ok=False)
            n += 1
    assert len(audit._repeats) <= 4_098
    rows = audit.take()
    clock.now_ns += FOLD_S * NS_PER_S
    rows += audit.take()
    assert n_told(rows) == n
    clock.now_ns += 2 * FOLD_S * NS_PER_S
    audit.take()
    assert not audit._repeats
    assert not audit._n_kinds


STEPS = st.lists(
    st.tuples(
        st.integers(1, 4),  # user
        st.integers(0, 80),  # target
        st.booleans(),  # obeyed
        st.integers(1, 50),  # how often
        st.integers(0, 7),  # seconds before
    ),
    max_size=60,
)


@settings(deadline=None)
@given(STEPS)
def test_nothing_is_lost_and_nothing_told_twice(
    steps: list[tuple[int, int, bool, int, int]],
) -> None:
    """However commands come, the rows' counts add up by user and by whether they were obeyed; no
    count is 0, and no row's last time is before its first."""
    clock = Clock()
    audit = CommandAudit(clock)
    sent: Counter[tuple[str, str]] = Counter()
    rows = []
    for uid, target, ok, times, pause_s in steps:
        clock.now_ns += pause_s * NS_PER_S
        for _ in range(times):
            note(audit, kill(str(target)), actor(uid), "said", ok=ok)
        sent[f"user{uid}", "SUCCESS" if ok else "FAILED"] += times
        rows += audit.take()
    rows += audit.take(everything=True)
    told: Counter[tuple[str, str]] = Counter()
    for row in rows:
        told[row.actor, row.status] += row.details.get("count", 1)
        assert row.details.get("count", 1) > 0
        assert row.details.get("first", "") <= row.details.get("last", "")
    assert told == sent
    assert audit.take(everything=True) == []
