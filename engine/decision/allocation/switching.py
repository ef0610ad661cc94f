"""Switching: which units lose their vote by their shadow record, and which get it back.

Asked once a server day, beside the allocation. An operator's switches are no matter of this.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.decision.allocation.scores import Floats, ages_of, as_records, known_days, read_records
from engine.model.portfolio import SwitchSpec

Reason = Literal["drawdown", "score", "recovered"]


class Switching(NamedTuple):
    """One unit that changes, and the numbers that caused it.

    `drawdown_r` is the one compared: the given one of who is benched, since the benching of who
    comes back; NaN where that was not known. `benched_days` is 0 for who is benched now.
    """

    unit: int
    benched_after: bool
    reason: Reason
    score: float
    drawdown_r: float
    n_days: int
    benched_days: int


def decide(
    settings: SwitchSpec,
    daily_r: npt.ArrayLike,
    benched: npt.ArrayLike,
    benched_days: npt.ArrayLike,
    drawdown_r: npt.ArrayLike,
    *,
    half_life_days: float,
) -> list[Switching]:
    """Return the units that change, in their order.

    Benched is who has a drawdown of `disable_drawdown_r` or more, at once; or a score below
    `disable_score` with `min_days` days and some deviation. A benched unit comes back when
    `cool_down_days` have passed, it has `min_days` days and some deviation, its score is at least
    `enable_score`, and its drawdown since the benching at most `enable_drawdown_r`. A unit that
    changed is not looked at again before the next day.

    `drawdown_r` must begin anew when a unit comes back; the loss that benched it would otherwise
    bench it again the next day.

    Args:
        settings: checked ones: enable_score ≥ disable_score.
        daily_r: (n_days, n_units) R with costs, oldest first; NaN where a unit did not exist.
        benched: (n_units,) who is benched now.
        benched_days: (n_units,) days of the unit's own market since the benching; of others not
            read.
        drawdown_r: (n_units,) fall of the shadow record from its high since it got its vote;
            NaN is unknown and benches nobody. Of benched units not read.
        half_life_days: of the score's weights, the allocation's.
    """
    results = as_records(daily_r)
    is_benched = np.asarray(benched, dtype=np.bool_)
    days = np.asarray(benched_days, dtype=np.int64)
    drawdown = np.asarray(drawdown_r, dtype=np.float64)
    records = read_records(results, half_life_days)
    since = drawdown_since_r(results, days) if is_benched.any() else np.zeros(len(days))
    scored = (records.n_days >= settings.min_days) & (records.volatility_r > 0.0)
    fallen = ~is_benched & (drawdown >= settings.disable_drawdown_r)
    poor = ~is_benched & scored & (records.score < settings.disable_score)
    recovered = (
        is_benched
        & scored
        & (days >= settings.cool_down_days)
        & (records.score >= settings.enable_score)
        & (since <= settings.enable_drawdown_r)
    )

    def changes() -> Iterator[Switching]:
        for unit in np.flatnonzero(fallen | poor | recovered).tolist():
            back = bool(recovered[unit])
            yield Switching(
                unit=unit,
                benched_after=not back,
                reason="recovered" if back else "drawdown" if fallen[unit] else "score",
                score=float(records.score[unit]),
                drawdown_r=float(since[unit] if back else drawdown[unit]),
                n_days=int(records.n_days[unit]),
                benched_days=int(days[unit]) if back else 0,
            )

    return list(changes())


def drawdown_since_r(daily_r: npt.ArrayLike, since_days: npt.ArrayLike) -> Floats:
    """Return how far each unit's sum of the last `since_days` results is below its highest, in R.

    The sum begins at 0, which counts as a high. A unit's days are those with a result; days before
    the record's first are not known and not counted.

    Args:
        daily_r: (n_days, n_units) R, oldest first; NaN where a unit did not exist.
        since_days: (n_units,) how many of its last days count, ≥ 0.

    Returns:
        (n_units,) R, ≥ 0.
    """
    results = as_records(daily_r)
    known = known_days(results)
    counted = known & (ages_of(known) < np.asarray(since_days, dtype=np.int64))
    equity = np.cumsum(np.where(counted, results, 0.0), axis=0)
    if not len(equity):
        return np.zeros(results.shape[1])
    fallen: Floats = np.maximum(np.max(equity, axis=0), 0.0) - equity[-1]
    return fallen
