"""One wrong price neither flattens nor disarms; a true crash does, at its second price."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from engine.decision.account import mark, update_conversions
from engine.decision.rules import check_state
from engine.model.bars import Bars
from engine.model.broker import MarketUpdate, Quote
from engine.model.reasons import Refusal
from engine.model.times import NS_PER_S
from tests.faults.bench import BID, HISTORY, LOTS, POINT, SIZING, Bench, level_bars
from tests.faults.commanding import order
from tests.faults.test_controls import audited, state_of

Make = Callable[..., Bench]

# 0.5 lots lose 5,500 a tenth of the price: 5.5 % of the account.
TIERS = "[risk]\ndrawdown_reduce_frac = 0.001\ndrawdown_stop_entries_frac = 0.004\n"
PRICES = ("open", "high", "low", "close")
WRONG = {
    "zeros": 0.0,
    "nan": np.nan,
    "negative": -BID,
    "36 % off": 0.64 * BID,
    "ten times": 10.0 * BID,
    "a tenth": 0.1 * BID,
}


def wrong_bar(price: float, *, minute: int = 7, fields: tuple[str, ...] = PRICES) -> Bars:
    """Return bars that stand still but for one."""
    bars = level_bars()
    for field in fields:
        bars[field][HISTORY + minute] = price
    return bars


def watch(bench: Bench, bid: float, ask: float, after_s: float) -> None:
    """Let the guard see a tick."""
    at_ns = bench.trader.core.account[0]["batch_ns"] + int(after_s * NS_PER_S)
    bench.market_ns = max(bench.market_ns, int(at_ns))
    quote = Quote("EURUSD", int(at_ns), bid, ask)
    bench.trader.watch(MarketUpdate(market_ns=int(at_ns), batch_ns=0, quotes=[quote]))
    bench.trader.pursue()


@pytest.mark.parametrize("price", WRONG.values(), ids=WRONG)
def test_a_wrong_bar_moves_no_tier_and_closes_nothing(make_bench: Make, price: float) -> None:
    """Zeros, NaN, a sign, a digit, another symbol's price: critical, and trading goes on."""
    bench = make_bench({"a": "LLLLLLLLLLLL", "b": "FFFFFFFFFSSS"}, wrong_bar(price))
    bench.step(12)
    account = bench.trader.core.account[0]
    assert (account["tier"], account["drawdown_frac"] < 0.001) == (0, True)
    assert state_of(bench) == ("ACTIVE", "")
    assert bench.trader.core.quotes[0]["bid"] == BID
    assert len(bench.held) == 2  # the one held through it, and one entered after it
    assert bench.said("implausible price" if price > 0.0 else "is no price", "critical")
    assert audited(bench, "MARKET")
    bench.check_books()


@pytest.mark.parametrize("field", ["open", "low", "high", "close"])
def test_one_wrong_price_of_a_bar_meets_no_stop(make_bench: Make, field: str) -> None:
    """A wick a third off neither fills the stop at the broker nor moves the trailing one."""
    bars = wrong_bar(0.64 * BID if field != "high" else 1.36 * BID, fields=(field,))
    at = bars[HISTORY + 7]
    at["low"] = min(at[name] for name in PRICES)
    at["high"] = max(at[name] for name in PRICES)
    stops = "stops = { trail_points = 100, step_points = 1 }"
    extra = f'[[book]]\nname = "one"\nmembers = {{ a = 1 }}\n{SIZING}\n{stops}'
    bench = make_bench({"a": "LLLLLLLLLLLL"}, bars, extra=extra)
    bench.step(12)
    assert len(bench.held) == 1
    assert bench.trader.core.positions[0]["best_price"] <= BID + 10 * POINT
    assert bench.trader.core.account[0]["tier"] == 0
    assert bench.said("is implausible: no mark, no stop is met", "critical")


