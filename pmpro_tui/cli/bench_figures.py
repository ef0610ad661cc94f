"""What measured times say, as the benchmarks report it."""

from collections.abc import Sequence


def percentile(times_ms: Sequence[float], percent: float) -> float:
    """Return a percentile of times, to a microsecond; NaN of none."""
    import numpy as np

    return round(float(np.percentile(times_ms, percent)), 3) if times_ms else float("nan")
