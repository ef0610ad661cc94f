"""What live did is read back for its comparison, and scores are kept."""

from collections.abc import Callable

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from engine.execution.journal import Journal
from engine.model.live_day import LiveCommand, LiveOrder, LiveTrade
from engine.model.parity import Gap, ParityScore
from engine.model.records import (
    AuditRow,
    BarsRow,
    MetricsRow,
    OrderRow,
    StrategyRow,
    TradeRow,
)
from engine.model.times import NS_PER_HOUR, NS_PER_MINUTE
from engine.store.parity import live_day, moved_until_ns, parity_scores, save_scores
from engine.store.writer import Writer

FROM_NS = 1_793_520_000 * 10**9
TO_NS = FROM_NS + 24 * NS_PER_HOUR


def trade(key: str, entry_ns: int, exit_ns: int | None = None) -> TradeRow:
    closed = {
        "exit_time_ns": exit_ns, "exit_price": 1.2, "exit_reason": "TARGET",
        "commission": -0.5, "swap": -0.25, "profit_loss": 9.25,
    }  # fmt: skip
    return TradeRow(
        trade_key=key, strategy="eur", symbol="EURUSD", direction="BUY", lot_size=0.12,
        entry_time_ns=entry_ns, entry_price=1.1, stop=None, target=None, intent_id=1,
        order_ticket=1, deal_ticket=1, shares={"eur-ma": 1.0, "eur-rsi": 0.0},
        **({} if exit_ns is None else closed),
    )  # fmt: skip


def order(magic: int, state: str, at_ns: int) -> OrderRow:
    return OrderRow(
        magic=magic, intent_id=magic, book="eur", symbol="EURUSD", action="OPEN", direction="BUY",
        lots=0.1, stop=None, target=None, state=state, retcode=10019, order_ticket=0,
        deal_ticket=0, price=None, created_ns=at_ns, settled_ns=None, detail="no money",
    )  # fmt: skip


def audit(event: str, at_ns: int, status: str = "SUCCESS", **details: object) -> AuditRow:
    return AuditRow(time_ns=at_ns, event_type=event, actor="alice", details=details, status=status)


@pytest.fixture
def stored(journal: Journal, move: Callable[[], Writer]) -> None:
    """A day of live in the database, with what was before and after it."""
    inside = FROM_NS + NS_PER_HOUR
    bars = {name: [1.1] for name in ("open", "high", "low", "close", "volume", "spread")}
    journal.commit(
        records=[
            *(
                StrategyRow(
                    name=n, kind="x", config={}, enabled=True, allocation=0.0, time_ns=FROM_NS
                )
                for n in ("eur", "eur-ma", "eur-rsi")
            ),
            trade("over", FROM_NS - 9 * NS_PER_HOUR, FROM_NS - 1),
            trade("through", FROM_NS - NS_PER_HOUR, inside),
            trade("open", inside),
            trade("later", TO_NS + NS_PER_MINUTE),
            order(1, "DONE", inside),
            order(2, "REJECTED", inside),
            order(3, "REJECTED", FROM_NS - 1),
            audit("COMMAND", inside, command="kill", target="eur-ma"),
            audit("COMMAND", inside, command="start"),
            audit("COMMAND", inside, "FAILED", command="resume", target=""),
            audit("COMMAND", inside, command="limit", target="var_max_frac"),
            audit("COMMAND", inside, command="resume", target="rebase"),
            audit("COMMAND", inside, command="adopt", target="77", text="eur"),
            audit("COMMAND", TO_NS + NS_PER_MINUTE, command="halt", target=""),
            audit("STRATEGY", inside, "FAILED", strategy="eur-rsi", quarantined="it hangs"),
            audit("RISK_CHECK", inside, "FAILED", state="REDUCING", reason="a doubt"),
            audit("RISK_CHECK", inside, tier=1, before=0),
            audit("MARKET", inside, orders_off_from_ns=inside, orders_off_to_ns=inside),
            BarsRow(
                symbol="EURUSD", timeframe_minutes=1, source="terminal", time_ns=[inside], **bars
            ),
            BarsRow(
                symbol="USDJPY", timeframe_minutes=1, source="import", time_ns=[inside], **bars
            ),
            MetricsRow(
                date="2026-11-01", total_balance=1.0, equity=1.0, drawdown_pct=0.0, daily_pl=0.0,
                win_rate=None, sharpe_ratio=None, leverage=0.0, time_ns=TO_NS,
            ),
        ]
    )  # fmt: skip
    move()


