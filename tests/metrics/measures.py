"""Measures that only tests need: what the core and the figures are compared with."""

import math
from statistics import NormalDist

import numpy as np

from engine.metrics.risk import Floats


def parametric_var_frac(
    volatility_frac: float, level: float, n_periods: int = 1, *, mean_frac: float = 0.0
) -> float:
    """Return the loss that a normal return does not exceed with probability `level`.

    z(level) × volatility × √n_periods − mean × n_periods.

    Args:
        volatility_frac: ≥ 0, of one period.
        level: in (0, 1).
        n_periods: horizon.
        mean_frac: of one period; 0 as over short horizons it is lost in its own error.

    Source: J.P. Morgan/Reuters (1996), "RiskMetrics technical document", 4th edition.
    """
    z = NormalDist().inv_cdf(level)
    return z * volatility_frac * math.sqrt(n_periods) - mean_frac * n_periods


def decay_weights(n_periods: int, decay_frac: float) -> Floats:
    """Return weights of periods, (n_periods,), sum 1: each is `decay_frac` of the next one.

    Source: RiskMetrics (1996), chapter 5; it takes 0.94 for days.
    """
    weights = decay_frac ** np.arange(n_periods - 1, -1, -1, dtype=np.float64)
    decayed: Floats = weights / np.sum(weights)
    return decayed


def shrunk_correlation(correlations: Floats, shrink_frac: float) -> Floats:
    """Return (1 − f) × correlations + f × identity: nearer to no correlation, and invertible.

    Source: Ledoit and Wolf (2004), "A well-conditioned estimator for large-dimensional covariance
    matrices", Journal of Multivariate Analysis 88, with a given intensity.
    """
    shrunk: Floats = (1.0 - shrink_frac) * correlations
    np.fill_diagonal(shrunk, np.diagonal(shrunk) + shrink_frac)
    return shrunk


def gross_leverage(exposure_ccy: Floats, equity_ccy: float) -> float:
    """Return Σ |exposure| / equity; `exposure_ccy` (n,) is signed. NaN without equity above 0."""
    return float(np.sum(np.abs(exposure_ccy))) / equity_ccy if equity_ccy > 0.0 else math.nan


def net_leverage(exposure_ccy: Floats, equity_ccy: float) -> float:
    """Return Σ exposure / equity, negative for short. NaN without equity above 0."""
    return float(np.sum(exposure_ccy)) / equity_ccy if equity_ccy > 0.0 else math.nan


def largest_share_frac(values: Floats) -> float:
    """Return the largest |value| over Σ |value|, 1 / n … 1; NaN where all are 0 or none are."""
    sizes = np.abs(values)
    total = float(np.sum(sizes))
    return float(np.max(sizes)) / total if total > 0.0 else math.nan
