"""Properties of whole backtests, on small worlds and on real months."""

import tracemalloc
from decimal import Decimal

import numpy as np
import pytest

from backtest.data.load import load_bars
from backtest.report import digest, net_profits_ccy, summary, trades_table
from backtest.simulate import make_strategies, simulate
from backtest.stretches import server_times
from engine.model.errors import StrategyError
from engine.model.reasons import Refusal
from engine.model.server_clock import ServerClock
from engine.model.symbols import DEFAULT_SYMBOLS, fill_unknown
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE
from engine.portfolio.compile import compile_portfolio
from engine.portfolio.file import parse_portfolio
from pmpro_tui.bench.portfolio import portfolio_text
from tests.backtest.scripted import (
    FLAT,
    HOLD,
    LONG,
    MONDAY,
    SHORT,
    Scripted,
    flat_bars,
    make_bars,
    portfolio,
    strategy_text,
)

ONE = strategy_text("one", extra='sizing = { method = "fixed_lots", lots = 1.0 }')
DAYS = 17_682  # 2018-05-31


def trade(bars, script, *, text=ONE, first=MONDAY, stop=None, warmup=0):
    """Return the result and its trades as rows by name."""
    stop = MONDAY + 10_000 if stop is None else stop
    compiled = portfolio(text)
    strategies = [Scripted("EURUSD", script, warmup) for _ in compiled.strategies]
    result = simulate(
        compiled,
        {"EURUSD": bars},
        first * NS_PER_MINUTE,
        stop * NS_PER_MINUTE,
        strategies=strategies,
    )
    table = {k: np.asarray(v).tolist() for k, v in trades_table(result).items()}
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    return result, rows


def says(*outputs, stop=None, target=None, first=MONDAY):
    return {first + i: (raw, 1.0, stop, target) for i, raw in enumerate(outputs)}


def test_a_signal_at_a_bars_close_fills_at_the_next_open_and_buys_pay_the_spread():
    """LONG at the first close is bought at the second bar's ask, sold at a later bar's bid."""
    bars = flat_bars(["1.1700", "1.1710", "1.1720", "1.1730"])
    _, rows = trade(bars, says(LONG, LONG, FLAT, FLAT))
    assert len(rows) == 1
    row = rows[0]
    assert (row["entry_time"], row["entry_price"]) == ((MONDAY + 1) * NS_PER_MINUTE, 1.1711)
    assert (row["exit_time"], row["exit_price"]) == ((MONDAY + 3) * NS_PER_MINUTE, 1.1730)
    assert (row["direction"], row["exit_reason"]) == ("BUY", "signal")
    assert (row["commission_ccy"], row["profit_ccy"]) == (-7.0, 183.0)


def test_sells_fill_at_the_bid_and_close_at_the_ask():
    """The spread is paid once, when it is bought back."""
    bars = flat_bars(["1.1700", "1.1710", "1.1720", "1.1730"])
    _, rows = trade(bars, says(SHORT, SHORT, FLAT, FLAT))
    assert (rows[0]["entry_price"], rows[0]["exit_price"]) == (1.1710, 1.1731)


def test_a_reversal_is_an_exit_and_an_entry_at_the_same_open():
    """Two deals, never one order: the closed trade and the new one share time and quote."""
    bars = flat_bars(["1.1700"] * 5)
    _, rows = trade(bars, says(LONG, LONG, SHORT, SHORT, SHORT))
    assert [r["direction"] for r in rows] == ["BUY", "SELL"]
    assert rows[0]["exit_time"] == rows[1]["entry_time"]