def test_a_day_is_told_whole_and_alone(stored: None, session: Session) -> None:
    """Trades that touch the hours, orders that failed, what changed the course, bars as seen."""
    inside = FROM_NS + NS_PER_HOUR
    day = live_day(session, FROM_NS, TO_NS)
    known = {
        "book": "eur", "symbol": "EURUSD", "direction": "BUY", "lots": 0.12,
        "shares": {"eur-ma": 1.0},
    }  # fmt: skip
    through = LiveTrade(
        entry_ns=FROM_NS - NS_PER_HOUR, exit_ns=inside, reason="target", profit_ccy=9.25, **known
    )
    still_open = LiveTrade(entry_ns=inside, exit_ns=0, reason="", profit_ccy=0.0, **known)
    assert sorted(day.trades, key=lambda t: t.entry_ns) == [through, still_open]
    assert day.orders == (
        LiveOrder(time_ns=inside, book="eur", symbol="EURUSD", text="REJECTED 10019 no money"),
    )
    assert day.commands == (
        LiveCommand(time_ns=inside, text="after `kill eur-ma` by alice", target="eur-ma"),
        LiveCommand(time_ns=inside, text="after `limit var_max_frac` by alice", target=""),
        LiveCommand(time_ns=inside, text="after `resume rebase` by alice", target=""),
        LiveCommand(time_ns=inside, text="after `adopt 77` by alice", target="eur"),
        LiveCommand(time_ns=inside, text="after eur-rsi was quarantined", target="eur-rsi"),
        LiveCommand(time_ns=inside, text="after REDUCING: a doubt", target=""),
        LiveCommand(
            time_ns=inside,
            until_ns=inside,
            text="live took the batch late, with orders off",
            target="",
        ),
    )
    assert day.bars == {"EURUSD": [(inside, 1.1, 1.1, 1.1)]}


def test_a_comparison_waits_for_the_last_batch(session: Session, stored: None) -> None:
    """Before its metrics are there, more of the day may still be on its way."""
    assert moved_until_ns(session) == TO_NS


def test_scores_are_kept_by_the_engines_own_user(
    stored: None, operator: Engine, session: Session
) -> None:
    """One row a strategy and day, the newest judgement stands; unknown strategies have none."""
    gap = Gap(time_ns=FROM_NS, symbol="EURUSD", what="BUY 0.12 only live", why="x", explained=False)
    first = ParityScore(
        strategy="eur-ma", from_ns=FROM_NS, to_ns=TO_NS, n_trades=9, n_alike=8, live_ccy=1.5,
        tested_ccy=-2.25, gaps=(gap,),
    )  # fmt: skip
    again = ParityScore(
        strategy="eur-ma", from_ns=FROM_NS, to_ns=TO_NS, n_trades=9, n_alike=9, live_ccy=1.5,
        tested_ccy=1.5,
    )  # fmt: skip
    newer = ParityScore(
        strategy="eur-ma", from_ns=TO_NS, to_ns=TO_NS + NS_PER_HOUR, n_trades=0, n_alike=0,
        live_ccy=0.0, tested_ccy=0.0,
    )  # fmt: skip
    unknown = ParityScore(
        strategy="nobody", from_ns=FROM_NS, to_ns=TO_NS, n_trades=0, n_alike=0, live_ccy=0.0,
        tested_ccy=0.0,
    )  # fmt: skip
    with Session(operator) as own, own.begin():
        save_scores(own, [first, unknown])
    assert parity_scores(session, "eur-ma", 10) == (first,)
    with Session(operator) as own, own.begin():
        save_scores(own, [again, newer])
    session.rollback()
    assert parity_scores(session, "eur-ma", 10) == (again, newer)
    assert parity_scores(session, "eur-ma", 1) == (newer,)
    assert parity_scores(session, "nobody", 10) == ()
