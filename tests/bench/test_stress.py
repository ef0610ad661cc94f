"""`pmpro bench stress`: what its figures say; the whole engine is timed by the latency test."""

import pytest

from pmpro_tui.bench.engine import Minute
from pmpro_tui.bench.stress import busiest_minute, figures_of


def minute(number: int, *orders_ms: float) -> Minute:
    return Minute(minute=number, orders_ms=list(orders_ms))


def test_what_was_not_sent_in_its_minute_is_counted_and_times_are_of_first_and_last() -> None:
    """A minute without any order has no time, and all its orders are missing."""
    got = figures_of([minute(1, 2.0, 4.0), minute(2, 3.0), minute(3)], 2)

    assert got["orders_sent_per_minute"] == 1.0
    assert got["orders_throttled_or_late"] == 3.0
    assert (got["first_order_p50_ms"], got["first_order_p100_ms"]) == (2.5, 3.0)
    assert (got["last_order_p50_ms"], got["last_order_p100_ms"]) == (3.5, 4.0)


@pytest.mark.timeout(300)
def test_the_busiest_minute_has_several_orders() -> None:
    """Twenty books that trade at all meet in some minute."""
    assert 5 <= busiest_minute() <= 200