def test_the_period_is_half_open_and_bars_before_it_only_warm_up():
    """A bar at `from` counts, one at `to` does not exist, one before `from` gives no signal."""
    bars = flat_bars(["1.17"] * 10)
    script = says(*[LONG] * 10)
    result, rows = trade(bars, script, first=MONDAY + 3, stop=MONDAY + 7)
    times = result.equity["time_ns"] // NS_PER_MINUTE
    assert (times[0], times[-1]) == (MONDAY + 3, MONDAY + 7)
    assert result.n_bars == 4
    # The first bar of the period closes a minute after it opened.
    assert rows[0]["entry_time"] // NS_PER_MINUTE == MONDAY + 4
    assert (rows[0]["exit_time"] // NS_PER_MINUTE, rows[0]["exit_reason"]) == (MONDAY + 7, "end")


def test_an_entry_without_a_bar_waits_for_the_next_signal():
    """No bar opens when the signal is due: refused, and decided anew at the next closed bar."""
    prices = [(MONDAY + i, "1.17", "1.17", "1.17", "1.17") for i in (0, 5, 6)]
    script = dict.fromkeys((MONDAY, MONDAY + 5, MONDAY + 6), (LONG, 1.0, None, None))
    result, rows = trade(make_bars(prices), script)
    assert result.refused[Refusal.STALE_PRICE] == 1
    assert rows[0]["entry_time"] // NS_PER_MINUTE == MONDAY + 6


def test_an_exit_without_a_bar_is_a_goal_that_the_next_quote_fulfils():
    """The exit waits for the next open, even if the signal has come back meanwhile."""
    minutes = [MONDAY, MONDAY + 1, MONDAY + 2, MONDAY + 9, MONDAY + 10]
    bars = make_bars([(m, "1.17", "1.17", "1.17", "1.17") for m in minutes])
    raws = (LONG, LONG, FLAT, LONG, LONG)
    script = {m: (raw, 1.0, None, None) for m, raw in zip(minutes, raws, strict=True)}
    _, rows = trade(bars, script)
    assert rows[0]["exit_time"] // NS_PER_MINUTE == MONDAY + 9
    assert rows[0]["exit_reason"] == "signal"


@pytest.mark.parametrize(
    ("bar", "price", "reason"),
    [
        (("1.1700", "1.1800", "1.1600", "1.1700"), 1.1691, "stop"),
        (("1.1650", "1.1660", "1.1600", "1.1650"), 1.1650, "stop"),
        (("1.1700", "1.1800", "1.1695", "1.1700"), 1.1721, "target"),
        (("1.1790", "1.1800", "1.1780", "1.1790"), 1.1790, "target"),
    ],
)
def test_stops_come_first_and_gaps_fill_at_the_open(bar, price, reason):
    """Entry 1.1701, stop 1.1691, target 1.1721: the next bar decides, pessimistically."""
    bars = flat_bars(["1.17", "1.17"])
    last = make_bars([(MONDAY + 2, *bar, "0.0001")])
    script = says(LONG, LONG, LONG, stop=0.001, target=0.002)
    _, rows = trade(np.concatenate([bars, last]), script)
    assert (rows[0]["exit_price"], rows[0]["exit_reason"]) == (price, reason)
    assert rows[0]["exit_time"] // NS_PER_MINUTE == MONDAY + 2


def test_after_a_stop_only_a_changed_output_enters_again():
    """LONG, LONG does not; LONG, HOLD, LONG does."""
    bars = flat_bars(["1.17", "1.17", "1.16", "1.16", "1.16", "1.16", "1.16"])
    _, rows = trade(bars, says(*[LONG] * 7, stop=0.001))
    assert len(rows) == 1
    _, rows = trade(bars, says(LONG, LONG, LONG, HOLD, LONG, LONG, LONG, stop=0.001))
    assert [r["entry_time"] // NS_PER_MINUTE - MONDAY for r in rows] == [1, 5]


def test_wednesdays_night_costs_three_swaps():
    """17:00 New York on Wednesday (21:00 UTC) is charged threefold, other nights once."""
    wednesday = MONDAY + 2 * 1440 + 20 * 60 + 55
    swap = ONE + "[symbols.EURUSD]\nswap_long_points = -5.0\n"
    for first, nights in ((wednesday, 3), (wednesday - 1440, 1)):
        bars = flat_bars(["1.17"] * 10, first)
        _, rows = trade(bars, says(*[LONG] * 10, first=first), text=swap, first=first)
        assert rows[0]["swap_ccy"] == -5.0 * nights


def test_open_losses_flatten_at_the_third_tier_and_the_halt_is_dated():
    """12 % under water with the position open: closed at the next quote, halted for good.

    A jump of a tenth is believed at its second bar.
    """
    bars = flat_bars(["1.17"] * 3 + ["1.05"] * 5)
    script = {**says(*[LONG] * 8), MONDAY + 5: (SHORT, 1.0, None, None)}
    result, rows = trade(bars, script)
    assert rows[0]["exit_reason"] == "drawdown"
    assert rows[0]["exit_price"] == 1.05
    assert len(rows) == 1
    assert summary(result)["halted_at"] == "2018-06-04T00:04:00Z"
    assert result.refused[Refusal.HALTED] > 0


def test_too_few_bars_before_the_day_is_warming_for_the_whole_day():
    """The first UTC day has no bar before it; the second one has enough."""
    days = [flat_bars(["1.17"] * 30, MONDAY + d * 1440) for d in range(2)]
    script = {m: (LONG, 1.0, None, None) for d in range(2) for m in range(MONDAY, MONDAY + 3000)}
    _, rows = trade(np.concatenate(days), script, warmup=20)
    assert rows[0]["entry_time"] // NS_PER_MINUTE == MONDAY + 1440 + 1


def test_spread_comes_from_the_data_where_it_is_known():
    """Unknown is the contract's, zero is zero: it was recorded."""
    bars = flat_bars(["1.17"] * 3)
    bars["spread"] = [np.nan, 0.0, 0.0003]
    filled = fill_unknown(bars, DEFAULT_SYMBOLS["EURUSD"])
    assert filled["spread"].tolist() == [pytest.approx(0.00008), 0.0, 0.0003]
    assert np.isnan(bars["spread"][0])


def test_a_book_of_several_names_those_that_agreed():
    """The trades table joins the members that agreed at entry."""
    text = strategy_text("a") + strategy_text("b") + strategy_text("c")
    text += '[[book]]\nname = "k"\nmembers = { a = 1.0, b = 1.0, c = 1.0 }\nenter = 0.5\n'
    compiled = portfolio(text)
    scripts = [says(*[raw] * 4, stop=0.01) for raw in (LONG, FLAT, LONG)]
    result = simulate(
        compiled,
        {"EURUSD": flat_bars(["1.17"] * 4)},
        MONDAY * NS_PER_MINUTE,
        (MONDAY + 9) * NS_PER_MINUTE,
        strategies=[Scripted("EURUSD", s) for s in scripts],
    )
    table = trades_table(result)
    assert (table["book"], table["strategy"]) == (["k"], ["a+c"])


def test_a_wrong_strategy_parameter_stops_before_any_bar():
    """The strategy's own complaint comes through."""
    compiled = compile_portfolio(
        parse_portfolio(
            '[[strategy]]\nname = "x"\nkind = "ma_cross"\nsymbol = "EURUSD"\n'
            "params = { fast = 60, slow = 20 }\n",
            "x",
        )
    )
    with pytest.raises(StrategyError, match="fast = 60"):
        simulate(compiled, {}, 0, 1)


def test_server_days_are_the_clocks():
    """The short cut by UTC day gives the clock's own days, daylight saving included."""
    minutes = np.arange(DAYS * 1440, (DAYS + 400) * 1440, 7, dtype=np.int64) * NS_PER_MINUTE
    for rule in ("new_york+7", "Europe/Athens", "UTC-5:30"):
        clock = ServerClock(rule)
        assert (server_times(clock, minutes) // NS_PER_DAY == clock.days(minutes)).all()


# Real bars.


@pytest.fixture(scope="module")
def real(data_dir):
    """Two weeks of March 2018, daylight saving change included, for the benchmark's portfolio
    with a third of its strategies on higher timeframes."""
    lines = portfolio_text()
    out, n = [], 0
    for line in lines.split("\n"):
        out.append(line)
        if line.startswith("symbol"):
            n += 1
            if n % 3 == 0 and "mtf_trend" not in out[-2]:  # reads a higher timeframe itself
                out.append(f'timeframe = "{("M5", "M15", "H1", "H4")[n // 3 % 4]}"')
    compiled = compile_portfolio(parse_portfolio("\n".join(out), "x"))
    strategies = make_strategies(compiled)
    start = (DAYS - 86) * NS_PER_DAY + 5 * 60 * NS_PER_MINUTE
    stop = start + 13 * NS_PER_DAY + 17 * NS_PER_MINUTE
    warmup = [(s.timeframe, i.timeframe, i.warmup) for s in strategies for i in s.inputs]
    bars = load_bars(data_dir, compiled.symbols, start, stop, warmup, "histdata").bars
    return compiled, bars, start, stop


def test_results_do_not_depend_on_how_the_period_is_cut(real):
    """One day at a time, three or all at once, and again: the same bits."""
    results = [simulate(*real, days_at_once=days) for days in (1, 3, 50, 1)]
    assert len(results[0].trades) > 1000
    assert {digest(r) for r in results} == {digest(results[0])}
    assert {r.refused.tobytes() for r in results} == {results[0].refused.tobytes()}


def test_trades_explain_the_balance_to_the_cent(real):
    """Σ net profit = final − initial balance, exactly; the curve ends where the balance does."""
    result = simulate(*real)
    cents = [Decimal(repr(p)) for p in net_profits_ccy(result).tolist()]
    assert Decimal(repr(float(result.core.account[0]["balance_ccy"]))) == 100_000_000 + sum(cents)
    assert result.equity["equity_ccy"][-1] == result.core.account[0]["balance_ccy"]
    assert (result.core.positions["direction"] == 0).all()
    assert summary(result)["net_profit_ccy"] == float(sum(cents))
    assert (np.diff(result.equity["time_ns"]) > 0).all()


def test_later_bars_do_not_change_earlier_trades(real):
    """What was traded until a day is the same whether or not the test goes on."""
    compiled, bars, start, stop = real
    whole = simulate(compiled, bars, start, stop)
    cut = start + 6 * NS_PER_DAY
    part = simulate(compiled, bars, start, cut)
    known = whole.trades[whole.trades["exit_ns"] < cut]
    assert known.tobytes() == part.trades[part.trades["exit_ns"] < cut][: len(known)].tobytes()
    n = len(part.equity) - 1
    assert whole.equity[:n].tobytes() == part.equity[:n].tobytes()


def test_memory_does_not_grow_with_the_period(real):
    """Four times the days need room for their trades and equity, not for their signals."""
    compiled, bars, start, _ = real

    def peak(days):
        tracemalloc.start()
        result = simulate(compiled, bars, start, start + days * NS_PER_DAY, days_at_once=1)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used - result.equity.nbytes - result.trades.nbytes - result.shares.nbytes

    simulate(compiled, bars, start, start + NS_PER_DAY)
    assert peak(12) < 1.5 * peak(3)


@pytest.mark.parametrize(("weekend", "n_days", "a_year"), [(False, 11, 252.0), (True, 15, 365.25)])
def test_the_report_counts_the_markets_own_days(weekend, n_days, a_year):
    """Two weeks and a Monday: FX closes at Saturday's midnight and opens at Monday's, on the
    server's clock; a market that never closes has every day. Annualised with as many as a year has.
    """
    first = MONDAY - 3 * 60  # the server's midnight
    minutes = np.concatenate(
        [
            first + day * 1440 + np.array([0, 1, 700, 1438, 1439])
            for day in range(15)
            if weekend or day % 7 < 5
        ]
    )
    prices = np.round(1.17 + 0.001 * np.sin(np.arange(len(minutes)) * 2.4), 5).tolist()
    bars = make_bars([(m, p, p, p, p, 0.0) for m, p in zip(minutes.tolist(), prices, strict=True)])
    script = dict.fromkeys(minutes.tolist(), (LONG, 1.0, None, None))
    result, _ = trade(bars, script, first=first, stop=int(minutes[-1]) + 1)
    figures = summary(result)
    assert (figures["n_days"], figures["days_per_year"]) == (n_days, a_year)
    assert figures["annual_return_frac"] is None  # a fortnight says nothing of a year
    by_day = {}
    for time_ns, equity_ccy in zip(
        result.equity["time_ns"].tolist(), result.equity["equity_ccy"].tolist(), strict=True
    ):
        day, minute = divmod(time_ns // NS_PER_MINUTE - first, 1440)
        by_day[day - (minute == 0 and day - 1 in by_day)] = equity_ccy
    values = np.array([100_000.0, *by_day.values()])
    returns = np.diff(values) / values[:-1]
    sharpe = returns.mean() / returns.std(ddof=1) * np.sqrt(a_year)
    assert figures["sharpe_ratio"] == pytest.approx(sharpe, rel=1e-9)


def test_annual_return_is_over_the_period_that_was_asked_for():
    """Two days of bars in a year are a year's return: the rest of it was spent in cash."""
    bars = flat_bars(["1.1700", "1.1710", "1.1720", "1.1730"])
    result, _ = trade(bars, says(LONG, LONG, FLAT, FLAT), stop=MONDAY + 365 * 1440)
    figures = summary(result)
    grown = 1.0 + figures["total_return_frac"]
    assert figures["annual_return_frac"] == pytest.approx(grown ** (365.25 / 365) - 1.0, rel=1e-9)
