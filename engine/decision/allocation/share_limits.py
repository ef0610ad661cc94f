"""Shares inside bounds, and no faster than allowed. Pure functions of (n,) float64 arrays."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def normalised(weights: Floats) -> Floats:
    """Return weights ≥ 0 over their sum; equal shares where the sum is 0 or not finite."""
    total = float(np.sum(weights))
    if 0.0 < total < np.inf:
        return weights / total
    return np.full(len(weights), 1.0 / max(len(weights), 1))


def spread(weights: Floats, total: float, low: float, high: float) -> Floats:
    """Return λ × `weights` cut to [`low`, `high`], with the one λ that makes them sum to `total`.

    Every round takes all that are above, or all that are below, whichever are further out in sum,
    to their bound for good, and gives the rest to the others in proportion; so nothing is ever
    taken back. Outside n × `low` … n × `high` the sum is the nearer of the two.

    Args:
        weights: (n,) ≥ 0, finite; those left with a sum of 0 share equally.
        total: what to share out.
        low: least share of each, ≥ 0.
        high: largest share of each.
    """
    out = np.empty(len(weights))
    free = np.ones(len(weights), dtype=np.bool_)
    while (n_free := int(np.count_nonzero(free))) > 0:
        mine = weights[free]
        rest = total - float(np.sum(out[~free]))
        weight = float(np.sum(mine))
        shares = mine / weight * rest if weight > 0.0 else np.full(n_free, rest / n_free)
        excess = float(np.sum(np.maximum(shares - high, 0.0)))
        lack = float(np.sum(np.maximum(low - shares, 0.0)))
        if excess == 0.0 and lack == 0.0:
            out[free] = shares
            break
        bound, beyond = (high, shares > high) if excess >= lack else (low, shares < low)
        fixed = np.flatnonzero(free)[beyond]
        out[fixed] = bound
        free[fixed] = False
    return out


def limit_turnover(old: Floats, new: Floats, max_frac: float) -> Floats:
    """Return `new`, or the point on the way to it where Σ|share − old| / 2 is `max_frac`."""
    moved = float(np.sum(np.abs(new - old))) / 2.0
    if moved <= max_frac:
        return new
    return old + (new - old) * (max_frac / moved)
