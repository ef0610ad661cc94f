"""A backtest says why it entered, or did not, in the numbers that decided."""

import math

import msgspec
import numpy as np
import pytest

from backtest.explain import explain_time, explain_trade
from backtest.run import PreparedRun
from backtest.simulate import decide_at, simulate
from engine.model.errors import UserError
from engine.model.reasons import Refusal
from engine.model.times import NS_PER_MINUTE, iso_utc
from engine.model.views.decisions import STATE_RULES, Decision, judged
from engine.portfolio.compile import compile_portfolio
from engine.portfolio.explain import read_decision
from engine.portfolio.file import parse_portfolio
from tests.backtest.test_attribution import FROM_NS, NS_PER_DAY, text, walk

BOOKS = [[1, 2, 3], [5, 1], [1, 1, 1, 1]]


def prepare(tmp_path, portfolio: str) -> PreparedRun:
    compiled = compile_portfolio(parse_portfolio(portfolio, "test"))
    bars = {spec.name: walk(7 + i) for i, spec in enumerate(compiled.symbols)}
    return PreparedRun(compiled, bars, tmp_path, FROM_NS, FROM_NS + NS_PER_DAY)


def run(prepared: PreparedRun, n_checks: int = 0):
    return simulate(
        prepared.compiled, prepared.bars, prepared.from_ns, prepared.to_ns, n_checks=n_checks
    )


def test_every_trade_is_explained_by_what_decided_it(tmp_path):
    """Rules as the run recorded them, all kept; lots, price, direction and shares the trade's."""
    prepared = prepare(tmp_path, text(BOOKS))
    result = run(prepared, n_checks=10_000)
    recorded = {
        (int(t), int(s)): c for (t, s), c in zip(result.checked, result.checks, strict=True)
    }
    assert len(result.trades) > 20
    for row in range(0, len(result.trades), 5):
        trade = result.trades[row]
        said = explain_trade(prepared, result, row + 1)
        checks = recorded[int(trade["entry_ns"]), int(trade["slot"])]
        rules = judged(said)
        assert [r.ok for r in rules] == [True] * (len(Refusal) - 1)
        for rule in rules:
            pair = checks[Refusal[rule.name.upper()]].tolist()
            assert [rule.value, rule.limit] == pair
        assert said["refusal"] is None
        assert said["order"]["lots"] == trade["lots"]
        assert said["order"]["price"] == trade["entry_price"]
        assert said["order"]["direction"] == ("BUY" if trade["direction"] > 0 else "SELL")
        shares = [vote["entry_share"] for vote in said["votes"]]
        assert shares == result.shares[row][: len(shares)].tolist()
        size = said["sizing"]
        asked = size["wanted_lots"] * size["allocation"] * size["tier_factor"]
        assert 0.0 <= asked - size["lots"] < size["step_lots"]
        parts = said["result"]["parts"].values()
        assert math.isclose(
            sum(sum(p.values()) for p in parts), said["result"]["profit_ccy"], abs_tol=1e-9
        )


def test_a_refused_entry_is_explained_up_to_the_rule_that_refused(tmp_path):
    """The rule is named and stands as broken; rules beyond its group were never asked."""
    portfolio = "[risk]\nspread_max_factor = 0.5\n" + text([[1]])
    prepared = prepare(tmp_path, portfolio)
    result = run(prepared)
    assert len(result.trades) == 0
    assert result.refused[Refusal.SPREAD] > 0
    said = first_decision(prepared)
    assert said["refusal"] == "spread"
    rules = judged(said)
    assert [r.name for r in rules if not r.ok] == ["spread"]
    assert len(rules) == len(STATE_RULES)
    assert said["sizing"]["lots"] is None


def test_a_refused_size_is_shown_with_its_lots(tmp_path):
    """A rule of the order refuses what was sized before it."""
    prepared = prepare(tmp_path, "[risk]\norder_max_lots = 0.02\n" + text([[1]]))
    said = first_decision(prepared)
    assert said["refusal"] == "order_lots"
    assert said["rules"]["order_lots"] == [said["sizing"]["lots"], 0.02]
    assert said["sizing"]["lots"] > 0.02


def first_decision(prepared: PreparedRun) -> dict:
    for minute in range(1, 1440):
        try:
            (said,) = explain_time(prepared, FROM_NS + minute * NS_PER_MINUTE, "book0")
        except UserError:
            continue
        return said
    raise AssertionError("nothing was decided")


def test_what_cannot_be_explained_is_said(tmp_path):
    """No such trade, book or batch, or nothing decided: one line each."""
    prepared = prepare(tmp_path, text([[1]]))
    result = run(prepared)
    for number in (0, len(result.trades) + 1):
        with pytest.raises(UserError, match=f"no trade {number}: .* 1 to {len(result.trades)}"):
            explain_trade(prepared, result, number)
    with pytest.raises(UserError, match="books: book0"):
        explain_time(prepared, FROM_NS, "other")
    with pytest.raises(UserError, match="no bar opens or closes"):
        explain_time(prepared, FROM_NS + NS_PER_DAY * 3, "book0")
    with pytest.raises(UserError, match=f"decided no entry at {iso_utc(FROM_NS)}"):
        explain_time(prepared, FROM_NS, "book0")


def test_stopping_at_a_batch_changes_nothing_before_it(tmp_path):
    """The core that is read is the run's own: its account at the batch is the run's equity row."""
    prepared = prepare(tmp_path, text(BOOKS))
    equity = run(prepared).equity
    for row in (0, 17, len(equity) - 1):
        at_ns = int(equity[row]["time_ns"])
        core = decide_at(prepared.compiled, prepared.bars, prepared.from_ns, prepared.to_ns, at_ns)
        assert core is not None
        assert core.account[0]["batch_ns"] == at_ns
        if row < len(equity) - 1:  # the last row is what remains when all is closed
            assert core.account[0]["drawdown_frac"] == equity[row]["drawdown_frac"]


def test_a_decision_survives_the_journal_and_json(tmp_path):
    """Bit for bit as msgpack, rule for rule as JSON, where infinity is nothing."""
    prepared = prepare(tmp_path, text(BOOKS))
    trade = run(prepared).trades[0]
    core = decide_at(
        prepared.compiled, prepared.bars, prepared.from_ns, prepared.to_ns, trade["entry_ns"]
    )
    decision = read_decision(prepared.compiled, core, int(trade["slot"]))
    packed = msgspec.msgpack.encode(decision)
    assert msgspec.msgpack.encode(msgspec.msgpack.decode(packed, type=Decision)) == packed
    assert len(packed) < 1200
    document = msgspec.json.decode(msgspec.json.encode(decision.document()))
    assert document["rules"]["declared_lots"][1] is None
    assert [(r.name, r.ok) for r in judged(document)] == [(r.name, r.ok) for r in decision.rules()]
    assert np.isinf(next(r for r in judged(document) if r.name == "declared_lots").limit)
