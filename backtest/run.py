"""A whole backtest: portfolio file and data directory in, result and figures out."""

import ctypes
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from backtest.attribution import strategies as strategy_figures
from backtest.data.holes import hole_notes
from backtest.data.load import UsedFile, coverage_notes, load_bars, skipped_note
from backtest.remarks import remarks
from backtest.report import books, changes, config_hash, data_hash, digest, summary, symbols
from backtest.simulate import Result, make_strategies, simulate
from backtest.stopped import releases
from backtest.variant import varied
from backtest.warming import warming_notes
from engine.files.places import absolute
from engine.kernels.cache import source_hash
from engine.model.bars import Bars
from engine.model.errors import StrategyError, UserError
from engine.model.jobs import Variant
from engine.model.portfolio import Portfolio
from engine.model.server_clock import ServerClock
from engine.model.times import iso_utc
from engine.portfolio.compile import CompiledPortfolio, compile_portfolio
from engine.portfolio.file import read_portfolio
from strategies.loader import NO_FILES, OwnCode, OwnFiles, load_needed, own_code

_M_MMAP_THRESHOLD: Final = -3
_LARGE_BYTES: Final = 1 << 20


def return_large_blocks() -> None:
    """Have every array of a megabyte or more mapped by itself, on Linux with glibc, also Arrow's.

    By default glibc lets this bound grow with what was freed, up to 32 MB: arrays of many sizes
    then leave holes in its heaps, which took a fifth of a backtest's memory.
    """
    # Arrow's own pools keep what decoding needed; it looks at this when it is imported.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none, and needs none
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


_DISTRIBUTION = "portfolio-manager-pro"
NO_VARIANT = Variant()
# What each symbol costs: fields of its contract. The bars' own spreads go before `spread_points`.
COSTS = ("spread_points", "commission_per_lot_ccy", "swap_long_points", "swap_short_points")


class PreparedRun(NamedTuple):
    """What a run is made of: the compiled portfolio and its bars, warm-up included.

    `notes` are what loading said, `files` the data files that the bars are from, `own_code` where
    the strategies come from that are not built in, `name` is the portfolio's.
    """

    compiled: CompiledPortfolio
    bars: dict[str, Bars]
    data_dir: Path
    from_ns: int
    to_ns: int
    source: str | None = None
    notes: tuple[str, ...] = ()
    files: tuple[UsedFile, ...] = ()
    own_code: tuple[OwnCode, ...] = ()
    name: str = ""


class Report(NamedTuple):
    """A result, what it was made of, and the document that `--json` prints."""

    prepared: PreparedRun
    result: Result
    document: dict[str, Any]


def prepare(
    portfolio: Path,
    data_dir: Path,
    from_ns: int,
    to_ns: int,
    *,
    source: str | None = None,
    variant: Variant = NO_VARIANT,
    files: OwnFiles = NO_FILES,
) -> PreparedRun:
    """Read a portfolio file, with what `variant` changes, and the bars it needs for [from, to).

    `files` are the operator's strategies, which are run in this process.

    Raises:
        UserError: the file, a strategy, the data or the period is wrong.
    """
    return_large_blocks()
    _check_period(from_ns, to_ns)
    try:
        changed = varied(read_portfolio(portfolio), variant)
        return load(
            changed, data_dir, from_ns, to_ns, source=source, files=files, name=portfolio.stem
        )
    except StrategyError as e:
        raise StrategyError(f"{portfolio}: {e}") from None


def load(
    portfolio: Portfolio,
    data_dir: Path,
    from_ns: int,
    to_ns: int,
    *,
    source: str | None = None,
    files: OwnFiles = NO_FILES,
    name: str = "",
) -> PreparedRun:
    """Compile a portfolio and read the bars it needs for [from, to); errors as `prepare`."""
    compiled = compile_portfolio(portfolio)
    left_out = load_needed(files, compiled.strategies)
    strategies = make_strategies(compiled)
    warmup = [(s.timeframe, i.timeframe, i.warmup) for s in strategies for i in s.inputs]
    bars, notes, used = load_bars(data_dir, compiled.symbols, from_ns, to_ns, warmup, source)
    clock = ServerClock(portfolio.server_clock)
    said = (
        *warming_notes(strategies, bars, clock, from_ns, to_ns),
        *left_out,
        *skipped_note(data_dir),
        *_contract_notes(compiled),
        *notes,
    )
    own = own_code(spec.kind for spec in compiled.strategies)
    return PreparedRun(
        compiled, bars, data_dir, from_ns, to_ns, source, said, tuple(used), tuple(own), name
    )


def _contract_notes(compiled: CompiledPortfolio) -> list[str]:
    """Return a line for each contract's spread that no terminal could show."""
    return [
        f"{spec.name}: spread_points = {spec.spread_points:g} counts as "
        f"{round(spec.spread_points)}: a terminal's spreads are whole points"
        for spec in compiled.symbols
        if spec.spread_points != round(spec.spread_points)
    ]


def document(prepared: PreparedRun, result: Result) -> dict[str, Any]:
    """Return a result's figures and what they came from."""
    return {
        "summary": summary(result),
        "trades_count": len(result.trades),
        "books": books(result),
        "symbols": symbols(result),
        "strategies": strategy_figures(result),
        "changes": changes(result),
        "drawdown_releases": releases(result),
        "digest": digest(result),
        "config_hash": config_hash(prepared.compiled),
        "data_hash": data_hash(prepared.bars),
        "code_version": code_version(),
        "made_of": made_of(prepared),
        "own_strategies": list(map(msgspec.structs.asdict, prepared.own_code)),
        "notes": [
            *remarks(result),
            *prepared.notes,
            *coverage_notes(prepared.bars, prepared.from_ns, prepared.to_ns),
            *hole_notes(
                prepared.bars,
                ServerClock(prepared.compiled.portfolio.server_clock),
                prepared.from_ns,
            ),
        ],
    }


def made_of(prepared: PreparedRun) -> dict[str, Any]:
    """Return what a result comes from: the portfolio's name, bars, files, costs of each symbol."""
    return {
        "portfolio": prepared.name,
        "from": iso_utc(prepared.from_ns),
        "to": iso_utc(prepared.to_ns),
        "data": str(absolute(prepared.data_dir)),
        "source": prepared.source,
        "files": [file._asdict() for file in prepared.files],
        "costs": [
            {"symbol": spec.name} | {name: getattr(spec, name) for name in COSTS}
            for spec in prepared.compiled.symbols
        ],
    }


def run_backtest(
    portfolio: Path,
    data_dir: Path,
    from_ns: int,
    to_ns: int,
    *,
    source: str | None = None,
    variant: Variant = NO_VARIANT,
    files: OwnFiles = NO_FILES,
    progress: Callable[[float], None] = lambda _: None,
) -> Report:
    """Run a portfolio file over the bars that open in [from, to); errors as `prepare`."""
    started_s = time.perf_counter()
    prepared = prepare(
        portfolio, data_dir, from_ns, to_ns, source=source, variant=variant, files=files
    )
    return _report(prepared, started_s, progress)


def run_portfolio(
    portfolio: Portfolio,
    data_dir: Path,
    from_ns: int,
    to_ns: int,
    *,
    source: str | None = None,
    files: OwnFiles = NO_FILES,
    name: str = "",
    progress: Callable[[float], None] = lambda _: None,
) -> Report:
    """Run a portfolio as `run_backtest` does a file's."""
    started_s = time.perf_counter()
    return_large_blocks()
    _check_period(from_ns, to_ns)
    prepared = load(portfolio, data_dir, from_ns, to_ns, source=source, files=files, name=name)
    return _report(prepared, started_s, progress)


def _check_period(from_ns: int, to_ns: int) -> None:
    if from_ns >= to_ns:
        raise UserError(f"--from {iso_utc(from_ns)} must be before --to {iso_utc(to_ns)}")


def _report(prepared: PreparedRun, started_s: float, progress: Callable[[float], None]) -> Report:
    loaded_s = time.perf_counter()
    result = simulate(
        prepared.compiled, prepared.bars, prepared.from_ns, prepared.to_ns, progress=progress
    )
    times = {
        "load_s": round(loaded_s - started_s, 3),
        "simulate_s": round(time.perf_counter() - loaded_s, 3),
    }
    return Report(prepared, result, document(prepared, result) | times)


def code_version() -> str:
    """Return the package's version and the hash of the sources that decide."""
    try:
        number = version(_DISTRIBUTION)
    except PackageNotFoundError:
        number = "0"
    return f"{number}+{source_hash()}"
