"""The server's day: shares decided at its end, and days that are lived through afterwards."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from engine.execution.journal import Outbox
from engine.model.records import AuditRow, MetricsRow
from engine.model.times import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE
from engine.portfolio.compile import compile_portfolio
from engine.portfolio.file import parse_portfolio
from engine.trading.missed import split_missed
from engine.views.parts import risk_view, strategy_views
from engine.views.rows import SHARPE_DAYS_MIN, add_batch_rows
from tests.faults.bench import BID, HISTORY, POINT, START_NS, Bench, level_bars, portfolio

Make = Callable[..., Bench]
BY_SCORE = '[allocation]\nmethod = "inverse_volatility"\nmin_days = 2\nturnover_max_frac = 1.0'


def waving() -> Any:
    """Return bars whose price goes up and down, so that records are not all the same."""
    bars = level_bars()
    wave = np.round(BID + 40 * POINT * np.sin(np.arange(len(bars)) / 7.0), 5)
    for field in ("open", "high", "low", "close"):
        bars[field] = wave
    return bars


def records(bench: Bench, kind: type) -> list[Any]:
    outbox = Outbox(bench.journal.path)
    rows = [entry.record for entry in outbox.entries(0, 100_000)]
    outbox.close()
    return [r for r in rows if isinstance(r, kind)]


def end_of_day(bench: Bench) -> None:
    """Have the server's day end at the next batch: its clock is a day behind by now."""
    bench.trader.core.account["server_day"] -= 1


def give_records(bench: Bench, *deviations: float) -> None:
    """Write a month of daily shadow results, of so much deviation for each member."""
    rng = np.random.default_rng(3)
    for member, deviation in enumerate(deviations):
        bench.trader.core.days[-30:, member] = rng.normal(0.0, deviation, 30)


def test_a_day_s_new_shares_are_audited_with_their_numbers_and_kept(make_bench: Make) -> None:
    """What changed, from what to what, and what was measured; a crash forgets none of it."""
    bench = make_bench({"a": "LFLFLF", "b": "LFLFLF"}, waving(), extra=BY_SCORE)
    bench.step(2)
    give_records(bench, 1.0, 3.0)
    end_of_day(bench)
    bench.step()
    before = bench.trader.core.positions["allocation"].copy()
    assert before[0] > 1.2
    assert before[1] < 0.8
    audited = [r.details for r in records(bench, AuditRow) if r.event_type == "ALLOCATION"]
    assert [row["unit"] for row in audited] == ["a", "b"]
    assert audited[0]["after"] == pytest.approx(before[0] / 2)
    assert audited[0]["numbers"]["volatility_r"] < audited[1]["numbers"]["volatility_r"]
    assert bench.said("allocation 0.5 →", "info")
    assert bench.crash() == []
    assert bench.trader.core.positions["allocation"].tolist() == before.tolist()


def test_manual_shares_are_the_file_s_at_every_start(make_bench: Make) -> None:
    """Who edits them need not fight what was saved."""
    bench = make_bench({"a": "LLLL", "b": "LLLL"})
    bench.step()
    shares = "[allocation]\nshares = { a = 3.0, b = 1.0 }"
    text = portfolio({"a": "LLLL", "b": "LLLL"}, extra=shares)
    bench.compiled = compile_portfolio(parse_portfolio(text, "test"))
    assert bench.crash() == []
    assert bench.trader.core.positions["allocation"].tolist() == [1.5, 0.5]


