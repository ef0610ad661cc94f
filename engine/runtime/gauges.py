"""How much is at stake in what is held now: volatility, value at risk, correlations."""

import math

import numpy as np
import numpy.typing as npt

from engine.decision.covariance import samples_per_day
from engine.decision.rules import value_at_risk
from engine.decision.state import Core
from engine.metrics.risk import correlation, portfolio_volatility_frac

Floats = npt.NDArray[np.float64]


def var_frac(core: Core) -> float:
    """Return the one-day loss at 99 % over equity, as the rule before an entry has it.

    `mark_exposure` comes first.
    """
    held = np.flatnonzero(core.work["net_ccy"][:-1] != 0.0)
    slots = np.flatnonzero(np.isin(core.slots["symbol"], held))
    slot = int(slots[0]) if len(slots) else 0
    # An order of nothing.
    return float(value_at_risk(core, slot, 1, 0.0)[0]) if len(held) else 0.0


def volatility_frac(core: Core) -> float:
    """Return a day's standard deviation of what is held over equity; NaN where unknown."""
    equity_ccy = float(core.account[0]["equity_ccy"])
    held = np.flatnonzero(core.work["net_ccy"][:-1] != 0.0)
    if not len(held):
        return 0.0
    if not equity_ccy > 0.0:
        return math.nan
    day = core.covariance[np.ix_(held, held)] * samples_per_day(core)
    return portfolio_volatility_frac(core.work["net_ccy"][held] / equity_ccy, day)


def correlation_max(core: Core) -> float:
    """Return the largest |correlation| between two symbols held; 0 for one, NaN where unknown."""
    held = np.flatnonzero(core.work["net_ccy"][:-1] != 0.0)
    if len(held) < 2:
        return 0.0
    matrix = correlation(core.covariance[np.ix_(held, held)])
    pairs = np.abs(matrix[np.triu_indices(len(held), 1)])
    return float(np.nanmax(pairs)) if not np.isnan(pairs).all() else math.nan
