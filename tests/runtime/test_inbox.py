"""What waits for the engine thread: two lanes, and a place that is never taken."""

from collections.abc import Callable

import pytest

from engine.model.errors import TryAgain
from engine.runtime.inbox import JOBS_A_TURN, JOBS_MAX, Inbox


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


def say(done: list[str], word: str) -> Callable[[], str]:
    def job() -> str:
        done.append(word)
        return word

    return job


def turn(inbox: Inbox) -> None:
    for job in inbox.take(0.0).jobs:
        job()


def test_a_full_lane_keeps_nobody_of_the_other_out(inbox: Inbox) -> None:
    """An operator's jobs beyond the bound are refused at once; an admin's is run at the next turn,
    before them."""
    done: list[str] = []
    for n in range(JOBS_MAX):
        inbox.run(say(done, f"job {n}"))
    for _ in range(50):
        with pytest.raises(TryAgain, match="too busy"):
            inbox.run(say(done, "never"))
    admin = inbox.run(say(done, "admin"), urgent=True)
    turn(inbox)
    assert admin.result(0) == "admin"
    assert done == ["admin", *(f"job {n}" for n in range(JOBS_A_TURN))]


def test_a_turn_takes_some_jobs_and_the_rest_soon(inbox: Inbox) -> None:
    """No batch waits for all jobs; none is lost, and they run in the order they came in."""
    done: list[str] = []
    for n in range(3 * JOBS_A_TURN + 1):
        inbox.run(say(done, str(n)))
    for n_turns in (1, 2, 3):
        turn(inbox)
        assert len(done) == n_turns * JOBS_A_TURN
    assert len(inbox.take(5.0).jobs) == 1  # does not wait while something is there
    assert done == [str(n) for n in range(3 * JOBS_A_TURN)]


def test_what_is_asked_for_many_times_runs_once_a_turn(inbox: Inbox) -> None:
    """However full the lanes are and however many ask; all of them hear of its end, and whoever
    asks after the turn has begun has it run again."""
    done: list[str] = []
    for n in range(JOBS_MAX):
        inbox.run(say(done, str(n)))
        inbox.run(say(done, str(n)), urgent=True)
    asked = [inbox.once("flags", say(done, "flags")) for _ in range(1000)]
    turn(inbox)
    assert done[0] == "flags"
    assert done.count("flags") == 1
    assert {future.result(0) for future in asked} == {"flags"}
    again = inbox.once("flags", say(done, "again"))
    assert not again.done()
    turn(inbox)
    assert again.result(0) == "again"


def test_what_a_job_raises_reaches_its_asker_and_the_engine(inbox: Inbox) -> None:
    """Whoever waits gets the error; the engine hears of what nobody foresaw, and goes on."""

    def fail() -> None:
        raise ValueError("x")

    def refuse() -> None:
        raise TryAgain("later")

    done: list[str] = []
    failed, after = inbox.run(fail), inbox.run(say(done, "after"))
    shared = inbox.once("flags", fail)
    refused = inbox.run(refuse)
    n_heard = 0
    for job in inbox.take(0.0).jobs:
        try:
            job()
        except ValueError:
            n_heard += 1
    assert n_heard == 2
    for future in (failed, shared):
        with pytest.raises(ValueError, match="x"):
            future.result(0)
    with pytest.raises(TryAgain, match="later"):
        refused.result(0)
    assert after.result(0) == "after"
