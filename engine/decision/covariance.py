"""How the symbols move together: returns sampled on a fixed grid, their covariance about zero.

Returns are simple ones of the bid from sample to sample, `sample_minutes` apart, the newest
`N_RETURNS` of them. Correlations are shrunk to 0 by `correlation_shrink_frac`. Where a symbol has
fewer than `samples_min` samples its numbers are unknown (NaN), and the rules assume the worst.

Source: J.P. Morgan/Reuters (1996), "RiskMetrics Technical Document", §5.1 (zero mean).
"""

import math
from typing import Final

from engine.decision.state import N_RETURNS, Core
from engine.kernels.compiled import core_kernel
from engine.model.times import NS_PER_MINUTE

_MINUTES_PER_DAY: Final = 1440.0


@core_kernel
def sample_returns(core: Core, now_ns: int) -> None:
    """Take a sample at the first batch of each grid cell; a symbol without a price returns 0."""
    account = core.account[0]
    cell = now_ns // (int(core.limits[0]["sample_minutes"]) * NS_PER_MINUTE)
    if cell == account["sample"]:
        return
    account["sample"] = cell
    row = account["next_return"]
    for s in range(len(core.symbols)):
        quote = core.quotes[s]
        known = quote["sample_bid"] > 0.0 and quote["bid"] > 0.0
        core.returns[row, s] = quote["bid"] / quote["sample_bid"] - 1.0 if known else 0.0
        quote["n_samples"] += 1 if known else 0
        if quote["bid"] > 0.0:
            quote["sample_bid"] = quote["bid"]
    account["next_return"] = (row + 1) % N_RETURNS
    update_covariance(core)


@core_kernel
def update_covariance(core: Core) -> None:
    """Work the shrunk covariance of one sample out of the kept returns, in the ring's order."""
    n = len(core.symbols)
    keep_frac = 1.0 - core.limits[0]["correlation_shrink_frac"]
    for a in range(n):
        for b in range(a + 1):
            core.covariance[a, b] = 0.0
    for k in range(N_RETURNS):
        for a in range(n):
            for b in range(a + 1):
                core.covariance[a, b] += core.returns[k, a] * core.returns[k, b]
    for a in range(n):
        for b in range(a + 1):
            count = min(core.quotes[a]["n_samples"], core.quotes[b]["n_samples"])
            known = count >= core.limits[0]["samples_min"]
            value = core.covariance[a, b] / min(count, N_RETURNS) if known else float("nan")
            core.covariance[a, b] = core.covariance[b, a] = value if a == b else value * keep_frac


@core_kernel
def samples_per_day(core: Core) -> float:
    """Return how many samples a day has."""
    return float(_MINUTES_PER_DAY / core.limits[0]["sample_minutes"])


@core_kernel
def daily_volatility_frac(core: Core, symbol: int) -> float:
    """Return the standard deviation of a symbol's day; NaN where unknown."""
    return math.sqrt(core.covariance[symbol, symbol] * samples_per_day(core))


@core_kernel
def correlation(core: Core, one: int, other: int) -> float:
    """Return the shrunk correlation of two symbols, 1 with itself; NaN where unknown."""
    if one == other:
        return 1.0
    product = core.covariance[one, one] * core.covariance[other, other]
    return (
        float(core.covariance[one, other] / math.sqrt(product)) if product > 0.0 else float("nan")
    )
