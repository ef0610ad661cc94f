"""The live path over a simulated month at full speed: what it costs does not grow with history."""

import os

import numpy as np
import psutil
import pytest

from backtest.data.load import load_bars
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE
from engine.portfolio.compile import compile_portfolio
from engine.portfolio.file import parse_portfolio
from engine.replay.run import replay
from pmpro_tui.bench.portfolio import portfolio_text, write_bars

N_STRATEGIES = 40
WEEK_NS = 7 * NS_PER_DAY
SLACK_MB = 4.0
# What is kept of a trade for ever: here the result with its order and parts, at the simulated
# terminal the account's history, two orders and deals.
TRADE_MB = {"here": 0.004, "engine.terminal.host.process": 0.004}
POINT_MB = 0.0003


class Meter:
    """Memory and processor time of this process and its children at each week's end."""

    def __init__(self, n_weeks: int) -> None:
        self.weeks: list[dict[str, tuple[float, float]]] = []
        self._n_weeks = n_weeks

    def __call__(self, done_frac: float) -> None:
        if done_frac * self._n_weeks < len(self.weeks):
            return
        this = psutil.Process()
        self.weeks.append(
            {
                f"{_module(p)} {p.pid}": (
                    p.memory_full_info().uss / 1e6,  # without what files are mapped
                    sum(p.cpu_times()[:2]),
                )
                for p in (this, *this.children(recursive=True))
            }
        )


def _module(process: psutil.Process) -> str:
    """Return what a process runs: a module of ours, or "here" for this one."""
    ours = [word for word in process.cmdline() if word.startswith("engine.")]
    return ours[0] if ours and process.pid != os.getpid() else "here"


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_memory_and_the_cost_of_a_bar_stay_what_they_were(tmp_path):
    """The third week takes as much time as the first; no process grows after the first."""
    source = write_bars(tmp_path, 2018)
    compiled = compile_portfolio(parse_portfolio(portfolio_text(N_STRATEGIES), "bench.toml"))
    from_ns = int(np.datetime64("2018-02-05", "ns").astype(np.int64))
    period = from_ns - 10 * NS_PER_DAY, from_ns + 4 * WEEK_NS
    bars = load_bars(tmp_path, compiled.symbols, *period, [], source).bars
    opens = np.unique(np.concatenate([b["time_ns"] for b in bars.values()]))
    batches = np.unique(np.concatenate([opens, opens + NS_PER_MINUTE]))
    meter = Meter(4)

    result = replay(compiled, bars, batches[batches > from_ns].tolist(), n_hosts=2, progress=meter)

    assert len(result.trades) > 1000
    first, second, third, last = meter.weeks
    assert set(first) == set(last)
    print({name: [tuple(map(round, week[name])) for week in meter.weeks] for name in first})
    n_trades = sum(batches[0] + WEEK_NS < t.exit_ns for t in result.trades)
    for name in first:
        module = name.split()[0]
        points_mb = len(batches) * POINT_MB if module == "here" else 0.0
        allowed_mb = SLACK_MB + TRADE_MB.get(module, 0.0) * n_trades + points_mb
        grown_mb = last[name][0] - second[name][0]
        assert grown_mb < allowed_mb, f"{name} grew by {grown_mb:.1f} MB, {n_trades} trades"
        early_s, late_s = second[name][1] - first[name][1], last[name][1] - third[name][1]
        assert late_s < 1.2 * early_s + 1.0, f"{name}: {early_s:.1f} s, then {late_s:.1f} s"
