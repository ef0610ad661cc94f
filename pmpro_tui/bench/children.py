"""What the benchmarks start as processes of their own, and the memory these take."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from engine.model.errors import PmproError

if TYPE_CHECKING:
    import psutil  # type: ignore[import-untyped]

    from pmpro_tui.bench.backtest import Data

from collections.abc import Sequence


def percentile(times_ms: Sequence[float], percent: float) -> float:
    """Return a percentile of times, to a microsecond; NaN of none."""
    import numpy as np

    return round(float(np.percentile(times_ms, percent)), 3) if times_ms else float("nan")


_LOOK_S = 0.01
_BYTES_PER_MB = 1e6


def compile_anew() -> None:
    """Run `pmpro compile` with an empty cache."""
    with tempfile.TemporaryDirectory(prefix="pmpro-bench-") as cache:
        run_child(_pmpro("compile"), {"PMPRO_CACHE_DIR": cache})


def one_shot(data: "Data", start: str, end: str) -> None:
    """Run the benchmark's portfolio as a user does."""
    run_child(_one_shot(data, start, end))


def one_shot_peak_mb(data: "Data", start: str, end: str) -> float:
    """Return the most memory that such a run took, summed over its processes."""
    import psutil

    peaks: dict[int, int] = {}
    most = 0
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            _one_shot(data, start, end), stdout=subprocess.DEVNULL, stderr=errors
        )
        parent = psutil.Process(child.pid)
        while child.poll() is None:
            try:
                family = [parent, *parent.children(recursive=True)]
                for process in family:
                    peaks[process.pid] = max(peaks.get(process.pid, 0), peak_bytes(process))
                most = max(most, sum(process.memory_info().rss for process in family))
            except psutil.Error:  # it has just ended
                continue
            time.sleep(_LOOK_S)
        errors.seek(0)
        _check(child.returncode, errors.read().decode(errors="replace"))
    # A moment's sum may miss a short peak, a process's own peak does not.
    return max(most, *peaks.values()) / _BYTES_PER_MB


def peak_bytes(process: "psutil.Process") -> int:
    """Return the largest resident set that a process had, where the system counts it.

    The kernel's count of children includes what their parent held when it started them.
    """
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        info = process.memory_info()
        return int(getattr(info, "peak_wset", info.rss))
    return next((int(li.split()[1]) << 10 for li in lines if li.startswith("VmHWM")), 0)


def run_child(command: list[str], environment: Mapping[str, str] | None = None) -> str:
    """Run a process to its end and return what it wrote."""
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    _check(done.returncode, done.stderr)
    return done.stdout


def _check(code: int | None, errors: str) -> None:
    if code:
        raise PmproError(f"a measured process failed: {errors.strip()[-300:]}")


def _one_shot(data: "Data", start: str, end: str) -> list[str]:
    from pmpro_tui.bench.portfolio import PORTFOLIO

    what = ("--portfolio", PORTFOLIO, "--data", data.directory, "--source", data.source)
    when = ("--from", start, "--to", end)
    return _pmpro("backtest", "run", *map(str, what), *when, "--json", "--no-store")


def _pmpro(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "pmpro_tui.cli.main", *arguments]
