"""`pmpro bench backtest`: the benchmark's portfolio over a year of one-minute bars.

*Warm* is with code compiled and bars in memory; strategies are made and signals computed anew.
*One-shot* is a new process that reads the files, trades the year and prints its report.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from engine.model.errors import UserError
from pmpro_tui.cli.output import Json, print_line

if TYPE_CHECKING:
    from backtest.run import PreparedRun
    from pmpro_tui.cli.backtest.view import OnProgress

LIMITS: dict[str, tuple[str, float]] = {
    "month_warm_s": ("<=", 0.07),
    "year_warm_s": ("<=", 0.7),
    "year_oneshot_s": ("<=", 2.0),
    "peak_mb": ("<=", 400.0),
    "scaling_500_ratio": ("<=", 5.5),
    "first_compile_s": ("<=", 8.0),
}
GENERATED_YEAR = 2018
_MANY = 500


class Data(NamedTuple):
    """A directory that holds a source's bars of a year."""

    directory: Path
    source: str
    year: int


def backtest(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="DIR", help="Directory of real bars. Default: generated bars."
        ),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Runs per figure; the median is shown.")] = 5,
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="RIVAL", help="Compare with `vectorbt` if installed."),
    ] = None,
    json: Json = False,
) -> None:
    """Time 100 strategies on 5 symbols over one-minute bars: warm, in a new process, uncompiled."""
    from pmpro_tui.bench.portfolio import write_bars
    from pmpro_tui.bench.report import report
    from pmpro_tui.cli.backtest.view import progress_bar

    if against not in (None, "vectorbt"):
        raise UserError(f"--against {against!r}: there is vectorbt to compare with, nothing else")
    with tempfile.TemporaryDirectory(prefix="pmpro-bench-") as temporary:
        if data is None:
            directory = Path(temporary)
            found = Data(directory, write_bars(directory, GENERATED_YEAR), GENERATED_YEAR)
        else:
            found = Data(data, *_newest_year(data))
        with progress_bar("Benchmark", quiet=json) as advance:
            figures = measure(found, runs, advance)
        note = "" if against is None else compare(found, figures, runs)
    report("backtest", figures, LIMITS, json=json)
    if note and not json:
        print_line(note)


def measure(data: Data, runs: int, progress: "OnProgress") -> dict[str, float]:
    """Return all figures; those of children first, while this process is small."""
    from pmpro_tui.bench.children import compile_anew, one_shot, one_shot_peak_mb

    start, month, end = _bounds(data.year)
    steps: dict[str, Callable[[], float]] = {
        "first_compile_s": lambda: median_s(runs, compile_anew),
        "year_oneshot_s": lambda: median_s(runs, lambda: one_shot(data, start, end), spare=1),
        "peak_mb": lambda: one_shot_peak_mb(data, start, end),
        "month_warm_s": lambda: warm_s(data, start, month, runs),
        "year_warm_s": lambda: warm_s(data, start, end, runs),
        "scaling_500_ratio": lambda: (
            warm_s(data, start, month, runs, _MANY) / warm_s(data, start, month, runs)
        ),
    }
    figures = {}
    for done, (name, step) in enumerate(steps.items()):
        progress(done / len(steps))
        figures[name] = round(step(), 3)
    progress(1.0)
    return {name: figures[name] for name in LIMITS}


def warm_s(data: Data, start: str, end: str, runs: int, n_strategies: int = 100) -> float:
    """Return the median seconds of warm runs of so many strategies."""
    from backtest.simulate import simulate

    made = prepared(data, start, end, n_strategies)
    period = (made.from_ns, made.to_ns)
    return median_s(runs, lambda: simulate(made.compiled, made.bars, *period), spare=1)


def median_s(runs: int, action: Callable[[], object], spare: int = 0) -> float:
    """Return the median of `runs` after `spare` ones that do not count."""
    times = []
    for _ in range(spare + runs):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return statistics.median(times[spare:])


def prepared(data: Data, start: str, end: str, n_strategies: int) -> "PreparedRun":
    """Return the benchmark's portfolio of so many strategies with its bars."""
    from backtest.run import prepare
    from pmpro_tui.bench.portfolio import portfolio_text
    from pmpro_tui.cli.backtest.options import parse_time

    period = (parse_time("--from", start), parse_time("--to", end))
    with tempfile.TemporaryDirectory(prefix="pmpro-bench-") as temporary:
        file = Path(temporary) / "portfolio.toml"
        file.write_text(portfolio_text(n_strategies), encoding="utf-8")
        return prepare(file, data.directory, *period, source=data.source)


def _bounds(year: int) -> tuple[str, str, str]:
    return f"{year}-01-01", f"{year}-02-01", f"{year + 1}-01-01"


def compare(data: Data, figures: dict[str, float], runs: int) -> str:
    """Add vectorbt's figures; return a line that says what they are, or why there are none."""
    from pmpro_tui.bench.rival import is_installed, run_rival

    if not is_installed():
        return "vectorbt is not installed: nothing to compare with"
    start, _, end = _bounds(data.year)
    rival: Mapping[str, float] = run_rival(data, start, end, runs)
    figures |= {f"vectorbt_{name}": value for name, value in rival.items()}
    figures["vectorbt_ratio"] = round(rival["year_warm_s"] / figures["year_warm_s"], 1)
    return (
        "vectorbt: the same strategies' signals as single positions, without books, risk rules, "
        "swaps, allocation or attribution"
    )


def _newest_year(data_dir: Path) -> tuple[str, int]:
    """Return a source that has all the benchmark's symbols, and the last year it covers."""
    from backtest.data.bar_file import BarFile
    from backtest.data.files import list_files
    from engine.model.times import Timeframe, to_datetime
    from pmpro_tui.bench.portfolio import SYMBOLS

    files, _ = list_files(data_dir)
    m1 = [f for f in files if f.timeframe == Timeframe.M1]
    for source in sorted({f.source for f in m1}):
        own = {s: [f for f in m1 if (f.symbol, f.source) == (s, source)] for s in SYMBOLS}
        if all(own.values()):
            last = [max(int(BarFile(f).time_ns[-1]) for f in group) for group in own.values()]
            return source, to_datetime(min(last)).year
    raise UserError(f"{data_dir}: no source has M1 files of all of {', '.join(SYMBOLS)}")
