"""Who passes first."""

import threading

import pytest

from engine.terminal.turnstile import CLOSING, ORDER, READ, Turnstile
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
