"""A whole backtest: portfolio file and data directory in, result and figures out."""

import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from backtest.data import coverage_notes, load_bars, skipped_note
from backtest.report import books, config_hash, data_hash, digest, summary
from backtest.simulate import Result, make_strategies, simulate
from engine.model.compiled import source_hash
from engine.model.errors import UserError
from engine.model.times import iso_utc
from engine.portfolio.compile import compile_portfolio
from engine.portfolio.file import read_portfolio

_DISTRIBUTION = "portfolio-manager-pro"


class Report(NamedTuple):
    """A result and the document that `--json` prints and the database keeps."""

    result: Result
    document: dict[str, Any]


def run_backtest(
    portfolio: Path,
    data_dir: Path,
    from_ns: int,
    to_ns: int,
    *,
    source: str | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> Report:
    """Run a portfolio file over the bars that open in [from, to).

    Raises:
        UserError: the file, the data or the period is wrong.
    """
    if from_ns >= to_ns:
        raise UserError(f"--from {iso_utc(from_ns)} must be before --to {iso_utc(to_ns)}")
    compiled = compile_portfolio(read_portfolio(portfolio))
    warmup = [(s.timeframe, s.warmup) for s in make_strategies(compiled)]
    started_s = time.perf_counter()
    symbols = [spec.name for spec in compiled.symbols]
    bars = load_bars(data_dir, symbols, from_ns, to_ns, warmup, source)
    loaded_s = time.perf_counter()
    result = simulate(compiled, bars, from_ns, to_ns, progress=progress)
    simulated_s = time.perf_counter()
    document = {
        "summary": summary(result),
        "trades_count": len(result.trades),
        "books": books(result),
        "digest": digest(result),
        "config_hash": config_hash(compiled),
        "data_hash": data_hash(bars),
        "code_version": code_version(),
        "notes": [*skipped_note(data_dir), *coverage_notes(bars, from_ns, to_ns)],
        "load_s": round(loaded_s - started_s, 3),
        "simulate_s": round(simulated_s - loaded_s, 3),
    }
    return Report(result, document)


def code_version() -> str:
    """Return the package's version and the hash of the sources that decide."""
    try:
        number = version(_DISTRIBUTION)
    except PackageNotFoundError:
        number = "0"
    return f"{number}+{source_hash()}"
