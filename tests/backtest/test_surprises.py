"""What a market does to an account at once: wrong prices, crashes, the broker's stop-out."""

import math
from decimal import Decimal

import numpy as np
import pytest

from backtest.remarks import remarks
from backtest.report import summary, trades_table
from backtest.simulate import simulate
from engine.model.reasons import ExitReason
from engine.model.times import NS_PER_MINUTE
from tests.backtest.scripted import (
    LONG,
    MONDAY,
    SHORT,
    Scripted,
    make_bars,
    portfolio,
    strategy_text,
)

LOTS = 'sizing = { method = "fixed_lots", lots = 2.5 }'
WIDE = """[account]
balance_ccy = 10000.0
leverage = 30
[risk]
drawdown_reduce_frac = 0.9
drawdown_stop_entries_frac = 0.95
drawdown_flatten_frac = 0.99
account_drawdown_max_frac = 1
daily_loss_max_frac = 1
margin_max_frac = 1
symbol_exposure_max_frac = 1000
book_exposure_max_frac = 1000
order_max_value_frac = 1000
gross_exposure_max_frac = 1000
net_exposure_max_frac = 1000
correlated_exposure_max_frac = 1000
diversify_above_frac = 1000
var_max_frac = 100
[symbols.EURUSD]
commission_per_lot_ccy = 0.0
"""


def run(bars, raws, text, *, stop=None):
    """Trade one strategy that says `raws` bar by bar; return the result and its trades."""
    script = {MONDAY + i: (raw, 1.0, stop, None) for i, raw in enumerate(raws)}
    compiled = portfolio(text)
    rows = make_bars(bars)
    to_ns = int(rows["time_ns"][-1]) + NS_PER_MINUTE
    result = simulate(
        compiled,
        {"EURUSD": rows},
        MONDAY * NS_PER_MINUTE,
        to_ns,
        strategies=[Scripted("EURUSD", dict(script)) for _ in compiled.strategies],
    )
    table = trades_table(result)
    trades = [
        dict(zip(table, values, strict=True))
        for values in zip(*(np.asarray(c).tolist() for c in table.values()), strict=True)
    ]
    return result, trades


def flat(prices, spread="0.0001"):
    return [
        (MONDAY + i, p, p, p, p, Decimal(spread)) if not isinstance(p, tuple) else (MONDAY + i, *p)
        for i, p in enumerate(prices)
    ]


ONE = strategy_text("one", extra='sizing = { method = "fixed_lots", lots = 0.5 }')


@pytest.mark.parametrize(
    "wrong",
    [
        (0.0,) * 4,
        (math.nan,) * 4,
        (-1.17,) * 4,
        (11.7,) * 4,
        (0.117,) * 4,
        (0.7488,) * 4,
        (1.17, 1.17, 0.7488, 1.17),
        (0.7488, 1.17, 0.7488, 1.17),
        (1.17, 1.17, 0.7488, 0.7488),
    ],
)
def test_a_wrong_bar_fills_no_stop_moves_no_tier_and_is_said(wrong):
    """The stop 100 points away is not met, equity does not move, and the report has a line."""
    prices = ["1.17"] * 5 + [(*wrong, Decimal("0.0001"))] + ["1.17"] * 5
    result, trades = run(flat(prices), [LONG] * 11, ONE, stop=0.001)
    assert [t["exit_reason"] for t in trades] == ["end"]
    assert result.equity["equity_ccy"].min() > 99_980.0
    figures = summary(result)
    assert (figures["drawdown_tier_at_end"], figures["halted_at"]) == (0, None)
    (line,) = remarks(result)
    assert line.startswith(
        "EURUSD: 1 minute with an implausible price, the last 2018-06-04T00:05:00Z"
    )


def test_without_a_wrong_price_nothing_is_said():
    """A remark is for what happened."""
    result, _ = run(flat(["1.17"] * 5), [LONG] * 5, ONE)
    assert remarks(result) == []


