"""Who passes first."""

import threading

import pytest

from engine.terminal.turnstile import CLOSING, ORDER, READ, WAITING_MOST, Turnstile
from tests.child.test_child import wait_until


def test_closing_passes_before_orders_before_reads() -> None:
    """Whoever waits, the most urgent goes next; equals go in order of arrival."""
    turnstile, passed = Turnstile(), list[tuple[int, int]]()

    def work(priority: int, n: int) -> None:
        with turnstile.turn(priority, timeout_s=10):
            passed.append((priority, n))

    threads = []
    with turnstile.turn(READ, timeout_s=1):
        for n, priority in enumerate([READ, ORDER, READ, CLOSING, ORDER, CLOSING]):
            thread = threading.Thread(target=work, args=(priority, n))
            thread.start()
            threads.append(thread)
            assert wait_until(lambda n=n: len(turnstile._waiting) == n + 1, 5)
    for thread in threads:
        thread.join(5)
    assert passed == [(CLOSING, 3), (CLOSING, 5), (ORDER, 1), (ORDER, 4), (READ, 0), (READ, 2)]


def test_who_gives_up_blocks_nobody() -> None:
    """A waiter past its deadline leaves the queue."""
    turnstile = Turnstile()
    with (
        turnstile.turn(READ, timeout_s=1),
        pytest.raises(TimeoutError),
        turnstile.turn(CLOSING, timeout_s=0.01),
    ):
        pass
    with turnstile.turn(READ, timeout_s=1):
        pass


def test_long_queues_are_refused_and_closing_never_is() -> None:
    """Behind WAITING_MOST calls of its kind a call is turned away at once; a call of another
    kind still waits for its turn, and closing does however many wait."""
    turnstile = Turnstile()

    def wait(priority: int) -> None:
        with turnstile.turn(priority, timeout_s=20):
            pass

    kinds = [READ] * WAITING_MOST + [CLOSING] * (WAITING_MOST + 1)
    threads = [threading.Thread(target=wait, args=(kind,)) for kind in kinds]
    with turnstile.turn(READ, timeout_s=1):
        for thread in threads:
            thread.start()
        assert wait_until(lambda: turnstile.n_waiting == len(kinds), 10)
        with pytest.raises(TimeoutError, match="wait already"), turnstile.turn(READ, timeout_s=20):
            pass
        with pytest.raises(TimeoutError, match="no turn"), turnstile.turn(ORDER, timeout_s=0.01):
            pass
    for thread in threads:
        thread.join(10)
    assert turnstile.n_waiting == 0
