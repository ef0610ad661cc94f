"""Backtests' results: saved, listed, shown."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from engine.store.rows import KnownRows, RowStore, json_value, number
from engine.store.tables import BacktestResultTable


class NewResult(msgspec.Struct, frozen=True, kw_only=True):
    """A backtest to save. `strategy` None: of a whole portfolio. Fractions, NaN for unknown.

    The hashes name configuration and data, so that a result can be made again. `portfolio` is
    its file's text, `document` the JSON that `results` holds, in its own order.
    """

    start: datetime
    end: datetime
    total_return_frac: float
    sharpe_ratio: float
    win_rate_frac: float
    max_drawdown_frac: float
    n_trades: int
    results: Mapping[str, Any]
    config_hash: str
    data_hash: str
    code_version: str
    strategy: str | None = None
    name: str = ""
    note: str = ""
    portfolio: str | None = None
    document: str | None = None


def save_backtest(session: Session, result: NewResult) -> int:
    """Add a result to the session's transaction and return its id."""
    strategy_id = None
    if result.strategy is not None:
        strategy_id = RowStore(session.connection(), KnownRows()).strategy_id(result.strategy)
    row = {
        "strategy_id": strategy_id,
        "start_date": result.start,
        "end_date": result.end,
        "total_return": number(result.total_return_frac),
        "sharpe_ratio": number(result.sharpe_ratio),
        "win_rate": number(result.win_rate_frac),
        "max_drawdown": number(result.max_drawdown_frac),
        "trades_count": result.n_trades,
        "results": json_value(dict(result.results)),
        "config_hash": result.config_hash,
        "data_hash": result.data_hash,
        "code_version": result.code_version,
        "name": result.name,
        "note": result.note,
        "portfolio": result.portfolio,
        "document": result.document,
    }
    return session.execute(
        insert(BacktestResultTable).values(row).returning(BacktestResultTable.id)
    ).scalar_one()


def list_backtests(session: Session, limit: int = 50) -> Sequence[BacktestResultTable]:
    """Return the newest results, newest first."""
    query = select(BacktestResultTable).order_by(BacktestResultTable.id.desc()).limit(limit)
    return session.scalars(query).all()


def show_backtest(session: Session, result_id: int) -> BacktestResultTable | None:
    """Return one result."""
    return session.get(BacktestResultTable, result_id)
