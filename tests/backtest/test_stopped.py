"""A portfolio that drawdown tier 2 stops: what its report begins with, and what releases it."""

import numpy as np
import pytest

from backtest.remarks import remarks
from backtest.report import digest, summary
from backtest.simulate import Result, simulate
from backtest.stopped import releases
from engine.metrics.performance import exposure_frac, sharpe_ratio
from engine.model.reasons import Refusal
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE
from pmpro_tui.cli.backtest.view import show
from tests.backtest.scripted import (
    FLAT,
    LONG,
    MONDAY,
    Scripted,
    make_bars,
    portfolio,
    strategy_text,
)

ONE = strategy_text("one", extra='sizing = { method = "fixed_lots", lots = 10.0 }')
RISK = """[risk]
daily_loss_max_frac = 1
order_max_value_frac = 1000
symbol_exposure_max_frac = 1000
book_exposure_max_frac = 1000
gross_exposure_max_frac = 1000
net_exposure_max_frac = 1000
correlated_exposure_max_frac = 1000
diversify_above_frac = 1000
var_max_frac = 100
"""
BARS_A_DAY = 6
WHOLE_ACCOUNT = """drawdown_stop_entries_frac = 0.5
drawdown_flatten_frac = 0.9
account_drawdown_max_frac = 0.05
"""


def losing(release: str, n_days: int = 260) -> Result:
    """Trade long in a market that falls 30 points a bar, five days a week, two stops a day.

    10 lots lose some 770 an entry: 8 % of 100,000 are gone within days.
    """
    rows, script, price = [], {}, 1.17
    for day in range(n_days):
        if day % 7 > 4:
            continue
        for bar in range(BARS_A_DAY):
            minute = MONDAY + day * 1440 + bar
            price = round(price - 0.0003, 5) if price > 0.6 else 1.17
            low = round(price - 0.0005, 5)
            rows.append((minute, price, price, low, price, 0.0001))
            script[minute] = (LONG if bar % 3 < 2 else FLAT, 1.0, 0.0007, None)
    compiled = portfolio(ONE + RISK + f"drawdown_release = {release}\n")
    bars = make_bars(rows)
    from_ns = MONDAY * NS_PER_MINUTE
    return simulate(
        compiled,
        {"EURUSD": bars},
        from_ns,
        from_ns + n_days * NS_PER_DAY,
        strategies=[Scripted("EURUSD", script)],
    )


def test_a_report_begins_with_what_kept_entries_out():
    """Date and rule stand first; the figures up to there are those of a period that ends there."""
    result = losing('"operator"')
    figures = summary(result)
    last_ns = int(result.trades["entry_ns"].max())
    assert figures["drawdown_tier_at_end"] == 2
    assert next(iter(figures)) == "no_entry"
    day = str(np.datetime64(last_ns, "ns").astype("M8[D]"))
    assert figures["no_entry"] == f"no entry after {day}: drawdown tier 2"
    stop_ns = int(np.datetime64(figures["no_entry_after"].rstrip("Z"), "ns").astype(np.int64))
    assert last_ns <= stop_ns < last_ns + NS_PER_DAY
    assert result.refused[Refusal.DRAWDOWN_TIER] > 100
    # Half a year of nothing makes losses look rarer: not those of the time in which it traded.
    assert figures["at_stop_sharpe_ratio"] < figures["sharpe_ratio"] < 0.0
    assert figures["at_stop_exposure_frac"] > 10 * figures["exposure_frac"] > 0.0
    assert figures["at_stop_max_drawdown_frac"] == pytest.approx(0.08, abs=0.01)


