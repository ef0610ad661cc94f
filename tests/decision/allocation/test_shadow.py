"""Shadow records: what a member would have earned alone is what a book of one earns."""

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from backtest.simulate import simulate
from engine.decision.account import close_bar, roll_day
from engine.decision.allocation.shadow import UNIT_WITHOUT_STOP_FRAC, roll_shadows
from engine.decision.money import swap_nights
from engine.model.server_clock import ServerClock
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE
from engine.portfolio.allocator import Allocator
from tests.backtest.scripted import MONDAY, Scripted, portfolio, strategy_text
from tests.backtest.worlds import market, minutes, script
from tests.decision.conftest import LONG, build, strategy, tell

FIXED = 'sizing = { method = "fixed_lots", lots = 1.0 }'
NAMES = {"one": "EURUSD", "two": "EURUSD", "yen": "USDJPY"}
FAR = 1e9
# Nothing binds: the shadow knows no limits of a portfolio.
NO_LIMITS = "[account]\nbalance_ccy = 1e12\n[risk]\ncollar_frac = 1\n" + "".join(
    f"{name} = {FAR}\n"
    for name in (
        "spread_max_factor",
        "collar_spreads",
        "orders_per_minute_max",
        "symbol_orders_per_minute_max",
        "repeated_max",
        "book_orders_per_day_max",
    )
)
TEXT = NO_LIMITS + "".join(strategy_text(n, s, FIXED) for n, s in NAMES.items())
CLOCK = ServerClock("new_york+7")


def run(seed, text=TEXT, days_at_once=2):
    rng = np.random.default_rng(seed)
    times = {s: minutes(rng, MONDAY + int(rng.integers(0, 5)), 300) for s in ("EURUSD", "USDJPY")}
    bars = {s: market(rng, s, t) for s, t in times.items()}
    compiled = portfolio(text)
    scripts = {n: script(rng, s, times[s]) for n, s in NAMES.items()}
    strategies = [Scripted(s.symbol, scripts[s.name]) for s in compiled.strategies]
    stop = max(t[-1] for t in times.values()) + 1
    result = simulate(
        compiled,
        bars,
        MONDAY * NS_PER_MINUTE,
        int(stop) * NS_PER_MINUTE,
        strategies=strategies,
        days_at_once=days_at_once,
    )
    return result, bars, scripts


def in_r(trade, spec, bars, said):
    """Return a real trade's result in R, from its prices, the contract and the calendar."""
    side, price = int(trade["direction"]), float(trade["entry_price"])
    bar = bars[bars["time_ns"] == trade["entry_ns"]][0]
    conversion = 1.0 / bar["open"] if spec.profit_currency == "JPY" else 1.0
    # What was latched when it entered: HOLD keeps the row before it.
    at = int(trade["entry_ns"]) // NS_PER_MINUTE
    rows = [row for minute, row in said.items() if minute < at and row[0] != 2]
    stop = rows[-1][2]
    unit = UNIT_WITHOUT_STOP_FRAC * price if stop is None else stop
    days = CLOCK.days(np.array([trade["entry_ns"], trade["exit_ns"]])).tolist()
    points = spec.swap_long_points if side > 0 else spec.swap_short_points
    swap = swap_nights(*days, spec.swap_triple_weekday) * points * spec.point
    cost = 2 * spec.commission_per_lot_ccy / (spec.contract_size * conversion)
    return (side * (float(trade["exit_price"]) - price) + swap - cost) / unit


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(st.integers(0, 2**32 - 1))
def test_a_shadow_is_the_real_record_of_a_book_of_one_where_no_limit_binds(seed):
    """As many trades, the same sum and the same sum of squares, costs and swaps included."""
    result, bars, scripts = run(seed)
    compiled = result.compiled
    refused = np.flatnonzero(result.refused).tolist()
    assert set(refused) <= {1}, refused  # no quote at that minute
    for m, strategy_ in enumerate(compiled.strategies):
        spec = compiled.symbols[compiled.symbol_index[strategy_.symbol]]
        # What is open at the end of a test is closed there; a shadow stays open.
        ended = result.trades["exit_ns"] == result.equity["time_ns"][-1]
        trades = result.trades[(result.trades["slot"] == m) & ~ended]
        said = scripts[strategy_.name]
        results = [in_r(t, spec, bars[strategy_.symbol], said) for t in trades]
        output = result.core.outputs[m]
        assert output["shadow_trades"] == len(trades)
        assert output["shadow_r"] == pytest.approx(sum(results), rel=1e-9, abs=1e-9)
        assert output["shadow_square_r"] == pytest.approx(sum(r * r for r in results), rel=1e-9)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3]))
