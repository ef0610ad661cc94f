"""How much is at stake in what is held now: volatility, value at risk, correlations."""

import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.decision import read
from engine.decision.covariance import samples_per_day
from engine.decision.rules import value_at_risk
from engine.decision.state import Core
from engine.metrics.risk import (
    correlation,
    diversification_ratio,
    historical_shortfall_frac,
    historical_var_frac,
    parametric_shortfall_frac,
    portfolio_volatility_frac,
)

Floats = npt.NDArray[np.float64]
_LEVEL: Final = 0.99


class Tail(NamedTuple):
    """A day's loss at 99 % over equity: by the past of what is held, and the mean beyond it.

    `historical_*` from the samples kept, overlapping days; NaN where they are fewer than a day's.
    """

    historical_var_frac: float
    historical_shortfall_frac: float
    shortfall_frac: float
    diversification_ratio: float


def tail(core: Core) -> Tail:
    """Return what the worst days cost, and how much the parts of what is held differ."""
    equity_ccy = read.account(core).equity_ccy
    held = np.flatnonzero(read.net_ccy(core))
    if not len(held) or not equity_ccy > 0.0:
        empty = 0.0 if equity_ccy > 0.0 else math.nan
        return Tail(empty, empty, empty, math.nan)
    weights = read.net_ccy(core)[held] / equity_ccy
    n_known = min(int(read.n_samples(core)[held].min()), len(core.returns))
    past = np.sum(read.past_returns(core)[len(core.returns) - n_known :, held] * weights, axis=1)
    day = max(round(samples_per_day(core)), 1)
    return Tail(
        historical_var_frac(past, _LEVEL, day),
        historical_shortfall_frac(past, _LEVEL, day),
        parametric_shortfall_frac(volatility_frac(core), _LEVEL),
        diversification_ratio(weights, core.covariance[np.ix_(held, held)]),
    )


def var_frac(core: Core) -> float:
    """Return the one-day loss at 99 % over equity, as the rule before an entry has it.

    `mark_exposure` comes first.
    """
    held = np.flatnonzero(read.net_ccy(core))
    slots = np.flatnonzero(np.isin(read.symbols_of_slots(core), held))
    slot = int(slots[0]) if len(slots) else 0
    # An order of nothing.
    return float(value_at_risk(core, slot, 1, 0.0)[0]) if len(held) else 0.0


def volatility_frac(core: Core) -> float:
    """Return a day's standard deviation of what is held over equity; NaN where unknown."""
    equity_ccy = read.account(core).equity_ccy
    held = np.flatnonzero(read.net_ccy(core))
    if not len(held):
        return 0.0
    if not equity_ccy > 0.0:
        return math.nan
    day = core.covariance[np.ix_(held, held)] * samples_per_day(core)
    return portfolio_volatility_frac(read.net_ccy(core)[held] / equity_ccy, day)


def correlation_max(core: Core) -> float:
    """Return the largest |correlation| between two symbols held; 0 for one, NaN where unknown."""
    held = np.flatnonzero(read.net_ccy(core))
    if len(held) < 2:
        return 0.0
    matrix = correlation(core.covariance[np.ix_(held, held)])
    pairs = np.abs(matrix[np.triu_indices(len(held), 1)])
    return float(np.nanmax(pairs)) if not np.isnan(pairs).all() else math.nan