def test_no_strategy_hears_of_a_bar_that_is_no_price(make_bench: Make) -> None:
    """It is a missing bar; an implausible one is the strategies' own to judge."""
    bench = make_bench({"a": "LLLLLLLLLLLL"}, wrong_bar(0.0))
    heard: list[int] = []
    begin = bench.trader._hosts.begin

    def listen(batch_ns: int, closed: Any) -> Any:
        heard.extend(closed["EURUSD"]["time_ns"].tolist() if "EURUSD" in closed else [])
        return begin(batch_ns, closed)

    bench.trader._hosts.begin = listen  # type: ignore[method-assign]
    bench.step(10)
    minutes = [(at_ns - bench.bars["time_ns"][HISTORY]) // (60 * NS_PER_S) for at_ns in heard]
    assert minutes == [0, 1, 2, 3, 4, 5, 6, 8, 9]


def test_a_price_that_is_none_lowers_no_tier(make_bench: Make) -> None:
    """At tier 2 a NaN bar leaves tier 2, with the last known equity."""
    bars = level_bars()
    for field in PRICES:
        bars[field][HISTORY + 4 :] = BID - 1100 * POINT  # 550: 0.55 % of the account
        bars[field][HISTORY + 7] = np.nan
    bench = make_bench({"a": "LLLLLLLLLLLL"}, bars, extra=TIERS)
    bench.step(6)
    before = bench.trader.core.account[0].copy()
    assert before["tier"] == 2
    bench.step(2)
    after = bench.trader.core.account[0]
    assert (after["tier"], after["equity_ccy"]) == (2, before["equity_ccy"])
    assert state_of(bench)[0] == "REDUCING"


def test_a_true_crash_is_believed_at_its_second_bar(make_bench: Make) -> None:
    """A quarter lost for good: tier 3 a minute later, everything closed at that price."""
    bars = level_bars()
    for field in PRICES:
        bars[field][HISTORY + 6 :] = 0.75 * BID
    bench = make_bench({"a": "LLLLLLLLLLLL"}, bars)
    bench.step(6)
    assert bench.trader.core.account[0]["tier"] == 0
    bench.step(1)
    assert bench.trader.core.account[0]["tier"] == 3
    assert bench.held == []
    assert bench.deals[-1].price == 0.75 * BID
    assert bench.said("the price is believed: a second price agrees", "critical")


def test_the_guard_believes_a_second_tick_and_not_the_first(make_bench: Make) -> None:
    """Between batches too: one tick does nothing, a second one that agrees flattens."""
    bench = make_bench({"a": "LLLLLL"})
    bench.step(3)
    low = 0.64 * BID
    for after_s in (1.0, 1.0, 1.0):  # one and the same, told again
        watch(bench, low, low + 8 * POINT, after_s)
    assert (bench.trader.core.account[0]["tier"], len(bench.held)) == (0, 1)
    assert bench.said("implausible price 0.704", "critical")
    watch(bench, BID, BID + 8 * POINT, 2.0)
    watch(bench, low, low + 8 * POINT, 3.0)
    assert bench.trader.core.account[0]["tier"] == 0
    watch(bench, low, low + 8 * POINT, 4.0)
    assert bench.trader.core.account[0]["tier"] == 3
    assert bench.held == []


def test_what_the_terminals_own_equity_has_is_believed_without_a_second_tick(
    make_bench: Make,
) -> None:
    """No tick comes any more: the account itself says what the price is worth."""
    bench = make_bench({"a": "LLLLLL"})
    bench.step(3)
    low = 0.64 * BID
    watch(bench, low, low + 8 * POINT, 1.0)
    bench.market_ns += 5 * NS_PER_S
    quiet = MarketUpdate(market_ns=bench.market_ns, batch_ns=0, quotes=[])
    bench.trader.watch(quiet)
    assert bench.trader.core.account[0]["tier"] == 0  # the broker's equity does not have it
    real = bench.gateway.account()
    lost_ccy = (BID - low) * LOTS * 1e5
    there = msgspec.structs.replace(real, equity_ccy=real.equity_ccy - lost_ccy)
    bench.gateway.account = lambda: there  # type: ignore[method-assign]
    bench.market_ns += 5 * NS_PER_S
    bench.trader.watch(msgspec.structs.replace(quiet, market_ns=bench.market_ns))
    assert bench.trader.core.account[0]["tier"] == 3
    assert bench.said("the price is believed: the terminal's own equity", "critical")


def test_a_crossed_quote_is_left_out_and_no_alarm(make_bench: Make) -> None:
    """Feeds of several banks cross now and then: nothing is marked, a warning says it."""
    bench = make_bench({"a": "LLLLLL"})
    bench.step(3)
    watch(bench, BID + 9 * POINT, BID + 8 * POINT, 1.0)
    assert bench.trader.core.quotes[0]["bid"] == BID
    assert bench.said("crossed quote", "warning")
    assert not bench.said("crossed quote", "critical")


def test_a_flood_of_wrong_prices_is_one_event_a_minute(make_bench: Make) -> None:
    """What follows within the minute is counted, and the count is said with the next one."""
    bench = make_bench({"a": "LLLLLL"})
    bench.step(3)
    for n in range(50):
        watch(bench, 0.0, 0.0, 1.0 + n)
    watch(bench, 0.0, 0.0, 70.0)
    said = [e.text for e in bench.events.newest() if e.source == "EURUSD" and "no price" in e.text]
    assert len(said) == 2
    assert said[1].endswith("(and 49 more before)")


def test_unknown_equity_lets_nothing_in_and_everything_out(make_bench: Make) -> None:
    """A position without a price: no entry, the tier as it was, and the state says so."""
    bench = make_bench({"a": "LLLLLLLL", "b": "FFFFLLLL"}, extra=TIERS)
    bench.step(3)
    core = bench.trader.core
    core.quotes["bid"] = core.quotes["ask"] = core.quotes["conversion"] = np.nan
    core.account["tier"] = 2
    update_conversions(core)
    mark(core)
    assert np.isnan(core.account[0]["equity_ccy"])
    tier, high = int(core.account[0]["tier"]), float(core.account[0]["high_water_ccy"])
    quiet = MarketUpdate(market_ns=bench.market_ns, batch_ns=0, quotes=[])
    bench.trader.watch(quiet)
    assert (core.account[0]["tier"], core.account[0]["high_water_ccy"]) == (tier, high)
    core.account["tier"] = 0
    state, reason = state_of(bench)
    assert (state, reason.startswith("equity is unknown")) == ("REDUCING", True)
    bench.trader.core.positions["refusal"] = 0
    assert check_state(core, 1) == int(Refusal.UNKNOWN_EQUITY)
    order(bench, "kill", "a")
    assert bench.held == []
