"""Hierarchical risk parity of daily results. skfolio is imported at the first call.

Source: López de Prado (2016), "Building diversified portfolios that outperform out of sample",
Journal of Portfolio Management 42.
"""

from importlib.util import find_spec
from types import SimpleNamespace
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.decision.allocation.share_limits import normalised
from engine.model.errors import ConfigError

Floats = npt.NDArray[np.float64]

# skfolio multiplies matrices with BLAS, whose last bits differ between machines.
_DECIMALS: Final = 12


def hierarchical_weights(daily_r: Floats) -> Floats | None:
    """Return weights by hierarchical risk parity, (n_units,), sum 1; None where they do not exist.

    Units with the same results are one bet and share its weight; the order of units does not
    matter. Weights do not exist where units cancel each other out without any risk.

    Args:
        daily_r: (n_days ≥ 2, n_units) R, no NaN, each unit with some deviation.

    Raises:
        ConfigError: skfolio is not installed.
    """
    parts = load_skfolio()
    bets, bet = np.unique(daily_r, axis=1, return_inverse=True)
    weights: Floats = np.ones(1)
    if bets.shape[1] > 1:
        # Clusters need no inverse, so a matrix of more units than days is no reason to repair it.
        covariance = parts.EmpiricalCovariance(nearest=False)
        model = parts.HierarchicalRiskParity(
            prior_estimator=parts.EmpiricalPrior(covariance_estimator=covariance)
        )
        try:
            with parts.threadpool_limits(limits=1, user_api="blas"):
                model.fit(bets)
        except parts.OptimizationError:
            return None
        weights = np.round(model.weights_, _DECIMALS)
    bet = bet.reshape(-1)
    each: Floats = weights / np.bincount(bet)
    shared: Floats = each[bet]
    return normalised(shared)


def skfolio_fault() -> str:
    """Return what is missing for this method and how to get it; "" for nothing. Imports nothing."""
    if find_spec("skfolio") is not None:
        return ""
    return 'hrp needs skfolio: pip install "portfolio-manager-pro[research]"'


def load_skfolio() -> SimpleNamespace:
    """Import skfolio, which takes seconds the first time, and return the parts used here.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        from skfolio.exceptions import OptimizationError
        from skfolio.moments import EmpiricalCovariance
        from skfolio.optimization import HierarchicalRiskParity
        from skfolio.prior import EmpiricalPrior
        from threadpoolctl import threadpool_limits
    except ModuleNotFoundError:
        raise ConfigError(f"allocation.method: {skfolio_fault()}") from None
    return SimpleNamespace(
        OptimizationError=OptimizationError,
        EmpiricalCovariance=EmpiricalCovariance,
        HierarchicalRiskParity=HierarchicalRiskParity,
        EmpiricalPrior=EmpiricalPrior,
        threadpool_limits=threadpool_limits,
    )
