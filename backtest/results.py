"""Backtests in the database: stored with what is needed to make them again."""

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from backtest.report import config_hash, data_hash, digest, months, trades_table
from backtest.run import PreparedRun, Report, code_version, load
from backtest.simulate import Result, simulate
from engine.decision.state import Records
from engine.model.errors import UserError
from engine.model.printable import printable
from engine.model.times import from_datetime, to_datetime
from engine.portfolio.file import parse_portfolio
from engine.portfolio.text import portfolio_text
from engine.store.results import NewResult, list_backtests, save_backtest, show_backtest
from engine.store.rows import json_value
from strategies.loader import NO_FILES, OwnCode, OwnFiles

CURVE_POINTS = 400
TRADES_KEPT = 1000
NAME_MAX_CHARS = 80
NOTE_MAX_CHARS = 2000
WITHOUT_TEXT = (
    "stored by an earlier version, without its portfolio's text: it can be read and compared, not "
    "explained or repeated; run its portfolio again to have one that can"
)


def store(engine: Engine, report: Report, *, name: str = "", note: str = "") -> int:
    """Store a report in `backtest_results` and return its id; `name` and `note` are the user's."""
    document = report.document
    figures = document["summary"]

    def number(name: str) -> float:
        return math.nan if figures[name] is None else float(figures[name])

    kept = json_value(_kept(report))
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
                results=kept,
                config_hash=document["config_hash"],
                data_hash=document["data_hash"],
                code_version=document["code_version"],
                name=printable(name, NAME_MAX_CHARS),
                note=printable(note, NOTE_MAX_CHARS),
                portfolio=portfolio_text(report.prepared.compiled.portfolio),
                document=msgspec.json.encode(kept).decode(),
            ),
        )


def _kept(report: Report) -> dict[str, Any]:
    """Return the document with its curve, months and last trades; changes are only counted."""
    document = {name: part for name, part in report.document.items() if name != "changes"}
    return document | {
        "equity": curve(report.result.equity),
        "months": months(report.result),
        "trades": last_trades(report.result),
    }


def last_trades(result: Result) -> list[dict[str, Any]]:
    """Return the last `TRADES_KEPT` trades by name, in order of exit; times are ns."""
    table = trades_table(result)
    columns = {
        name: column[-TRADES_KEPT:]
        if isinstance(column, list)
        else np.asarray(column)[-TRADES_KEPT:].tolist()
        for name, column in table.items()
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


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


def again(
    engine: Engine, result_id: int, data_dir: Path | None = None, files: OwnFiles = NO_FILES
) -> tuple[PreparedRun, Result]:
    """Run a stored backtest again, over `data_dir` where the data has moved.

    `files` are the operator's strategies, which must be what they were.

    Raises:
        UserError: there is none, or code, portfolio, data or result is not what it was.
    """
    with Session(engine) as session:
        row = show_backtest(session, result_id)
        if row is None:
            raise no_such(result_id)
        stored, text = row.results, row.portfolio
        from_ns, to_ns = from_datetime(row.start_date), from_datetime(row.end_date)
    if text is None:
        raise UserError(f"backtest {result_id}: {WITHOUT_TEXT}")
    _same(result_id, "code_version", stored, code_version())
    portfolio = parse_portfolio(text, f"backtest {result_id}")
    made_of = stored["made_of"]
    prepared = load(
        portfolio,
        data_dir or Path(made_of["data"]),
        from_ns,
        to_ns,
        source=made_of["source"],
        files=files,
        name=made_of["portfolio"],
    )
    _same_code(result_id, stored["own_strategies"], prepared.own_code)
    _same(result_id, "config_hash", stored, config_hash(prepared.compiled))
    _same(result_id, "data_hash", stored, data_hash(prepared.bars))
    result = simulate(prepared.compiled, prepared.bars, from_ns, to_ns)
    _same(result_id, "digest", stored, digest(result))
    return prepared, result


def no_such(result_id: int | str) -> UserError:
    """Return the error for an id that is not there."""
    return UserError(f"there is no backtest {result_id}: `pmpro backtest list` shows all")


def _same(result_id: int, name: str, stored: dict[str, Any], now: str) -> None:
    if stored[name] != now:
        raise UserError(
            f"backtest {result_id} cannot be made again: {name} was {stored[name]}, is {now}"
        )


def _same_code(result_id: int, stored: list[dict[str, str]], now: Sequence[OwnCode]) -> None:
    hashes = {code.kind: code for code in now}
    for code in stored:
        found = hashes[code["kind"]]  # else it had not been loaded
        if found.sha256 != code["sha256"]:
            raise UserError(
                f"backtest {result_id} cannot be made again: own strategy {code['kind']} was "
                f"sha256 {code['sha256']}, {found.file} is {found.sha256}"
            )


def listed(engine: Engine, limit: int) -> list[dict[str, Any]]:
    """Return the newest stored results in short, newest first."""
    with Session(engine) as session:
        return [
            {
                "id": row.id,
                "name": row.name,
                "note": row.note,
                "portfolio": _portfolio_name(row.results.get("made_of")),
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
    """Return the document of a stored result, its members in the order in which they were stored.

    Of one that was stored by an earlier version the notes say what it lacks.
    """
    with Session(engine) as session:
        row = show_backtest(session, result_id)
        if row is None:
            return None
        head = {"id": row.id, "name": row.name, "note": row.note, "portfolio": row.portfolio}
        if row.document is not None:
            return head | msgspec.json.decode(row.document, type=dict[str, Any])
        return head | row.results | {"notes": [*row.results.get("notes", ()), WITHOUT_TEXT]}


def _portfolio_name(made_of: dict[str, Any] | None) -> str:
    """Return the portfolio's name; before its text was stored it was the result's."""
    if made_of is None:
        return ""
    name = made_of["portfolio"]
    return name if isinstance(name, str) else str(made_of["name"])


def _float(value: Any) -> float | None:
    return None if value is None else float(value)
