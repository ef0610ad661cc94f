"""What clients may take of the engine, by process and by user; time is the test's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.control.kept import USERS_MAX, KeptByUser
from engine.control.order import CLIENTS_KEPT, SendOrder
from engine.control.peer import Credentials
from engine.control.results import KEPT_MAX, Results
from engine.control.toll import (
    COMMAND_WAIT_MOST_S,
    KEYS_MAX,
    LOOK_WAIT_MOST_S,
    PROCESS_COMMANDS,
    PROCESS_TIME,
    USER_COMMANDS,
    USER_TIME,
    Allowance,
    Buckets,
    Toll,
)
from engine.model.views.snapshot import Command, Reply
from tests.control.control_engine import START_NS

FLOOD, SAME_USER, OTHER = Credentials(1001, 5), Credentials(1001, 6), Credentials(1002, 7)


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def toll(clock: Clock) -> Toll:
    return Toll(clock)


def test_who_floods_waits_and_nobody_else_does(toll: Toll, clock: Clock) -> None:
    """A process that takes all it can is slowed down to its allowance; another process of its
    user, and another user, are served at once."""
    served_s = 0.0
    while clock.now_s < 110.0:
        clock.now_s += 0.001 + toll.wait_s(FLOOD, command=False)
        toll.charge(FLOOD, 0.001)
        served_s += 0.001
        assert toll.wait_s(SAME_USER, command=False) == toll.wait_s(OTHER, command=False) == 0.0
    assert served_s <= PROCESS_TIME.at_once + 10.0 * PROCESS_TIME.per_s + 0.002


def test_many_processes_of_a_user_have_the_user_s_allowance(toll: Toll, clock: Clock) -> None:
    """Whoever forks has no more: together they take their user's; other users notice nothing."""
    served_s = 0.0
    while clock.now_s < 110.0:
        clock.now_s += 0.001
        for pid in range(20):
            who = Credentials(1001, pid)
            if not toll.wait_s(who, command=False):
                toll.charge(who, 0.001)
                served_s += 0.001
    assert served_s <= USER_TIME.at_once + 10.0 * USER_TIME.per_s + 0.05
    assert toll.wait_s(OTHER, command=False) == 0.0


def test_no_debt_makes_a_command_wait_long(toll: Toll) -> None:
    """A kill of a process that owes a day's processor time is served within its bound."""
    toll.charge(FLOOD, 86_400.0)
    assert toll.wait_s(FLOOD, command=True) == COMMAND_WAIT_MOST_S < 1.0
    assert toll.wait_s(FLOOD, command=False) == LOOK_WAIT_MOST_S
    for _ in range(10_000):
        assert toll.kill_wait_s(FLOOD) <= COMMAND_WAIT_MOST_S
    assert toll.kill_wait_s(OTHER) == 0.0


def test_commands_have_a_rate(toll: Toll, clock: Clock) -> None:
    """A script that names 200 strategies is let; a flood gets the rate and no more."""
    assert sum(toll.may_command(FLOOD) for _ in range(10_000)) == PROCESS_COMMANDS.at_once
    assert PROCESS_COMMANDS.at_once >= 200
    clock.now_s += 1.0
    assert sum(toll.may_command(FLOOD) for _ in range(10_000)) == PROCESS_COMMANDS.per_s
    assert toll.may_command(SAME_USER)
    clock.now_s += 60.0
    n_ran = sum(toll.may_command(Credentials(1001, n % 40)) for n in range(40_000))
    assert n_ran == USER_COMMANDS.at_once
    assert toll.may_command(OTHER)


@given(st.lists(st.tuples(st.integers(0, 30), st.floats(0, 5), st.floats(0, 3)), max_size=200))
def test_buckets_are_bounded(steps: list[tuple[int, float, float]]) -> None:
    """However many keys there are, so many are kept; no level leaves [-burst, burst]; a wait ends
    exactly when the bucket is not overdrawn any more."""
    buckets: Buckets[int] = Buckets(Allowance(2.0, 3.0), keys_max=8)
    now_s = 0.0
    for key, cost, pause_s in steps:
        now_s += pause_s
        buckets.take(key, cost, now_s)
        assert len(buckets) <= 8
        assert -3.0 <= buckets.level(key, now_s) <= 3.0
        wait_s = buckets.wait_s(key, now_s)
        assert buckets.level(key, now_s + wait_s) >= -1e-9
        assert wait_s == 0.0 or buckets.level(key, now_s + wait_s / 2) < 0.0


def test_a_toll_is_bounded_in_memory(toll: Toll) -> None:
    """A million processes leave a thousand numbers behind."""
    for pid in range(3 * KEYS_MAX):
        who = Credentials(pid, pid)
        toll.charge(who, 1.0)
        toll.may_command(who)
        toll.may_connect(who)
        toll.kill_wait_s(who)
    pairs = (toll._time, toll._commands, toll._connections, toll._kills)
    assert all(len(b) <= KEYS_MAX for p in pairs for b in (p._processes, p._users))


def command(id_: str, sent_ns: int = START_NS) -> Command:
    return Command(id=id_, name="enable", target="eur", sent_ns=sent_ns)


def test_one_user_s_commands_make_nobody_else_s_run_twice() -> None:
    """Results are kept so many a user: a resend finds its own whatever others send meanwhile."""
    results = Results(lambda: START_NS)
    ran: list[str] = []

    def run(uid: int, id_: str) -> Reply | None:
        def once() -> Reply:
            ran.append(id_)
            return Reply(ok=True, text=id_)

        return results.once((uid, "c", id_), command(id_), once, wait_s=1.0)

    run(1, "mine")
    for n in range(2 * KEPT_MAX):
        run(2, f"flood {n}")
    assert run(1, "mine") == Reply(ok=True, text="mine")
    assert ran.count("mine") == 1
    assert len(results._kept) <= KEPT_MAX + 1


def test_what_still_runs_is_never_forgotten() -> None:
    """However many commands its user sends meanwhile, a command that runs is not run again."""
    results = Results(lambda: START_NS)
    ran: list[str] = []

    def long() -> Reply:
        ran.append("long")
        for n in range(KEPT_MAX + 10):
            reply = Reply(ok=True, text="")
            results.once((1, "c", str(n)), command(str(n)), lambda r=reply: r, wait_s=1.0)
        again = results.once((1, "c", "long"), command("long"), long, wait_s=0.0)
        assert again is not None
        assert again.text == "still running"
        return Reply(ok=True, text="done")

    found = results.once((1, "c", "long"), command("long"), long, wait_s=1.0)
    assert found is not None
    assert found.text == "done"
    assert ran == ["long"]


def test_one_user_s_clients_make_nobody_else_s_order_forgotten() -> None:
    """An enable that was sent before a kill stays overtaken, however many clients others invent."""
    order = SendOrder()
    assert not order.overtaken((1, "desk"), command("2", START_NS + 2), START_NS)
    for n in range(2 * CLIENTS_KEPT):
        order.overtaken((2, f"client {n}"), command("x"), START_NS)
    assert order.overtaken((1, "desk"), command("1", START_NS + 1), START_NS)
    assert len(order._newest_ns) <= CLIENTS_KEPT + 1


def test_users_are_bounded_too() -> None:
    """Of more users than there can be, the one that wrote longest ago is forgotten."""
    kept: KeptByUser[str, int] = KeptByUser()
    for uid in range(USERS_MAX + 5):
        kept.of(uid)["a"] = uid
    assert len(kept) == USERS_MAX
    assert not kept.of(0)
    assert kept.of(USERS_MAX + 4) == {"a": USERS_MAX + 4}
