"""Cost: the time of the newest bar of a full window, as live, and of a bar of a backtest."""

import statistics
from collections.abc import Callable, Sequence

from strategies.checks.findings import Finding
from strategies.checks.probe import Probe, ProbedPeriod
from strategies.windows import evaluate_period

_RUNS = 31
_SPENT_S = 3.0

Clock = Callable[[], float]


def check_cost(
    probe: Probe, periods: Sequence[ProbedPeriod], now_s: Clock, deadline_share_s: float
) -> Finding:
    """Measure the median; above the share of a host's deadline it is a warning."""
    longest = max(periods, key=lambda p: p.stop - p.spans[0][0])
    times_s: list[float] = []
    began_s = now_s()
    while len(times_s) < _RUNS and (not times_s or now_s() - began_s < _SPENT_S):
        before_s = now_s()
        evaluate_period(probe.strategy, probe.bars, longest.start, longest.stop, *probe.others)
        times_s.append(now_s() - before_s)
    live_s = statistics.median(times_s)
    n_window = longest.stop - longest.spans[0][0]
    bar_us = 1e6 * live_s / (longest.stop - longest.start)
    text = (
        f"{1e6 * live_s:,.0f} µs for the newest bar of a full window of {n_window:,} bars, "
        f"{bar_us:.2f} µs a bar over a whole period"
    )
    figures = {"live_us": 1e6 * live_s, "period_us_per_bar": bar_us}
    if live_s > deadline_share_s:
        text += (
            f": above its share of a host's deadline, {1e6 * deadline_share_s:,.0f} µs; "
            "compile its loops (engine.kernels.compiled.kernel)"
        )
        return Finding("cost", "warn", text, figures)
    return Finding("cost", "ok", text, figures)
