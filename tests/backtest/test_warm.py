"""After `pmpro compile` nothing compiles: whatever trades later has been called before."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]

_WARM = """
import gc, json
from numba.core.dispatcher import Dispatcher
from backtest.warm import warm_backtest, warm_signals
from engine.replay.warm import STEPS, warm_strategies

def versions():
    return {
        f"{d.py_func.__module__}.{d.py_func.__name__}": len(d.overloads)
        for d in gc.get_objects()
        if isinstance(d, Dispatcher) and d.py_func.__module__.startswith(
            ("engine.", "strategies.", "backtest."))
    }

for _, step in [
    *STEPS,
    ("signals", warm_signals),
    ("strategies", warm_strategies),
    ("backtest", warm_backtest),
]:
    step()
before = versions()
"""
_TELL = """
print(json.dumps([k for k, n in versions().items() if n != before.get(k, 0)]))
"""
_BACKTEST = """
import sys
from pathlib import Path
from pmpro_tui.bench.portfolio import PORTFOLIO, write_bars
from backtest.run import document, prepare
from backtest.simulate import simulate
from pmpro_tui.cli.backtest.options import parse_time

here = Path(sys.argv[1])
source = write_bars(here, 2018)
text = PORTFOLIO.read_text(encoding="utf-8")
for n, timeframe in enumerate(("M5", "H1", "H4", "D1")):
    text += f'[[strategy]]\\nname = "h{n}"\\nkind = "keltner_channel"\\nsymbol = "EURUSD"\\n'
    text += f'timeframe = "{timeframe}"\\nparams = {{ mode = "reversion" }}\\n'
(here / "p.toml").write_text(text, encoding="utf-8")
period = parse_time("--from", "2018-01-02"), parse_time("--to", "2018-01-05")
made = prepare(here / "p.toml", here, *period, source=source)
result = simulate(made.compiled, made.bars, *period, n_checks=10)
document(made, result)
assert len(result.trades) > 100
"""
_REPLAY = (
    _BACKTEST
    + """
import numpy as np
from engine.replay.run import replay

batches = result.equity["time_ns"][:240].tolist()
assert len(replay(made.compiled, made.bars, batches).trades) > 10
"""
)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "program",
    [_BACKTEST, pytest.param(_REPLAY, marks=pytest.mark.long)],
    ids=["backtest", "engine"],
)
def test_nothing_is_left_to_compile(tmp_path, program):
    """Every kernel that trading calls, with the types it is called with, was warmed."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", _WARM + program + _TELL, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == []
