"""Stops and targets at the broker are the core's: moved, lost, refused, without an answer."""

from collections.abc import Callable

import pytest

from engine.model.bars import Bars
from engine.trading.levels import or_zero
from tests.faults.bench import BID, HISTORY, POINT, Bench, level_bars
from tests.faults.commanding import order

Make = Callable[..., Bench]
TRAIL = "stops = { trail_points = 100, step_points = 10 }"


def rising(at: int, by_points: int) -> Bars:
    """Return bars that stand still but for one high."""
    bars = level_bars()
    bars["high"][HISTORY + at] = BID + by_points * POINT
    return bars


def trailing(make_bench: Make, by_points: int = 60) -> Bench:
    """Return a bench that holds a long position whose stop may move at the next batch."""
    book = f'[[book]]\nname = "trail"\nmembers = {{ a = 1 }}\nenter = 0.3\n{TRAIL}\n'
    book += 'sizing = { method = "fixed_lots", lots = 0.1 }'
    bench = make_bench({"a": "LLLLLLLLLL"}, rising(2, by_points), extra=book)
    bench.step(2)
    return bench


def levels_of(bench: Bench) -> tuple[float, float]:
    """Return the core's stop and target of the only slot."""
    position = bench.trader.core.positions[0]
    return or_zero(position["stop"]), or_zero(position["target"])


def there(bench: Bench) -> tuple[float, float]:
    held = bench.held[0]
    return held.stop, held.target


def test_a_stop_follows_the_price_at_the_broker(make_bench: Make) -> None:
    """The batch after the bar that went up has it moved there and here."""
    bench = trailing(make_bench)
    before = there(bench)
    assert levels_of(bench) == before
    bench.step(2)
    assert there(bench)[0] == pytest.approx(BID - 40 * POINT)
    assert levels_of(bench) == there(bench)
    assert bench.said("stop moved from")
    bench.step(3)
    assert there(bench)[0] == pytest.approx(BID - 40 * POINT)


def test_a_move_that_was_refused_is_decided_anew(make_bench: Make) -> None:
    """The core has what the broker has; the next batch tries again."""
    bench = trailing(make_bench)
    before = levels_of(bench)
    bench.fault(call="order_send", kind="retcode", retcode=10016)
    bench.step(1)
    assert levels_of(bench) == before == there(bench)
    assert bench.said("levels not set: INVALID_STOPS", "error")
    bench.step(1)
    assert levels_of(bench) == there(bench) != before


def test_a_refused_move_keeps_no_other_from_moving(make_bench: Make) -> None:
    """However often the first one is refused."""
    books = "".join(
        f'[[book]]\nname = "trail-{m}"\nmembers = {{ {m} = 1 }}\nenter = 0.3\n{TRAIL}\n'
        'sizing = { method = "fixed_lots", lots = 0.1 }\n'
        for m in ("a", "b")
    )
    bench = make_bench({"a": "LLLLLLLLLL", "b": "LLLLLLLLLL"}, rising(2, 60), extra=books)
    bench.step(2)
    before = bench.trader.core.positions["stop"].tolist()
    bench.fault(call="order_send", kind="retcode", retcode=10016)
    bench.step(1)
    stops = bench.trader.core.positions["stop"].tolist()
    assert stops[0] == before[0]
    assert stops[1] == pytest.approx(BID - 40 * POINT)


def test_a_move_whose_answer_is_lost_is_found(make_bench: Make) -> None:
    """It was done: the next look takes the better stop instead of taking it back."""
    bench = trailing(make_bench)
    before = levels_of(bench)
    bench.fault(call="order_send", kind="error", when="after")
    bench.step(1)
    assert levels_of(bench) == before
    bench.wait_connected()
    assert there(bench)[0] > before[0]
    bench.look()
    assert levels_of(bench) == there(bench)


@pytest.mark.parametrize("levels", [(0.0, 0.0), (BID - 900 * POINT, BID + 900 * POINT)])
def test_levels_that_the_terminal_lost_or_a_hand_moved_are_set_again(
    make_bench: Make, levels: tuple[float, float]
) -> None:
    """Within a look, said and written down; nothing is sent where all is right."""
    bench = make_bench({"a": "LLLL"})
    bench.step(2)
    wanted = there(bench)
    assert wanted[0] > 0.0
    bench.gateway.modify(bench.held[0], *levels)
    bench.look()
    assert there(bench) == wanted
    assert bench.said("at the terminal: set to", "warning")
    assert bench.said("no stop, no target at the terminal", "warning") == (levels[0] == 0.0)
    sent = len(bench.events.newest())
    bench.look()
    assert len(bench.events.newest()) == sent


def test_what_cannot_be_set_is_tried_less_and_less(make_bench: Make) -> None:
    """A broker that refuses is asked after 1, 2, 4 s … by the engine's clock."""
    bench = make_bench({"a": "LLLL"})
    bench.step(2)
    wanted = there(bench)
    bench.gateway.modify(bench.held[0], 0.0, 0.0)
    bench.fault(call="order_send", kind="retcode", retcode=10029, count=2)
    for _ in range(3):  # the engine's clock stands still
        bench.look()
    refused = [e for e in bench.events.newest() if "levels not set: FROZEN" in e.text]
    assert len(refused) == 1
    bench.step(1)
    bench.look()
    bench.step(1)
    bench.look()
    assert there(bench) == wanted


def test_levels_that_follow_the_fill_are_no_warning(make_bench: Make) -> None:
    """A fill beside the expected price is daily business: it is said, but wants nobody's eyes."""
    bench = make_bench({"a": "LLLL"})
    bench.step(2)
    wanted = there(bench)
    bench.gateway.modify(bench.held[0], wanted[0] - POINT, wanted[1])
    bench.trader.positions.levels.to_fill(0)
    assert there(bench) == wanted
    assert bench.said("at the terminal: set to", "info")
    assert not bench.said("at the terminal: set to", "warning")


@pytest.mark.parametrize("had", [5.0, 0.0])
def test_a_moved_stop_is_a_message_and_a_close_is_never_kept_back(
    make_bench: Make, had: float
) -> None:
    """Each change that is sent takes a token, a refused one too, and each close; with none left
    the stop still moves and the position still closes, and only entries wait.
    """
    bench = trailing(make_bench)
    account, quote = bench.trader.core.account[0], bench.trader.core.quotes[0]
    for limit in ("orders_per_minute_max", "symbol_orders_per_minute_max"):
        bench.trader.core.limits[limit] = 5.0
    account["tokens"] = quote["tokens"] = had
    account["tokens_ns"] = quote["tokens_ns"] = 2**62  # nothing comes back meanwhile

    def left() -> float:
        assert account["tokens"] == quote["tokens"]
        return float(account["tokens"])

    before = there(bench)
    bench.fault(call="order_send", kind="retcode", retcode=10016)
    bench.step()
    assert (there(bench), left()) == (before, max(had - 1.0, 0.0))
    bench.step()
    assert there(bench)[0] > before[0]
    assert left() == max(had - 2.0, 0.0)
    order(bench, "flatten")
    assert (bench.held, left()) == ([], max(had - 3.0, 0.0))