def test_a_stop_is_met_at_the_price_that_is_believed_after_a_crash():
    """Inside the bar of the crash nothing fills; at the next open, a gap, the stop does."""
    crash = ("1.17", "1.17", "0.93", "0.936", Decimal("0.0001"))
    prices = ["1.17"] * 4 + [crash] + ["0.936"] * 3
    _, trades = run(flat(prices), [LONG] * 8, ONE, stop=0.005)
    assert trades[0]["exit_reason"] == "stop"
    assert trades[0]["exit_time"] == (MONDAY + 5) * NS_PER_MINUTE
    assert trades[0]["exit_price"] == 0.936


def falling(to_points, a_minute=10):
    return ["1.17"] * 3 + [str(round(1.17 - n * 1e-5, 5)) for n in range(0, to_points, a_minute)]


def test_the_broker_stops_out_below_half_of_the_margin():
    """By hand: 10,000 − 250,000 × (1.17 − b) < 0.5 × 250,000 × b ÷ 30 first at b = 1.1491."""
    text = WIDE + strategy_text("one", extra=LOTS)
    prices = flat(falling(2500), spread="0")
    result, trades = run(prices, [LONG] * len(prices), text)
    first = trades[0]
    assert (first["exit_reason"], first["exit_price"]) == ("stop_out", 1.1491)
    assert float(result.core.account[0]["balance_ccy"]) == 4775.0
    level = 4775.0 / (250_000 * 1.1491 / 30)
    assert level < 0.5 <= (4775.0 + 25.0) / (250_000 * 1.1492 / 30)


def test_a_stop_out_level_of_its_own_is_the_brokers():
    """At 100 % of the margin it comes earlier; at 0 our own third tier, 99 % here, comes first."""
    for percent, reason, price in ((100.0, "stop_out", 1.1689), (0.0, "drawdown", 1.1304)):
        text = WIDE.replace("leverage = 30", f"leverage = 30\nstop_out_level_percent = {percent}")
        prices = flat(falling(4500), spread="0")
        _, trades = run(prices, [LONG] * len(prices), text + strategy_text("one", extra=LOTS))
        assert (trades[0]["exit_reason"], trades[0]["exit_price"]) == (reason, price)


def test_the_largest_loser_goes_first_and_what_is_enough_is_enough():
    """Two books hold 1.5 and 1 lots: the larger loses more, and closing it saves the other."""
    extra = 'sizing = {{ method = "fixed_lots", lots = {} }}'
    text = WIDE + "".join(
        strategy_text(name, extra=extra.format(lots)) for name, lots in (("b", 1.0), ("a", 1.5))
    )
    prices = flat(falling(2200), spread="0")
    _, trades = run(prices, [LONG] * len(prices), text)
    assert [(t["book"], t["exit_reason"]) for t in trades] == [("a", "stop_out"), ("b", "end")]
    assert trades[0]["exit_price"] == 1.1491


def test_of_two_sides_the_larger_one_is_margin():
    """1.2 lots each way block 4,680, not 9,360: a level of 213 %, above the broker's 150 %."""
    extra = 'sizing = { method = "fixed_lots", lots = 1.2 }'
    text = WIDE.replace("leverage = 30", "leverage = 30\nstop_out_level_percent = 150.0")
    text += strategy_text("long", extra=extra) + strategy_text("short", extra=extra)
    result = simulate(
        portfolio(text),
        {"EURUSD": make_bars(flat(["1.17"] * 6, spread="0"))},
        MONDAY * NS_PER_MINUTE,
        (MONDAY + 6) * NS_PER_MINUTE,
        strategies=[
            Scripted("EURUSD", {MONDAY + i: (side, 1.0, None, None) for i in range(6)})
            for side in (LONG, SHORT)
        ],
    )
    assert [ExitReason(r).name for r in result.trades["reason"]] == ["END", "END"]
