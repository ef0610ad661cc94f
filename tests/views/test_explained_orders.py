"""An order is written down with what it was decided on, and explained from that alone."""

from pathlib import Path

import pytest

from engine.execution.journal import Outbox
from engine.model.reasons import Refusal
from engine.model.records import OrderRow, TradeRow
from engine.views.parts import strategy_views
from tests.faults.bench import LOTS, Bench, portfolio
from tests.journals import intents_since

BOOK = f"""
[[book]]
name = "both"
members = {{ "a" = 2, "b" = 1 }}
combine = "vote"
sizing = {{ method = "fixed_lots", lots = {LOTS} }}
"""


@pytest.fixture
def bench(tmp_path: Path):
    """A book of two that agree, and its engine."""
    bench = Bench(tmp_path, portfolio({"a": "LLLF", "b": "LLLF"}, extra=BOOK))
    yield bench
    bench.close()


def rows(bench: Bench, kind: type) -> list:
    outbox = Outbox(bench.journal.path)
    found = [e.record for e in outbox.entries(0, 10_000) if isinstance(e.record, kind)]
    outbox.close()
    return found


def test_an_order_carries_its_rules_votes_and_size(bench: Bench) -> None:
    """In the journal before it is sent, and in its row: the numbers of the core's decision."""
    bench.step(6)
    intents = {i.action: (i, o) for i, o in intents_since(bench.journal, 0)}
    opened, _ = intents["OPEN"]
    said = opened.decision.document()
    assert said["refusal"] is None
    assert len(said["rules"]) == 34
    assert said["rules"]["order_lots"] == [LOTS, 50.0]
    assert [(v["strategy"], v["direction"]) for v in said["votes"]] == [("a", 1), ("b", 1)]
    assert {v["strategy"]: v["entry_share"] for v in said["votes"]} == opened.shares
    assert said["order"] == {
        "direction": "BUY",
        "lots": opened.lots,
        "price": opened.price,
        "stop": opened.stop or None,
        "target": opened.target or None,
    }
    assert intents["CLOSE"][0].decision is None
    orders = {row.action: row for row in rows(bench, OrderRow)}
    assert orders["OPEN"].decision == opened.decision
    assert orders["CLOSE"].decision is None


def test_a_closed_trade_carries_its_members_parts(bench: Bench) -> None:
    """Profit, commission and swap of each member sum to the broker's deals."""
    bench.step(6)
    (closed,) = [row for row in rows(bench, TradeRow) if row.exit_time_ns]
    parts = closed.parts.values()
    assert list(closed.parts) == ["a", "b"]
    deals = bench.deals
    assert sum(round(p.profit_ccy * 100) for p in parts) == round(
        sum(d.profit_ccy for d in deals) * 100
    )
    assert sum(round(p.commission_ccy * 100) for p in parts) == round(
        sum(d.commission_ccy for d in deals) * 100
    )
    outputs = bench.trader.core.outputs
    for member, part in enumerate(parts):
        net = round(part.profit_ccy + part.commission_ccy + part.swap_ccy, 2)
        assert outputs[member]["realised_ccy"] == net


def test_the_last_refusal_is_shown_and_counted(tmp_path: Path) -> None:
    """Who wants in and may not shows which rule says so, until nobody wants in."""
    bench = Bench(tmp_path, portfolio({"a": "LLFF"}, extra="[risk]\nspread_max_factor = 0.1"))
    try:
        bench.step(2)
        assert [view.detail for view in strategy_views(bench.trader)] == ["refused: spread"]
        assert bench.trader.refused[Refusal.SPREAD] > 0
        assert bench.held == []
        bench.step(3)
        assert [view.detail for view in strategy_views(bench.trader)] == [""]
    finally:
        bench.close()
