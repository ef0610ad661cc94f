"""Backtests in the database: stored with what is needed to make them again."""

import math
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from backtest.run import Report
from engine.model.times import to_datetime
from engine.store.results import NewResult, list_backtests, save_backtest, show_backtest


def store(engine: Engine, report: Report) -> int:
    """Store a report in `backtest_results` and return its id."""
    document = report.document
    figures = document["summary"]

    def number(name: str) -> float:
        return math.nan if figures[name] is None else float(figures[name])

    with Session(engine) as session, session.begin():
        return save_backtest(
            session,
            NewResult(
                start=to_datetime(report.result.from_ns),
                end=to_datetime(report.result.to_ns),
                total_return_frac=number("total_return_frac"),
                sharpe_ratio=number("sharpe_ratio"),
                win_rate_frac=number("win_rate_frac"),
                max_drawdown_frac=number("max_drawdown_frac"),
                n_trades=document["trades_count"],
                results=document,
                config_hash=document["config_hash"],
                data_hash=document["data_hash"],
                code_version=document["code_version"],
            ),
        )


def listed(engine: Engine, limit: int) -> list[dict[str, Any]]:
    """Return the newest stored results in short, newest first."""
    with Session(engine) as session:
        return [
            {
                "id": row.id,
                "created_at": row.created_at.isoformat(),
                "from": row.start_date.isoformat(),
                "to": row.end_date.isoformat(),
                "total_return_frac": _float(row.total_return),
                "sharpe_ratio": _float(row.sharpe_ratio),
                "max_drawdown_frac": _float(row.max_drawdown),
                "win_rate_frac": _float(row.win_rate),
                "trades_count": row.trades_count,
                "config_hash": row.config_hash,
            }
            for row in list_backtests(session, limit)
        ]


def shown(engine: Engine, result_id: int) -> dict[str, Any] | None:
    """Return the document of a stored result."""
    with Session(engine) as session:
        row = show_backtest(session, result_id)
        return None if row is None else {"id": row.id, **row.results}


def _float(value: Any) -> float | None:
    return None if value is None else float(value)
