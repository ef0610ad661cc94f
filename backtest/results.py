"""Backtests in the database: stored with what is needed to make them again."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from backtest.report import config_hash, data_hash, digest
from backtest.run import Prepared, Report, code_version, load
from backtest.simulate import Result, simulate
from engine.decision.state import Records
from engine.model.errors import UserError
from engine.model.places import absolute
from engine.model.portfolio import Portfolio
from engine.model.times import from_datetime, to_datetime
from engine.store.results import NewResult, list_backtests, save_backtest, show_backtest

CURVE_POINTS = 400


def store(engine: Engine, report: Report, *, name: str = "") -> int:
    """Store a report in `backtest_results` and return its id; `name` says what was tested."""
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
                results=_kept(report, name),
                config_hash=document["config_hash"],
                data_hash=document["data_hash"],
                code_version=document["code_version"],
            ),
        )


def _kept(report: Report, name: str) -> dict[str, Any]:
    """Return the document with its curve and what a run is made of; changes are only counted."""
    prepared = report.prepared
    document = {name: part for name, part in report.document.items() if name != "changes"}
    return document | {
        "equity": curve(report.result.equity),
        "made_of": {
            "name": name,
            "portfolio": msgspec.to_builtins(prepared.compiled.portfolio),
            "data": str(absolute(prepared.data_dir)),
            "source": prepared.source,
        },
    }


def curve(equity: Records) -> list[tuple[int, float]]:
    """Return the equity's course in at most `CURVE_POINTS`: of each part its lowest and its last.

    So a drawdown between two points is never smoothed away.
    """
    times, values = equity["time_ns"], equity["equity_ccy"]
    if len(times) <= CURVE_POINTS:
        chosen = np.arange(len(times))
    else:
        ends = np.linspace(0, len(times), CURVE_POINTS // 2 + 1).astype(np.int64)
        parts = [range(start, stop) for start, stop in pairwise(ends.tolist())]
        lowest = [part.start + int(np.argmin(values[part.start : part.stop])) for part in parts]
        chosen = np.unique([*lowest, *(part.stop - 1 for part in parts)])
    return list(zip(times[chosen].tolist(), values[chosen].tolist(), strict=True))


def again(engine: Engine, result_id: int, data_dir: Path | None = None) -> tuple[Prepared, Result]:
    """Run a stored backtest again, over `data_dir` where the data has moved.

    Raises:
        UserError: there is none, or code, portfolio, data or result is not what it was.
    """
    with Session(engine) as session:
        row = show_backtest(session, result_id)
        if row is None:
            raise no_such(result_id)
        stored, from_ns, to_ns = (
            row.results,
            from_datetime(row.start_date),
            from_datetime(row.end_date),
        )
    made_of = stored.get("made_of")
    if made_of is None:
        raise UserError(f"backtest {result_id} was stored without its portfolio: run it again")
    _same(result_id, "code_version", stored, code_version())
    portfolio = msgspec.convert(made_of["portfolio"], Portfolio)
    where = data_dir or Path(made_of["data"])
    prepared = load(portfolio, where, from_ns, to_ns, source=made_of["source"])
    _same(result_id, "config_hash", stored, config_hash(prepared.compiled))
    _same(result_id, "data_hash", stored, data_hash(prepared.bars))
    result = simulate(prepared.compiled, prepared.bars, from_ns, to_ns)
    _same(result_id, "digest", stored, digest(result))
    return prepared, result


def no_such(result_id: int) -> UserError:
    """Return the error for an id that is not there."""
    return UserError(f"there is no backtest {result_id}: `pmpro backtest list` shows all")


def _same(result_id: int, name: str, stored: dict[str, Any], now: str) -> None:
    if stored[name] != now:
        raise UserError(
            f"backtest {result_id} cannot be made again: {name} was {stored[name]}, is {now}"
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
