"""What units' records of daily results in R say: score, deviation, number of days.

A unit is what gets a share or is switched: a book, a member. Pure: no I/O, no clock, no chance.
The same values give the same bits everywhere: days are summed oldest first, one by one, the decay
is one power multiplied up, and nothing goes through BLAS.
"""

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# Larger results, infinite and unknown ones are no days: their squares would overflow.
_LARGEST_R: Final = 1e100
# A deviation below this part of 1 R (or of the mean) is rounding, not risk.
_LEAST_DEVIATION: Final = 1e-9
_TINY: Final = np.finfo(np.float64).tiny


class Records(NamedTuple):
    """Figures of units' records, (n_units,) each, never NaN.

    `effective_days` is (Σ weight)² / Σ weight²: how many equally weighted days say as much.
    Without deviation `volatility_r` and `score` are 0.
    """

    n_days: Integers
    effective_days: Floats
    mean_r: Floats
    volatility_r: Floats
    score: Floats


def as_records(daily_r: npt.ArrayLike) -> Floats:
    """Return results as the (n_days, n_units) array, in the memory order, that sums count on."""
    return np.ascontiguousarray(daily_r, dtype=np.float64)


def known_days(daily_r: Floats) -> npt.NDArray[np.bool_]:
    """Return where there is a result, (n_days, n_units)."""
    return np.abs(daily_r) < _LARGEST_R


def read_records(daily_r: npt.ArrayLike, half_life_days: float) -> Records:
    """Return what records of daily results say.

    A day weighs half as much as one that is `half_life_days` of the unit's own days later. The
    score is weighted mean over weighted deviation about it: a daily Sharpe ratio without the root
    of time.

    Args:
        daily_r: (n_days, n_units) R, oldest day first; NaN where a unit did not exist.
        half_life_days: > 0.
    """
    results = as_records(daily_r)
    known = known_days(results)
    values = np.where(known, results, 0.0)
    weights = np.where(known, _decay(len(results), half_life_days)[ages_of(known)], 0.0)
    total = np.sum(weights, axis=0)
    divisor = np.maximum(total, _TINY)
    scratch = values * weights
    mean = np.sum(scratch, axis=0) / divisor
    np.subtract(values, mean, out=scratch)
    scratch *= scratch
    scratch *= weights
    volatility = np.sqrt(np.sum(scratch, axis=0) / divisor)
    moves = volatility > _LEAST_DEVIATION * (1.0 + np.abs(mean))
    volatility = np.where(moves, volatility, 0.0)
    np.multiply(weights, weights, out=scratch)
    squares = np.maximum(np.sum(scratch, axis=0), _TINY)
    return Records(
        n_days=np.sum(known, axis=0, dtype=np.int64),
        effective_days=total * total / squares,
        mean_r=mean,
        volatility_r=volatility,
        score=np.where(moves, mean / np.where(moves, volatility, 1.0), 0.0),
    )


def shrink_scores(records: Records, counted: npt.NDArray[np.bool_], shrink_days: float) -> Floats:
    """Return scores pulled toward the mean of the `counted` units, the more the shorter a record.

    A unit keeps effective days / (effective days + `shrink_days`) of its distance to the mean:
    most of the difference between short records is luck.

    Source: Efron and Morris (1977), "Stein's paradox in statistics", Scientific American 236.
    """
    counted_scores = records.score[counted]
    mean = float(np.sum(counted_scores)) / max(len(counted_scores), 1)
    kept = records.effective_days / np.maximum(records.effective_days + shrink_days, _TINY)
    return mean + kept * (records.score - mean)


def ages_of(known: npt.NDArray[np.bool_]) -> Integers:
    """Return how many known days of the unit followed each row's, (n_days, n_units), 0 for none."""
    since: Integers = np.cumsum(known[::-1], axis=0)[::-1] - known
    return since


@lru_cache(maxsize=4)
def _decay(n_days: int, half_life_days: float) -> Floats:
    """Return the weight of a day by its age, (n_days,), of the newest 1."""
    factors = np.full(n_days, 0.5 ** (1.0 / half_life_days))
    factors[:1] = 1.0
    weights: Floats = np.cumprod(factors)
    weights.setflags(write=False)
    return weights
