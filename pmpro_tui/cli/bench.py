"""`pmpro bench`: how long a backtest and an order take on this machine."""

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.model.errors import PmproError, UserError
from pmpro_tui.cli.bench_latency import latency
from pmpro_tui.cli.output import Json, print_json, print_table

app = typer.Typer(no_args_is_help=True)

LIMITS: dict[str, tuple[str, float]] = {
    "year_warm_s": ("<=", 3.0),
    "year_oneshot_s": ("<=", 5.0),
    "month_warm_s": ("<=", 0.5),
    "peak_mb": ("<=", 1000.0),
}
GENERATED_YEAR = 2018
_OPERATORS: dict[str, Callable[[float, float], bool]] = {"<=": lambda value, limit: value <= limit}


@app.callback()
def bench() -> None:
    """Measure how fast it is on this machine."""


app.command("latency")(latency)


@app.command("backtest")
def backtest(
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Real bars; else generated ones.")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each figure; the median counts.")] = 5,
    json: Json = False,
) -> None:
    """Run 100 strategies on 5 symbols over one-minute bars, warm and as a new process."""
    from backtest.bench import portfolio_text, write_bars

    with tempfile.TemporaryDirectory(prefix="pmpro-bench-") as temporary:
        portfolio = Path(temporary) / "portfolio.toml"
        portfolio.write_text(portfolio_text(), encoding="utf-8")
        if data is None:
            source, year = write_bars(Path(temporary), GENERATED_YEAR), GENERATED_YEAR
        else:
            source, year = _newest_year(data)
        figures = _measure(portfolio, data or Path(temporary), source, year, runs)
    report("backtest", figures, LIMITS, json=json)


def report(
    name: str, figures: dict[str, float], limits: dict[str, tuple[str, float]], *, json: bool
) -> None:
    """Print a benchmark's figures against its limits."""
    passed = {
        figure: _OPERATORS[operator](figures[figure], limit)
        for figure, (operator, limit) in limits.items()
    }
    if json:
        print_json(
            {
                "bench": name,
                "figures": figures,
                "limits": limits,
                "ok": all(passed.values()),
                "machine": machine(),
            }
        )
        return
    rows = []
    for figure, value in figures.items():
        limit = " ".join(map(str, limits[figure])) if figure in limits else ""
        rows.append((figure, f"{value:g}", limit, "ok" if passed.get(figure, True) else "TOO SLOW"))
    print_table(f"pmpro bench {name}", ("figure", "median", "limit", ""), rows)


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    return {
        "cpus": os.cpu_count(),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _newest_year(data_dir: Path) -> tuple[str, int]:
    """Return a source that has all the benchmark's symbols, and the last year it covers."""
    from backtest.bar_file import BarFile
    from backtest.bench import SYMBOLS
    from backtest.market_files import list_files
    from engine.model.times import Timeframe, to_datetime

    files, _ = list_files(data_dir)
    m1 = [f for f in files if f.timeframe == Timeframe.M1]
    for source in sorted({f.source for f in m1}):
        own = {s: [f for f in m1 if (f.symbol, f.source) == (s, source)] for s in SYMBOLS}
        if all(own.values()):
            last = [max(int(BarFile(f).time_ns[-1]) for f in group) for group in own.values()]
            return source, to_datetime(min(last)).year
    raise UserError(f"{data_dir}: no source has M1 files of all of {', '.join(SYMBOLS)}")


def _measure(
    portfolio: Path, data_dir: Path, source: str, year: int, runs: int
) -> dict[str, float]:
    from backtest.run import prepare
    from backtest.simulate import simulate
    from pmpro_tui.cli.backtest_options import parse_time

    start, month, end = (f"{year}-01-01", f"{year}-02-01", f"{year + 1}-01-01")

    def warm_s(until: str) -> float:
        """Code compiled, bars in memory; strategies made and signals computed anew."""
        period = (parse_time("--from", start), parse_time("--to", until))
        made = prepare(portfolio, data_dir, *period, source=source)
        return _median_s(runs, lambda: simulate(made.compiled, made.bars, *period))

    def one_shot() -> None:
        arguments = ("--portfolio", portfolio, "--data", data_dir, "--source", source)
        _run_child([*map(str, arguments), "--from", start, "--to", end, "--json", "--no-store"])

    warm_s(month)  # compiles or loads the kernels
    return {
        "month_warm_s": warm_s(month),
        "year_warm_s": warm_s(end),
        "year_oneshot_s": _median_s(runs, one_shot),
        "peak_mb": _peak_children_mb(),
    }


def _run_child(arguments: list[str]) -> None:
    command = [sys.executable, "-P", "-m", "pmpro_tui.cli.main", "backtest", "run", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise PmproError(f"the one-shot run failed: {done.stderr.strip()[-300:]}")


def _median_s(runs: int, action: Callable[[], object]) -> float:
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return round(statistics.median(times), 3)


def _peak_children_mb() -> float:
    """Return the largest resident set of the one-shot processes; NaN where nobody counts it."""
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)
