"""What details are told from: copies of the core's arrays, taken with each snapshot.

A question is answered on its client's thread; what it reads never changes under it.
"""

from typing import NamedTuple

import numpy as np

from engine.decision.state import Core, Floats, Records
from engine.portfolio.compile import CompiledPortfolio
from engine.runtime.trader import Trader


class Decided(NamedTuple):
    """A slot's row of `checks` as it was, and the batch at which it came to be so."""

    checks: bytes
    at_ns: int


class Picture(NamedTuple):
    """One moment of the core; `decided` by slot, only those that decided since the start."""

    compiled: CompiledPortfolio
    outputs: Records
    days: Floats
    covariance: Floats
    n_samples: tuple[int, ...]
    net_frac: tuple[float, ...]
    threshold_frac: float
    decided: dict[str, Decided]


def take_picture(trader: Trader, before: Picture | None) -> Picture:
    """Return the core as it is now, on the engine thread, right after the exposures are marked."""
    core = trader.core
    equity_ccy = float(core.account[0]["equity_ccy"])
    net_ccy = core.work["net_ccy"][:-1]
    return Picture(
        compiled=trader.compiled,
        outputs=core.outputs.copy(),
        days=core.days.copy(),
        covariance=core.covariance.copy(),
        n_samples=tuple(core.quotes["n_samples"].tolist()),
        net_frac=tuple((net_ccy / equity_ccy if equity_ccy > 0.0 else net_ccy * np.nan).tolist()),
        threshold_frac=float(core.limits[0]["correlation_threshold_frac"]),
        decided=_decided(trader, core, {} if before is None else before.decided),
    )


def _decided(trader: Trader, core: Core, before: dict[str, Decided]) -> dict[str, Decided]:
    now_ns = int(core.account[0]["batch_ns"])
    # Rows that no decision has written yet hold nothing but NaN and zeros.
    asked = np.flatnonzero((core.checks > 0.0).any(axis=(1, 2))).tolist()
    found = {}
    for slot in asked:
        name, checks = trader.names.slots[slot], core.checks[slot].tobytes()
        known = before.get(name)
        found[name] = known if known and known.checks == checks else Decided(checks, now_ns)
    return found