def test_a_day_that_ended_unseen_is_counted_once(make_bench: Make) -> None:
    """Missed batches roll the day and sample returns as they pass; a restart does not repeat it.

    The engine is away over the server's midnight, comes back, and crashes once more.
    """
    bars = waving()
    midnight_ns = START_NS - START_NS % NS_PER_DAY + 22 * NS_PER_HOUR  # New York + 7 in winter
    bars["time_ns"] += midnight_ns - START_NS - 30 * NS_PER_MINUTE
    bench = make_bench({"a": "L"}, bars)
    bench.market_ns = int(bars["time_ns"][HISTORY])
    trader = bench.trader
    seen = split_missed(bench.advance(5))[1]
    trader.on_batch(seen)
    rolled = int(trader.core.account[0]["n_rolls"])
    samples = int(trader.core.quotes[0]["n_samples"])

    missed, update = split_missed(bench.advance(60))
    assert len(missed) == 59
    for n, (batch_ns, closed) in enumerate(missed):
        trader.catch_up(batch_ns, closed)
        if n == 40:
            trader.save()
            days = trader.core.days.copy()
            # History ends where the engine was; what came after is still to be lived through.
            now_ns, bench.market_ns = bench.market_ns, batch_ns
            assert bench.crash() == []
            bench.market_ns = now_ns
            trader = bench.trader
            assert np.array_equal(trader.core.days, days, equal_nan=True)
    trader.on_batch(update)

    account = trader.core.account[0]
    assert account["n_rolls"] == rolled + 1
    assert trader.core.quotes[0]["n_samples"] == samples + 1
    assert np.array_equal(trader.core.days, days, equal_nan=True)
    assert account["batch_ns"] == update.batch_ns


def test_a_day_begins_with_its_first_bar_where_no_opening_price_was_seen(make_bench: Make) -> None:
    """A midnight at which nothing opens, as on Friday, charges the night and ends no day; the bar
    that turns out to have opened then begins the day before it is counted in it.
    """
    bars = waving()
    midnight_ns = START_NS - START_NS % NS_PER_DAY + 22 * NS_PER_HOUR  # New York + 7 in winter
    bars["time_ns"] += midnight_ns - START_NS - 4 * NS_PER_MINUTE
    bench = make_bench({"a": "LLLLLLLL"}, bars)
    bench.market_ns = int(bars["time_ns"][HISTORY])
    account, days = bench.trader.core.account[0], bench.trader.core.days
    for _ in range(3):
        bench.trader.on_batch(bench.advance(1))
    begun, closes = int(account["server_day"]), []
    while bench.market_ns < midnight_ns + 2 * NS_PER_MINUTE:
        update = bench.advance(1)
        if update.batch_ns == midnight_ns:
            unseen = [msgspec.structs.replace(q, time_ns=q.time_ns - 1) for q in update.quotes]
            update = msgspec.structs.replace(update, quotes=unseen)
        bench.trader.on_batch(update)
        closes.append((int(account["server_day"]) - begun, int(account["swap_day"]) - begun))
    assert closes[-3:] == [(0, 1), (1, 1), (1, 1)]
    assert account["n_rolls"] == 1
    assert bench.trader.day_returns.days == [begun]
    assert np.isnan(days[:-1]).all()
    assert not np.isnan(days[-1]).any()


def test_a_day_s_figures_are_recorded_whole(make_bench: Make) -> None:
    """Volatility, value at risk and correlations stand in the row once they are known."""
    bench = make_bench({"a": "LLLLL"})
    bench.step(2)
    core = bench.trader.core
    core.covariance[:] = 1e-6
    ended = bench.trader.day_returns
    ended.returns = np.random.default_rng(1).normal(0.001, 0.01, SHARPE_DAYS_MIN).tolist()
    ended.days = list(range(SHARPE_DAYS_MIN))
    add_batch_rows(bench.trader)
    bench.trader.save()
    row = records(bench, MetricsRow)[-1]
    weight = 0.5 * 1e5 * BID / 1e5
    assert row.volatility == pytest.approx(weight * np.sqrt(24 * 1e-6), rel=1e-2)
    assert row.value_at_risk == pytest.approx(2.3263 * row.volatility, rel=1e-3)
    assert row.correlations == {"EURUSD": {"EURUSD": 1.0}}
    assert row.sharpe_ratio is not None
    risk = risk_view(bench.trader)
    assert (risk.var_frac, risk.volatility_frac) == (row.value_at_risk, row.volatility)
    msgspec.msgpack.encode(risk)


def test_a_shadow_stands_beside_the_live_record(make_bench: Make) -> None:
    """A member that may not trade has a record of its own all the same."""
    bench = make_bench({"a": "LLFFLLFF", "b": "LLFFLLFF"}, waving())
    bench.trader.core.outputs[1]["enabled"] = 0
    bench.step(8)
    live, off = strategy_views(bench.trader)
    assert live.shadow_trades == off.shadow_trades == 2
    assert live.shadow_r == off.shadow_r != 0.0
    assert (off.realised_ccy, off.state) == (0.0, "OFF")
    assert live.realised_ccy != 0.0
