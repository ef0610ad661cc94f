"""The live path over a simulated month at full speed: what it costs does not grow with history."""

import os

import numpy as np
import psutil
import pytest

from backtest.bench import portfolio_text, write_bars
from backtest.data import load_bars
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE
from engine.portfolio.compile import compile_portfolio
from engine.portfolio.file import parse_portfolio
from engine.runtime.replay import replay

N_STRATEGIES = 40
WEEK_NS = 7 * NS_PER_DAY
SLACK_MB = 4.0
# What the replay itself returns: a trade with its order and parts, a point of the equity.
TRADE_MB, POINT_MB = 0.003, 0.0003


class Meter:
    """Memory and processor time of this process and its children at each week's end."""

    def __init__(self, n_weeks: int) -> None:
        self.weeks: list[dict[int, tuple[float, float]]] = []
        self._n_weeks = n_weeks

    def __call__(self, done_frac: float) -> None:
        if done_frac * self._n_weeks < len(self.weeks):
            return
        this = psutil.Process()
        self.weeks.append(
            {
                p.pid: (p.memory_info().rss / 1e6, sum(p.cpu_times()[:2]))
                for p in (this, *this.children(recursive=True))
            }
        )


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_memory_and_the_cost_of_a_bar_stay_what_they_were(tmp_path):
    """The third week takes as much time as the first; no process grows after the first."""
    source = write_bars(tmp_path, 2018)
    compiled = compile_portfolio(parse_portfolio(portfolio_text(N_STRATEGIES), "bench.toml"))
    from_ns = int(np.datetime64("2018-02-05", "ns").astype(np.int64))
    names = [spec.name for spec in compiled.symbols]
    bars = load_bars(tmp_path, names, from_ns - 10 * NS_PER_DAY, from_ns + 4 * WEEK_NS, [], source)
    opens = np.unique(np.concatenate([b["time_ns"] for b in bars.values()]))
    batches = np.unique(np.concatenate([opens, opens + NS_PER_MINUTE]))
    meter = Meter(4)

    result = replay(compiled, bars, batches[batches > from_ns].tolist(), n_hosts=2, progress=meter)

    assert len(result.trades) > 1000
    first, second, third, last = meter.weeks
    assert set(first) == set(last)
    n_trades = sum(batches[0] + WEEK_NS < t.exit_ns for t in result.trades)
    kept_mb = n_trades * TRADE_MB + len(batches) * POINT_MB
    for pid in first:
        grown_mb = last[pid][0] - second[pid][0]
        allowed_mb = SLACK_MB + (kept_mb if pid == os.getpid() else 0.0)
        assert grown_mb < allowed_mb, f"process {pid} grew by {grown_mb:.1f} MB"
        early_s, late_s = second[pid][1] - first[pid][1], last[pid][1] - third[pid][1]
        assert late_s < 1.2 * early_s + 1.0, f"process {pid}: {early_s:.1f} s, then {late_s:.1f} s"
    print({p: [(round(w[p][0], 1), round(w[p][1], 1)) for w in meter.weeks] for p in first})
