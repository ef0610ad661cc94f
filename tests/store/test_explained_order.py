"""`pmpro audit explain` says from the database why an order was sent and who earned what."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from structlog.testing import capture_logs
from typer.testing import CliRunner

from engine.execution.journal import Journal
from engine.model.errors import UserError
from engine.model.reasons import Refusal
from engine.model.records import Amounts, OrderRow, TradeRow
from engine.model.times import NS_PER_S
from engine.model.views.decisions import Decision, Sizing, Vote
from engine.store import tables as t
from engine.store.embedded import Urls
from engine.store.writer import Writer
from pmpro_tui.cli import audit

NOW_NS = 1_793_500_000 * NS_PER_S
MAGIC = (3 << 32) + 7
SHARES = {"eur-ma": 0.75, "eur-rsi": 0.25}


def decision() -> Decision:
    checks = np.zeros((len(Refusal), 2))
    checks[Refusal.SPREAD] = 1.25, 5.0
    checks[Refusal.DECLARED_LOTS] = 0.1, np.inf
    checks[Refusal.VOLUME_BELOW_MIN] = 0.1, 0.01
    checks[Refusal.STOP_TOO_CLOSE] = 0.002, 0.0
    return Decision(
        refusal=0, direction=1, price=1.1, stop=1.098, target=0.0, checks=checks.tobytes(),
        votes=tuple(Vote(name, True, 1, 0.5, share, share) for name, share in SHARES.items()),
        sizing=Sizing("kelly", 1e5, 0.002, None, 0.1234, 1.0, 1.0, 0.01, 0.12),
    )  # fmt: skip


def order(**changes: Any) -> OrderRow:
    row: dict[str, Any] = {
        "magic": MAGIC, "intent_id": 7, "book": "eur", "symbol": "EURUSD", "action": "OPEN",
        "direction": "BUY", "lots": 0.12, "stop": 1.098, "target": None, "state": "UNKNOWN",
        "retcode": 0, "order_ticket": 0, "deal_ticket": 0, "price": None, "created_ns": NOW_NS,
        "settled_ns": None, "decision": decision(),
    }  # fmt: skip
    return OrderRow(**(row | changes))


DONE = {"state": "DONE", "order_ticket": 55, "deal_ticket": 66, "price": 1.1001}
CLOSE = {"action": "CLOSE", "magic": MAGIC + 1, "intent_id": 8, "decision": None}


def trade(**changes: Any) -> TradeRow:
    row: dict[str, Any] = {
        "trade_key": "17-1", "strategy": "eur", "symbol": "EURUSD", "direction": "BUY",
        "lot_size": 0.12, "entry_time_ns": NOW_NS, "entry_price": 1.1001, "stop": 1.098,
        "target": None, "intent_id": 7, "order_ticket": 55, "deal_ticket": 66, "shares": SHARES,
    }  # fmt: skip
    return TradeRow(**(row | changes))


CLOSED = {
    "exit_time_ns": NOW_NS + NS_PER_S, "exit_price": 1.2, "exit_reason": "SIGNAL",
    "commission": -0.06, "swap": -0.01, "profit_loss": 0.94, "close_order_ticket": 77,
    "parts": {"eur-ma": Amounts(0.76, -0.05, -0.01), "eur-rsi": Amounts(0.25, -0.01, 0.0)},
}  # fmt: skip


@pytest.fixture
def run(database: Urls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., str]:
    """Run `pmpro audit explain` on this test's database."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("PMPRO_DATABASE__EMBEDDED", "false")
    url = database.owner.render_as_string(hide_password=False)
    monkeypatch.setenv("PMPRO_DATABASE__URL", url)

    def run(*arguments: object) -> str:
        with capture_logs():
            done = CliRunner().invoke(
                audit.app, ["explain", *map(str, arguments)], catch_exceptions=False
            )
        assert done.exit_code == 0, done.output
        return done.stdout

    return run


def test_an_order_is_explained_by_its_ticket_its_magic_or_what_closed_it(
    run: Callable[..., str], journal: Journal, move: Callable[[], Writer], session: Session
) -> None:
    """Stored once with its checks, settled later; three numbers lead to the same answer."""
    journal.commit(records=[order(), trade()])
    move()
    assert json.loads(run(MAGIC, "--json"))["state"] == "UNKNOWN"
    closing = order(**CLOSE, **(DONE | {"order_ticket": 77}))
    journal.commit(records=[order(**DONE), closing, trade(**CLOSED)])
    move()

    answers = [json.loads(run(number, "--json")) for number in (MAGIC, 55, 77)]
    assert answers[0] == answers[1] == answers[2]
    said = answers[0]
    assert (said["state"], said["filled_price"], said["book"]) == ("DONE", 1.1001, "eur")
    assert said["decision"]["rules"]["spread"] == [1.25, 5.0]
    assert said["decision"]["rules"]["declared_lots"] == [0.1, None]
    assert said["decision"]["sizing"]["target_distance"] is None
    assert said["result"]["parts"]["eur-ma"] == {
        "gross_profit_ccy": 0.76,
        "commission_ccy": -0.05,
        "swap_ccy": -0.01,
    }
    shown = run(55)
    for words in ("spread", "1.25", "3.75", "eur-rsi", "kelly", "0.1234", "closed by signal"):
        assert words in shown
    assert "REFUSED" not in shown
    closing_row = session.scalars(select(t.OrderTable).where(t.OrderTable.action == "CLOSE")).one()
    assert closing_row.checks is None


def test_what_is_not_there_is_said(run: Callable[..., str]) -> None:
    """One line that says what to give."""
    with pytest.raises(UserError, match="no order 12: give the ticket"):
        run(12)
