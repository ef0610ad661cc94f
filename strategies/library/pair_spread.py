"""Pair spread: against an unusual price ratio of two symbols, trading the first.

spread = log(close / close of the other symbol), z = its deviations above its mean of `period`
bars. LONG while z < −`entry_z`, SHORT while z > `entry_z`, FLAT where |z| is within `exit_z` or z
has changed its side, HOLD between. Confidence is 0.5 at `entry_z` and 1 at twice it.
A missing bar of the other symbol: its last closed one. FLAT where within the period it has none
yet, and where the spread did not move.
Fails when the ratio moves for good (a rate decision, a depeg): give it a stop. Only one leg is
traded, so what both symbols do together is a risk that it bears; give a second strategy the
symbols the other way round to trade both.

Source: Gatev, Goetzmann, Rouwenhorst (2006), "Pairs trading: performance of a relative-value
arbitrage rule", Review of Financial Studies 19.
"""

from functools import cached_property
from typing import Annotated

import numpy as np
from msgspec import Meta

from engine.kernels.compiled import kernel
from engine.model.signals import SHORT
from strategies.base import BARS, Columns, Floats, Input, Params, Signals, Strategy, Times
from strategies.indicators.averages import z_slack
from strategies.indicators.levels import around, beyond

_Z = {"unit": "std"}


class PairSpreadParams(Params, frozen=True, kw_only=True):
    """Length of the mean, and where a trade begins and ends."""

    period: Annotated[int, Meta(ge=5, le=2000, description="mean and std", extra=BARS)] = 120
    entry_z: Annotated[float, Meta(ge=0.1, le=10, description="trade beyond", extra=_Z)] = 2.0
    exit_z: Annotated[float, Meta(ge=0, le=9, description="close within", extra=_Z)] = 0.5

    def __post_init__(self) -> None:
        """Refuse an exit beyond the entry."""
        if self.exit_z >= self.entry_z:
            raise ValueError(f"exit_z = {self.exit_z:g} must be below entry_z = {self.entry_z:g}")


class PairSpread(Strategy):
    """See the module."""

    kind = "pair_spread"
    params_type = PairSpreadParams
    n_symbols = 2

    @cached_property
    def inputs(self) -> tuple[Input, ...]:
        """Return both symbols' bars; twice as many of the other's, as it may trade longer hours."""
        first, other = super().inputs
        return first, other._replace(warmup=2 * self.warmup)

    @property
    def warmup(self) -> int:
        """Return the period: the first mean needs one bar less, a crossing one more."""
        period: int = self.params.period
        return period

    def evaluate(self, bars: Columns, *others: Columns) -> Signals:
        """Compare the spread with its mean at every bar."""
        p: PairSpreadParams = self.params
        (other,) = others
        spread = _ratios(bars.close_ns, bars.close, other.close_ns, other.close)
        np.log(spread, out=spread)
        levels = around(0.0, p.entry_z, p.exit_z)
        index = z_slack(spread, p.period, 1.0)  # a logarithm's error is that of its ratio
        return self.signals(*beyond(*index, levels, SHORT, self.warmup))


@kernel
def _ratios(close_ns: Times, close: Floats, other_close_ns: Times, other_close: Floats) -> Floats:
    """Return close / close of the other's last bar closed by then, NaN where there is none."""
    n = len(close)
    out = np.empty(n)
    n_closed = 0
    other = np.nan
    for i in range(n):
        while n_closed < len(other_close) and other_close_ns[n_closed] <= close_ns[i]:
            other = other_close[n_closed]
            n_closed += 1
        out[i] = close[i] / other
    return out