def test_a_shadow_depends_on_nothing_but_its_member(seed, days_at_once):
    """Disabled, in a book, without money or with every limit tight: the records are the same."""
    first, _, _ = run(seed)
    disabled = TEXT.replace("symbol =", "enabled = false\nsymbol =")
    tight = TEXT.replace(f"repeated_max = {FAR}", "repeated_max = 1").replace("1e12", "1e-3")
    booked = (
        NO_LIMITS
        + "".join(strategy_text(n, s) for n, s in NAMES.items())
        + '[[book]]\nname = "k"\ncombine = "vote"\nquorum = "unanimous"\n'
        "members = { one = 1.0, two = 1.0, yen = 1.0 }\n"
    )
    for text in (disabled, tight, booked):
        other, _, _ = run(seed, text, days_at_once)
        for field in first.core.outputs.dtype.names:
            if field.startswith("shadow_"):
                assert first.core.outputs[field].tobytes() == other.core.outputs[field].tobytes()
        assert first.core.days.tobytes() == other.core.days.tobytes()


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32 - 1))
def test_daily_results_add_up_to_the_record_and_what_is_open(seed):
    """Each of a market's own days is a row, oldest first; they add up to the equity in R then."""
    result, bars, _ = run(seed)
    core = result.core
    known = ~np.isnan(core.days)
    days = {s: np.unique(CLOCK.days(b["time_ns"])) for s, b in bars.items()}
    last = max(int(own[-1]) for own in days.values())  # has not ended
    for m, symbol in enumerate(NAMES.values()):
        ended = days[symbol][days[symbol] < last]
        assert known[:, m].sum() == len(ended) == core.outputs[m]["shadow_days"]
    assert known.any(axis=1).sum() == core.account[0]["n_rolls"]
    np.testing.assert_allclose(np.nansum(core.days, axis=0), core.outputs["shadow_day_r"])


def test_an_open_shadow_counts_at_the_side_it_would_close_on():
    """At the day's end a long one is worth its bid, costs paid."""
    core = build(strategy("one"))
    tell(core, LONG, stop=0.001)
    assert core.outputs[0]["shadow_price"] == 1.1701
    core.quotes["traded"] = 1
    roll_shadows(core)
    cost = 2 * 3.5 / 100_000
    assert core.days[-1, 0] == pytest.approx((1.17 - 1.1701 - cost) / 0.001)
    assert core.days[-1, 0] == core.outputs[0]["shadow_day_r"]


def test_a_day_on_which_a_market_was_closed_is_none_of_its_records():
    """Beside a market that never closes FX has five days a week, and two NaN."""
    core = build(strategy("fx") + strategy("coin", "BTCUSD"))
    fx, coin = core.members["symbol"].tolist()
    for day in range(14):  # from a Monday on
        roll_day(core, (17_686 + day) * NS_PER_DAY, True)
        close_bar(core, coin, day * NS_PER_DAY, 6_500.0, 30.0)
        core.outputs["shadow_r"] += [0.0 if day % 7 > 4 else 1.0, 1.0]
        if day % 7 < 5:
            close_bar(core, fx, day * NS_PER_DAY, 1.17, 1e-4)
    roll_day(core, (17_686 + 14) * NS_PER_DAY, True)
    assert core.outputs["shadow_days"].tolist() == [10, 14]
    assert np.nansum(core.days, axis=0).tolist() == [10.0, 14.0]
    week = [1.0] * 5 + [np.nan] * 2
    np.testing.assert_array_equal(core.days[-14:, 0], week * 2)
    np.testing.assert_array_equal(core.days[-14:, 1], np.ones(14))


def test_minimum_and_cool_down_are_days_of_the_market():
    """Five a week: a member that falls on its third day, a Wednesday, is benched on Thursday and
    back after five days of its own, the Thursday after; the weekend counts for nothing.
    """
    extra = (
        '[allocation]\nmethod = "manual"\n[allocation.switch]\nmin_days = 7\ncool_down_days = 5\n'
        "disable_drawdown_r = 2.0\nenable_drawdown_r = 1.0\nenable_score = -9.0\n"
        "disable_score = -10.0\n"
    )
    compiled = portfolio(strategy("fx") + extra)
    core, allocator = build(strategy("fx") + extra), Allocator(compiled)
    seen = []
    for day in range(28):
        at_ns, opens = (17_686 + day) * NS_PER_DAY, day % 7 < 5
        if roll_day(core, at_ns, opens):
            seen += [(day, change.what) for change in allocator.decide(core)]
        if opens:
            close_bar(core, 0, at_ns, 1.17, 1e-4)
            core.outputs["shadow_r"] += -3.0 if day == 2 else 0.1 + 0.01 * day
    assert seen == [(3, "benched"), (10, "unbenched")]
