"""`pmpro bench stress`: a day at twice the busiest minute's orders, throttles in force.

RTS 6 (EU 2017/589) Art. 10 asks for tests at twice the highest number of messages seen. What is
seen is the benchmark's portfolio over its year: entries and exits of its busiest minute.
"""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pmpro_tui.bench.children import percentile
from pmpro_tui.cli.output import Json

if TYPE_CHECKING:
    from pmpro_tui.bench.engine import Minute

_FACTOR = 2
_N_STRATEGIES = 100
_DAY_MINUTES = 1440
_HEAD = "[account]\nbalance_ccy = 10_000_000.0\n[risk]\nrepeated_max = 1e6\n"


def stress(
    minutes: Annotated[int, typer.Option(min=2, help="Minutes of market.")] = _DAY_MINUTES,
    pause_s: Annotated[
        float, typer.Option(min=0.05, help="Seconds of pause after each minute.")
    ] = 0.25,
    json: Json = False,
) -> None:
    """Trade a day at twice the orders of the busiest minute, with the order limits of [risk]."""
    from pmpro_tui.bench.engine import Steps, measure
    from pmpro_tui.bench.latency import PROBE, portfolio_text
    from pmpro_tui.bench.report import report
    from pmpro_tui.cli.backtest.view import progress_bar

    busiest = busiest_minute()
    n_probes = _FACTOR * busiest
    steps = Steps(
        portfolio=portfolio_text(_N_STRATEGIES, n_probes, head=_HEAD),
        files={"probe.py": PROBE},
        n_minutes=minutes,
        pause_s=pause_s,
    )
    with progress_bar(f"{n_probes} orders a minute", quiet=json) as advance:
        found = measure(steps, advance)
    figures = {"busiest_minute_orders": float(busiest), **figures_of(found, n_probes)}
    report("stress", figures, {}, json=json)


def busiest_minute() -> int:
    """Return the most entries and exits in a minute of the benchmark's generated month."""
    import numpy as np

    from backtest.simulate import simulate
    from pmpro_tui.bench.backtest import GENERATED_YEAR, Data, prepared
    from pmpro_tui.bench.portfolio import write_bars

    with tempfile.TemporaryDirectory(prefix="pmpro-bench-") as name:
        home = Path(name)
        data = Data(home, write_bars(home, GENERATED_YEAR), GENERATED_YEAR)
        first, last = f"{GENERATED_YEAR}-01-01", f"{GENERATED_YEAR}-02-01"
        made = prepared(data, first, last, _N_STRATEGIES)
        trades = simulate(made.compiled, made.bars, made.from_ns, made.to_ns).trades
    _, counts = np.unique(
        np.concatenate([trades["entry_ns"], trades["exit_ns"]]), return_counts=True
    )
    return int(counts.max())


def figures_of(minutes: "list[Minute]", n_orders: int) -> dict[str, float]:
    """Return what minutes with `n_orders` wanted in each say; times in ms after the tick."""
    import numpy as np

    counts = np.array([len(m.orders_ms) for m in minutes])
    first = [m.orders_ms[0] for m in minutes if m.orders_ms]
    last = [m.orders_ms[-1] for m in minutes if m.orders_ms]
    out = {
        "minutes": float(len(minutes)),
        "orders_wanted_per_minute": float(n_orders),
        "orders_sent_per_minute": round(float(counts.mean()), 2),
        "orders_throttled_or_late": float(np.maximum(n_orders - counts, 0).sum()),
    }
    for name, times in (("first", first), ("last", last)):
        for percent in (50, 99, 100):
            out[f"{name}_order_p{percent}_ms"] = percentile(times, percent)
    return out
