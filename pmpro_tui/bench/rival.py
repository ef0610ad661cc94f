"""vectorbt on a simpler form of the benchmark, in a process of its own.

Every strategy is a position of its own at its own signals, without books, sizing, risk rules,
swaps, allocation or attribution. The signals are given; only the simulation is timed.
"""

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pmpro_tui.bench.backtest import Data


def is_installed() -> bool:
    """Tell whether vectorbt can be imported."""
    return find_spec("vectorbt") is not None


def run_rival(data: "Data", start: str, end: str, runs: int) -> dict[str, float]:
    """Return its median seconds (compiled, signals given), its trades and its peak memory."""
    from pmpro_tui.bench.children import run_child

    settings = json.dumps([str(data.directory), data.source, data.year, start, end, runs])
    out = run_child([sys.executable, "-P", "-m", "pmpro_tui.bench.rival", settings])
    figures: dict[str, float] = json.loads(out.splitlines()[-1])
    return figures


def main(settings: str) -> None:
    """Measure in this process and print the figures."""
    import psutil  # type: ignore[import-untyped]

    from pmpro_tui.bench.backtest import Data, median_s
    from pmpro_tui.bench.children import peak_bytes

    directory, source, year, start, end, runs = json.loads(settings)
    tables = _tables(Data(Path(directory), source, year), start, end)
    counts: list[int] = []
    seconds = median_s(runs, lambda: counts.append(sum(_trades(*table) for table in tables)), 1)
    figures = {
        "year_warm_s": round(seconds, 3),
        "peak_mb": round(peak_bytes(psutil.Process()) / 1e6, 1),
        "trades_count": counts[-1],
    }
    sys.stdout.write(json.dumps(figures) + "\n")


def _tables(data: "Data", start: str, end: str) -> list[tuple[Any, Any]]:
    """Return each symbol's closes and, a column a strategy, the sides that its signals ask for."""
    import numpy as np

    from backtest.series import make_series
    from backtest.simulate import make_strategies
    from engine.model.server_clock import ServerClock
    from engine.model.signals import HOLD
    from pmpro_tui.bench.backtest import prepared
    from strategies.windows import evaluate_period

    made = prepared(data, start, end, 100)
    clock = ServerClock(made.compiled.portfolio.server_clock)
    strategies = make_strategies(made.compiled)
    series = {
        (need.symbol, need.timeframe): make_series(
            made.bars[need.symbol],
            np.ascontiguousarray(made.bars[need.symbol]["time_ns"]),
            need.timeframe,
            clock,
        )
        for strategy in strategies
        for need in strategy.inputs
    }
    tables = []
    for symbol in dict.fromkeys(strategy.symbol for strategy in strategies):
        own = [strategy for strategy in strategies if strategy.symbol == symbol]
        bars = series[symbol, own[0].timeframe]
        columns = bars.part(0, len(bars.close_ns))
        sides = np.zeros((columns.n, len(own)), np.int8)
        for column, strategy in enumerate(own):
            others = [series[n.symbol, n.timeframe] for n in strategy.inputs[1:]]
            for first, last in bars.periods:
                signals = evaluate_period(strategy, columns, first, last, *others)
                if signals is not None:
                    sides[first:last, column] = signals.direction
        held = np.where(sides == HOLD, 0, np.arange(len(sides))[:, None])
        known = np.maximum.accumulate(held, axis=0)
        sides = np.take_along_axis(np.where(sides == HOLD, np.int8(0), sides), known, axis=0)
        tables.append((columns.close[:, None], sides))
    return tables


def _trades(close: Any, sides: Any) -> int:
    """Simulate a symbol's strategies and return how many trades there were."""
    import vectorbt

    run = vectorbt.Portfolio.from_signals(
        close,
        entries=sides == 1,
        exits=sides != 1,
        short_entries=sides == -1,
        short_exits=sides != -1,
        fees=1e-5,
        freq="1min",
    )
    run.total_profit()
    return int(run.trades.count().sum())


if __name__ == "__main__":
    main(sys.argv[1])
