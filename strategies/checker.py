"""The strategy checker: is it the pure function of closed bars that all else relies on?

It shows what a strategy did on the bars it was given; it proves nothing about other bars. Pure:
bars, chance and clock are arguments. Each check is a module of `strategies.checks`.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from engine.model.errors import StrategyError
from strategies.base import Columns, Strategy
from strategies.checks.cost import Clock, check_cost
from strategies.checks.coverage import check_coverage
from strategies.checks.findings import Finding
from strategies.checks.first_pass import check_determinism, check_inputs, digest, evaluate_periods
from strategies.checks.lookahead import LEAST_CUTS, check_changed_future, check_prefixes
from strategies.checks.probe import Period, Probe
from strategies.checks.warmup import check_warmup

DEADLINE_SHARE_S = 0.01
"""A host's default deadline for a batch, 0.5 s, shared by fifty strategies."""

EVER_NS = -(2**63)


class Means(NamedTuple):
    """What a run of the checker may use.

    `spend_s` is about how long the slowest checks may take in all; a strategy that needs more is
    checked at fewer bars, and the finding says so.
    """

    rng: np.random.Generator
    now_s: Clock
    spend_s: float = 30.0
    deadline_share_s: float = DEADLINE_SHARE_S


def check(
    strategy: Strategy, series: Sequence[Columns], means: Means, from_ns: int = EVER_NS
) -> Iterator[Finding]:
    """Yield a finding a check, in the order of CHECKS, each as soon as it is known.

    `series` are all bars of each input, in the order of `strategy.inputs`; periods that end before
    `from_ns` are history alone. A strategy that breaks the output contract is not looked at any
    further.
    """
    probe = Probe(strategy, series, from_ns)
    try:
        periods = evaluate_periods(probe)
    except StrategyError as error:
        yield Finding("contract", "fail", str(error))
        return
    if not periods:
        text = f"all {probe.n_warming:,} bars are WARMING: give more history"
        yield Finding("coverage", "fail", f"{text} than its warm-up of {strategy.warmup} bars")
        return
    n_bars = sum(p.output.direction.size for p in periods)
    yield Finding("contract", "ok", f"types, shapes and ranges of {n_bars:,} values are right")
    for name, run in _checks(probe, periods, means, _cuts_max(probe, periods, means)):
        try:
            yield run()
        except StrategyError as error:
            yield Finding(name, "fail", str(error))


def _cuts_max(probe: Probe, periods: list[Period], means: Means) -> int:
    """Return how many windows may be evaluated for a check; the first pass has compiled kernels."""
    began_s = means.now_s()
    with contextlib.suppress(StrategyError):  # the checks will say so
        probe.evaluate(max(periods, key=lambda p: p.stop - p.start).spans)
    one_s = max(means.now_s() - began_s, 1e-6)
    return max(LEAST_CUTS, int(means.spend_s / 2 / one_s))


def _checks(
    probe: Probe, periods: list[Period], means: Means, cuts_max: int
) -> list[tuple[str, Callable[[], Finding]]]:
    rng = means.rng
    return [
        ("inputs", lambda: check_inputs(probe)),
        ("determinism", lambda: check_determinism(probe, periods)),
        ("lookahead", lambda: check_prefixes(probe, periods, rng, cuts_max)),
        ("changed future", lambda: check_changed_future(probe, periods, rng, cuts_max)),
        ("warm-up", lambda: check_warmup(probe, periods, cuts_max)),
        ("cost", lambda: check_cost(probe, periods, means.now_s, means.deadline_share_s)),
        ("coverage", lambda: check_coverage(probe, periods)),
    ]


def output_digest(strategy: Strategy, series: Sequence[Columns], from_ns: int = EVER_NS) -> str:
    """Return a hash of all that a strategy says over its bars.

    Raises:
        StrategyError: it broke the output contract.
    """
    return digest(evaluate_periods(Probe(strategy, series, from_ns)))
