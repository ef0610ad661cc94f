"""Risk figures written out as their definitions: the reference for faster ones, and for reports.

Pure functions. Fractions: 0.01 is 1 %. Losses are positive. Returns are simple ones of equal
periods (a day, an hour); volatilities, covariances and horizons are of and in that period. A
figure that its inputs do not define is NaN, and so is one of inputs that hold a NaN, unless said
otherwise. Drawdowns are in `engine.metrics.performance`.
"""

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def horizon_returns(returns: Floats, n_periods: int) -> Floats:
    """Return the compounded returns of every run of `n_periods` returns, overlapping, in order.

    (n,) gives (max(n − n_periods + 1, 0),).
    """
    if len(returns) < n_periods:
        return np.empty(0)
    runs = np.lib.stride_tricks.sliding_window_view(returns, n_periods)
    compounded: Floats = np.prod(1.0 + runs, axis=1) - 1.0
    return compounded


def historical_var_frac(returns: Floats, level: float, n_periods: int = 1) -> float:
    """Return the smallest loss that at least `level` of the past losses do not exceed.

    An observed value, never one between two; negative where even that is a gain.

    Args:
        returns: (n,) simple returns; NaN among them, or fewer than `n_periods`: NaN.
        level: in (0, 1), such as 0.99.
        n_periods: horizon; losses are those of `horizon_returns`.

    Source: Jorion (2006), "Value at risk", 3rd edition.
    """
    losses = -horizon_returns(returns, n_periods)
    if not len(losses) or np.isnan(losses).any():
        return math.nan
    return float(np.quantile(losses, level, method="inverted_cdf"))


def historical_shortfall_frac(returns: Floats, level: float, n_periods: int = 1) -> float:
    """Return the mean of the worst 1 − `level` of the past losses, never below their VaR.

    The loss at the edge counts with the part of it that lies inside. Arguments and NaN as
    `historical_var_frac`.

    Source: Acerbi and Tasche (2002), "On the coherence of expected shortfall", Journal of Banking
    & Finance 26.
    """
    losses = np.sort(-horizon_returns(returns, n_periods))[::-1]
    if not len(losses) or np.isnan(losses).any():
        return math.nan
    n_tail = (1.0 - level) * len(losses)
    inside = np.clip(n_tail - np.arange(len(losses)), 0.0, 1.0)
    return float(np.sum(inside * losses)) / n_tail


def parametric_shortfall_frac(
    volatility_frac: float, level: float, n_periods: int = 1, *, mean_frac: float = 0.0
) -> float:
    """Return the mean loss of a normal return beyond its VaR at `level`.

    φ(z(level)) / (1 − level) × volatility × √n_periods − mean × n_periods.

    Args:
        volatility_frac: ≥ 0, of one period.
        level: in (0, 1).
        n_periods: horizon.
        mean_frac: of one period; 0 as over short horizons it is lost in its own error.

    Source: McNeil, Frey and Embrechts (2015), "Quantitative risk management".
    """
    normal = NormalDist()
    beyond = normal.pdf(normal.inv_cdf(level)) / (1.0 - level)
    return beyond * volatility_frac * math.sqrt(n_periods) - mean_frac * n_periods


def covariance(returns: Floats, weights: Floats | None = None) -> Floats:
    """Return the covariance about a mean of zero, Σ w r rᵀ / Σ w.

    Args:
        returns: (n_periods, n_assets), oldest first; a period with a NaN is left out whole.
        weights: (n_periods,) ≥ 0; equal ones if None.

    Returns:
        (n_assets, n_assets), positive semidefinite; NaN where no period is left.

    Source: RiskMetrics (1996), chapter 5.
    """
    each = np.ones(len(returns)) if weights is None else weights
    whole = ~np.isnan(returns).any(axis=1)
    returns, each = returns[whole], each[whole]
    total = float(np.sum(each))
    if not total > 0.0:
        return np.full((returns.shape[1], returns.shape[1]), math.nan)
    products = returns[:, :, None] * returns[:, None, :]
    matrix: Floats = np.sum(each[:, None, None] * products, axis=0) / total
    return matrix


def correlation(matrix: Floats) -> Floats:
    """Return covariances over the volatilities, (n_assets, n_assets) in [−1, 1].

    1 on the diagonal; NaN beside an asset without variance.
    """
    variances = np.diagonal(matrix)
    deviations = np.sqrt(np.where(variances > 0.0, variances, math.nan))
    out: Floats = np.clip(matrix / (deviations[:, None] * deviations[None, :]), -1.0, 1.0)
    np.fill_diagonal(out, 1.0)
    return out


def portfolio_volatility_frac(weights: Floats, matrix: Floats) -> float:
    """Return √(wᵀ C w), of one period.

    Args:
        weights: (n_assets,) signed exposure over equity.
        matrix: (n_assets, n_assets) covariance of one period.
    """
    variance = float(np.sum(weights[:, None] * matrix * weights[None, :]))
    # A hedged portfolio's variance may round to just below 0.
    return 0.0 if variance < 0.0 else math.sqrt(variance)


def diversification_ratio(weights: Floats, matrix: Floats) -> float:
    """Return Σ |w| σ over the portfolio's volatility: 1 for one bet, √n for n independent ones.

    NaN for a portfolio without volatility. Arguments as `portfolio_volatility_frac`.

    Source: Choueifaty and Coignard (2008), "Toward maximum diversification", Journal of Portfolio
    Management 35; short weights count by their size.
    """
    whole = portfolio_volatility_frac(weights, matrix)
    parts = float(np.sum(np.abs(weights) * np.sqrt(np.diagonal(matrix))))
    return parts / whole if whole > 0.0 else math.nan


def margin_level_frac(equity_ccy: float, margin_ccy: float) -> float:
    """Return equity / margin, 1 where the terminal shows 100 %; NaN without margin."""
    return equity_ccy / margin_ccy if margin_ccy > 0.0 else math.nan
