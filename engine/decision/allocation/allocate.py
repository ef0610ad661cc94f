"""Allocation: records of daily results in, shares out. Asked once a server day.

Pure: no I/O, no clock, no chance; a backtest and the engine call the same function on the same
bits. A unit is a book of the portfolio or a member of one book, as `AllocationSpec.level` says.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.decision.allocation.hierarchical import hierarchical_weights
from engine.decision.allocation.scores import (
    Records,
    as_records,
    known_days,
    read_records,
    shrink_scores,
)
from engine.decision.allocation.share_limits import limit_turnover, normalised, spread
from engine.model.portfolio import AllocationSpec

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

# A score of 0 or less weighs as much as this score adds: otherwise one unit a hair above 0 would
# take everything from those a hair below. 0.05 a day is a Sharpe ratio of 0.8 a year.
SCORE_AT_ZERO: Final = 0.05
_ROUNDING: Final = 1e-12


class Allocated(NamedTuple):
    """New shares and the numbers that caused them, (n_units,) each, never NaN.

    `target` is what the method wants, before floors, caps and the limit of turnover; `score` is
    the shrunk one. `judged` tells who had record enough; the others keep their share.
    """

    shares: Floats
    target: Floats
    score: Floats
    volatility_r: Floats
    n_days: Integers
    judged: Booleans


def allocate(
    settings: AllocationSpec, daily_r: npt.ArrayLike, shares: npt.ArrayLike, *, names: Sequence[str]
) -> Allocated:
    """Return the units' shares for the next day; they sum to 1.

    - `manual`: the operator's shares, as they are.
    - `score`: in proportion to max(score, 0) + `SCORE_AT_ZERO`; all at 0 or below: equal.
    - `inverse_volatility`: in proportion to 1 / deviation of daily results.
    - `hrp`: hierarchical risk parity over the days that all judged units have.

    A unit with fewer than `min_days` days, or without deviation, keeps its share, and the judged
    ones divide the rest. Then each share is brought to at least `floor_ratio` and at most
    `cap_ratio` of the equal share (of the kept ones only those outside, unless the judged ones
    cannot make up for them), and the way from the current shares is cut at `turnover_max_frac`.
    So shares that start outside the bounds come inside within days.

    Args:
        settings: checked ones: floor_ratio ≤ 1 ≤ cap_ratio.
        daily_r: (n_days, n_units) R with costs, oldest first; NaN where a unit did not exist.
        shares: (n_units,) current shares, ≥ 0; taken over their sum.
        names: the units', in the same order; `manual` reads them.

    Raises:
        ConfigError: `hrp` without skfolio.
    """
    results = as_records(daily_r)
    old = _current(np.asarray(shares, dtype=np.float64))
    records = read_records(results, settings.half_life_days)
    judged = (records.n_days >= settings.min_days) & (records.volatility_r > 0.0)
    score = shrink_scores(records, judged, settings.shrink_days)
    if settings.method == "manual":
        target = new = manual_shares(settings.shares, names)
        judged = np.zeros(len(old), dtype=np.bool_)
    else:
        judged, weights = _weights(settings, results, records, score, judged)
        target = _target(old, judged, weights)
        bounded = _bounded(settings, old, judged, target)
        new = limit_turnover(old, bounded, settings.turnover_max_frac)
    return Allocated(new, target, score, records.volatility_r, records.n_days, judged)


def manual_shares(shares: Mapping[str, float], names: Sequence[str]) -> Floats:
    """Return the operator's shares of the units, sum 1; also where the other methods begin.

    A unit that is not named has the equal share, the named ones divide the rest in proportion.
    Named ones at 0 leave everything to the others.
    """
    given = np.array([shares.get(name, 0.0) for name in names], dtype=np.float64)
    named = np.array([name in shares for name in names], dtype=np.bool_)
    n_named = int(np.count_nonzero(named))
    total = float(np.sum(given))
    if not total > 0.0:
        return normalised((~named).astype(np.float64))
    return np.where(named, given / total * (n_named / len(names)), 1.0 / len(names))


def _current(shares: Floats) -> Floats:
    # What sums to 1 already stays as it is to the last bit.
    return shares if abs(float(np.sum(shares)) - 1.0) <= _ROUNDING else normalised(shares)


def _weights(
    settings: AllocationSpec, results: Floats, records: Records, score: Floats, judged: Booleans
) -> tuple[Booleans, Floats]:
    """Return who is judged and the judged ones' weights."""
    if settings.method == "score":
        return judged, np.maximum(score[judged], 0.0) + SCORE_AT_ZERO
    if settings.method == "inverse_volatility":
        return judged, 1.0 / records.volatility_r[judged]
    return _hierarchical(settings, results, judged)


def _hierarchical(
    settings: AllocationSpec, results: Floats, judged: Booleans
) -> tuple[Booleans, Floats]:
    common = results[np.all(known_days(results) | ~judged, axis=1)]
    if judged.any() and len(common) >= max(settings.min_days, 2):
        # Equal weights in the common days: a long half-life stands for none.
        judged = judged & (read_records(common, 1e9).volatility_r > 0.0)
        if judged.any():
            weights = hierarchical_weights(common[:, judged])
            if weights is not None:
                return judged, weights
    return np.zeros(len(judged), dtype=np.bool_), np.empty(0)


def _target(old: Floats, judged: Booleans, weights: Floats) -> Floats:
    target = old.copy()
    if judged.any():
        rest = max(1.0 - float(np.sum(old[~judged])), 0.0)
        target[judged] = normalised(weights) * rest
    return target


def _bounded(settings: AllocationSpec, old: Floats, judged: Booleans, target: Floats) -> Floats:
    n = len(old)
    low, high = settings.floor_ratio / max(n, 1), min(settings.cap_ratio / max(n, 1), 1.0)
    out = np.clip(old, low, high)
    rest = 1.0 - float(np.sum(out[~judged]))
    n_judged = int(np.count_nonzero(judged))
    if n_judged * low - _ROUNDING <= rest <= n_judged * high + _ROUNDING:
        out[judged] = spread(target[judged], rest, low, high)
        return out
    return spread(target, 1.0, low, high)