def test_figures_up_to_there_are_those_of_the_shorter_period():
    """Run to the stop alone, the same figures come out."""
    result = losing('"operator"')
    figures = summary(result)
    stop_ns = int(np.datetime64(figures["no_entry_after"].rstrip("Z"), "ns").astype(np.int64))
    rows = result.equity[result.equity["time_ns"] <= stop_ns]
    server_days = (rows["time_ns"] + 7 * 3_600_000_000_000 - 4 * 3_600_000_000_000) // NS_PER_DAY
    ends = rows["equity_ccy"][np.flatnonzero(np.diff(server_days, append=-1))]
    returns = ends / np.concatenate([[100_000.0], ends[:-1]]) - 1.0
    assert figures["at_stop_sharpe_ratio"] == pytest.approx(sharpe_ratio(returns, 252.0))
    t = result.trades[result.trades["entry_ns"] < stop_ns]
    span_ns = int(rows["time_ns"][-1] - rows["time_ns"][0])
    expected = exposure_frac(t["entry_ns"], np.minimum(t["exit_ns"], stop_ns), span_ns)
    assert figures["at_stop_exposure_frac"] == pytest.approx(expected)
    assert figures["at_stop_annual_return_frac"] is None  # below a month


def test_a_release_trades_again_and_is_told():
    """Five server days after each stop it enters again, until it is stopped anew."""
    stopped, released = losing('"operator"'), losing("5")
    assert len(released.trades) > 2 * len(stopped.trades)
    assert released.trades["entry_ns"].max() > stopped.trades["entry_ns"].max() + 200 * NS_PER_DAY
    told = releases(released)
    assert len(told) == len(released.releases) == summary(released)["drawdown_releases_count"] > 3
    for release in released.releases:
        held = (released.trades["entry_ns"] < release.time_ns) & (
            released.trades["exit_ns"] >= release.time_ns
        )
        assert not held.any()
        before = released.equity[released.equity["time_ns"] < release.time_ns]
        # Five whole days of nothing but tier 2, and the day before them in part.
        days = np.unique(before["time_ns"][before["drawdown_frac"] < 0.08] // NS_PER_DAY)
        quiet = np.unique(before["time_ns"] // NS_PER_DAY)
        assert len(quiet[quiet > days[-1]]) >= 5
        (row,) = released.equity[released.equity["time_ns"] == release.time_ns]
        assert (row["drawdown_frac"], row["balance_ccy"]) == (0.0, release.after_ccy)
    notes = remarks(released)
    assert any(n.startswith("drawdown_release = 5 lowered the high-water mark") for n in notes)
    assert not releases(stopped)
    assert remarks(stopped)[0] == summary(stopped)["no_entry"]


def test_the_text_for_people_begins_with_it_too(capsys):
    """First the line, then the figures up to there beside the whole period's, and it once."""
    result = losing('"operator"')
    figures = summary(result)
    show({"summary": figures, "books": [], "notes": remarks(result)}, [])
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == figures["no_entry"]
    (sharpe, *_) = [text.split() for text in out.splitlines() if text.startswith("Sharpe")]
    expected = (figures["at_stop_sharpe_ratio"], figures["sharpe_ratio"])
    assert sharpe[1:] == [f"{value:,.2f}" for value in expected]
    assert figures["no_entry"] not in err


def test_a_release_never_reached_changes_nothing():
    """More days than the period has: to the last bit the default's result."""
    assert digest(losing("400")) == digest(losing('"operator"'))


@pytest.mark.parametrize(
    ("limits", "line"),
    [
        ("drawdown_flatten_frac = 0.0801\n", "drawdown tier 3, flattened and halted"),
        (
            WHOLE_ACCOUNT,
            "account drawdown 5.",
        ),
    ],
)
def test_every_stop_of_the_whole_account_is_said(limits, line, monkeypatch):
    """Tier 3 and the whole account's drawdown end the entries as tier 2 does."""
    monkeypatch.setattr(f"{__name__}.RISK", RISK + limits)
    figures = summary(losing('"operator"', 60))
    assert figures["no_entry"].startswith("no entry after 2018-06-")
    assert line in figures["no_entry"]


def test_a_book_that_a_rule_barred_is_said(monkeypatch):
    """Nobody enables it in a backtest: since when, and by which rule."""
    monkeypatch.setattr(f"{__name__}.RISK", RISK + "repeated_max = 2\nrepeated_minutes = 10000\n")
    result = losing('"operator"', 30)
    assert remarks(result)[0] == "one: no entry after 2018-06-05: REPEATED barred the book"
    assert summary(result)["no_entry"] is None
