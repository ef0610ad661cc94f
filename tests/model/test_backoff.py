"""Growing pauses: each place's figures, and the one class that makes them."""

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import backoff
from engine.model.backoff import Backoff, TicketBackoffs
from engine.model.times import NS_PER_HOUR, NS_PER_S
from engine.notify import desk
from engine.runtime import database, terminal_start
from engine.store import writer
from engine.terminal import host_link
from engine.terminal.host import watcher
from pmpro_tui.console import link
from tests.docs.pages import REPO

# The pauses in seconds of each place that tries again: those of the code before it was one class.
PLACES = [
    (host_link._BACKOFF_FIRST_S, host_link._BACKOFF_MOST_S, [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]),
    (watcher._RECONNECT_FIRST_S, watcher._RECONNECT_MOST_S, [2, 4, 8, 16, 30, 30]),
    (desk.RETRY_FIRST_S, desk.RETRY_MOST_S, [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]),
    (database.RETRY_FIRST_S, database.RETRY_MOST_S, [4, 8, 16, 32, 60, 60]),
    (writer.BACKOFF_MIN_S, writer.BACKOFF_MAX_S, [0.25, 0.5, 1, 2, 4, 8, 15, 15]),
    (link._RETRY_FIRST_S, link._RETRY_MOST_S, [0.25, 0.5, 1, 2, 4, 4]),
    (terminal_start.RETRY_FIRST_S, terminal_start.RETRY_MOST_S, [0.5, 1, 2, 4]),
    (backoff.TICKET_FIRST_S, backoff.TICKET_MOST_S, [1, 2, 4, 8, 16, 32, 60, 60]),
]


class Clock:
    def __init__(self, now_ns: int = 0) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns


@pytest.mark.parametrize(("first_s", "most_s", "pauses_s"), PLACES)
def test_every_place_waits_as_it_always_did(
    first_s: float, most_s: float, pauses_s: list[float]
) -> None:
    """The pauses of each place are these, in this order, and begin anew after a success."""
    kept = Backoff(first_s, most_s, Clock())
    for _ in range(2):
        assert [kept.failed() for _ in pauses_s] == pauses_s
        kept.succeeded()


@given(
    st.floats(0.01, 10.0), st.floats(0.01, 1_000.0), st.integers(0, 2**62), st.integers(1, 5_000)
)
def test_a_pause_ends_exactly_and_never_grows_past_its_limit(
    first_s: float, most_s: float, now_ns: int, n_failed: int
) -> None:
    """After any number of failures the pause is at most `most_s`, holds until its last nanosecond
    and not one longer."""
    clock = Clock(now_ns)
    kept = Backoff(first_s, most_s, clock)
    assert kept.may_try()
    kept.n_failed = n_failed - 1
    pause_s = kept.failed()
    assert min(first_s, most_s) <= pause_s <= most_s
    clock.now_ns = kept.until_ns - 1
    assert not kept.may_try()
    clock.now_ns += 1
    assert kept.may_try()


def test_a_success_lets_the_next_try_come_at_once_or_after_its_rest() -> None:
    """Failures are forgotten; only a rest that was asked for is kept."""
    clock = Clock(NS_PER_HOUR)
    kept = Backoff(2.0, 30.0, clock)
    kept.failed("away")
    assert (kept.n_failed, kept.why, kept.may_try()) == (1, "away", False)
    kept.succeeded()
    assert (kept.n_failed, kept.why, kept.may_try()) == (0, "", True)
    kept.succeeded(1.0)
    clock.now_ns += NS_PER_S - 1
    assert not kept.may_try()
    clock.now_ns += 1
    assert kept.may_try()
    assert kept.failed() == 2.0


def test_a_clock_that_is_set_back_holds_nothing_up() -> None:
    """A close that was refused right before the clock lost an hour does not wait for that hour."""
    clock = Clock(10 * NS_PER_HOUR)
    kept = TicketBackoffs(clock)
    kept.refused(7, "no quotes")
    assert not kept.may_try(7)
    clock.now_ns -= NS_PER_HOUR
    assert kept.may_try(7)


def test_tickets_wait_each_for_itself() -> None:
    """A refusal of one position holds up no other; what is done or gone begins anew."""
    clock = Clock()
    kept = TicketBackoffs(clock)
    for ticket, n_refused in ((1, 3), (2, 1)):
        for _ in range(n_refused):
            kept.refused(ticket, f"{ticket} refused")
    first, second = kept.of(1), kept.of(2)
    assert first is not None
    assert second is not None
    assert (first.until_ns, first.why) == (4 * NS_PER_S, "1 refused")
    assert (second.until_ns, second.why) == (NS_PER_S, "2 refused")
    assert (kept.may_try(1), kept.may_try(2), kept.may_try(3)) == (False, False, True)
    clock.now_ns = NS_PER_S
    assert (kept.may_try(1), kept.may_try(2)) == (False, True)
    kept.keep([2, 3])
    assert (kept.of(1), kept.of(2)) == (None, second)
    kept.done(2)
    assert kept.of(2) is None
    kept.refused(1)
    kept.clear()
    assert kept.may_try(1)


def test_nobody_else_makes_pauses_grow() -> None:
    """No line doubles a pause by hand, but for the second and third sending of an order, whose
    pause the broker's answer sets."""
    found = {path for path, line in lines() if GROWS.search(line)}
    assert found == {"engine/execution/steps.py", "engine/model/backoff.py"}


GROWS = re.compile(
    r"\w*(wait|pause|backoff|retry|delay|first|again)\w*_n?s\b.*(\b2(\.0)? ?\*|\* ?2\b|<<)"
    r"|\b2(\.0)? ?\* ?\w*(wait|pause|backoff|retry|delay)\w*"
    r"|(wait|pause|backoff|retry|delay)\w* ?(\*|<<)=",
    re.IGNORECASE,
)


def lines() -> Iterator[tuple[str, str]]:
    for package in ("backtest", "engine", "pmpro_tui", "rl", "sql", "strategies"):
        for path in sorted((REPO / package).rglob("*.py")):
            for line in path.read_text(encoding="utf-8").splitlines():
                yield path.relative_to(REPO).as_posix(), line
