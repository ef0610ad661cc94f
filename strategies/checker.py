"""The strategy checker: is it the pure function of closed bars that all else relies on?

It shows what a strategy did on the bars it was given; it proves nothing about other bars. Pure:
bars, chance and clock are arguments. Each check is a module of `strategies.checks`.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from engine.model.errors import StrategyError
from strategies.base import Columns, Strategy
from strategies.checks.conduct import ConductRecord, Dice, check_outside, check_window, sample_calls
from strategies.checks.cost import Clock, check_cost
from strategies.checks.coverage import check_coverage
from strategies.checks.findings import Finding
from strategies.checks.first_pass import (
    check_determinism,
    check_inputs,
    digest_of,
    evaluate_periods,
    other_prices,
)
from strategies.checks.lookahead import LEAST_CUTS, check_changed_future, check_prefixes
from strategies.checks.probe import Probe, ProbedPeriod, ProbedSignals
from strategies.checks.source import Source
from strategies.checks.sources import sources
from strategies.checks.warmup import check_warmup
from strategies.checks.watch import CodeWatch

DEADLINE_SHARE_S = 0.01
"""A host's default deadline for a batch, 0.5 s, shared by fifty strategies."""

EVER_NS = -(2**63)

_PERIODS_COMPARED = 12
_CUTS_OF_EACH = 6


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
    strategy: Strategy,
    series: Sequence[Columns],
    means: Means,
    from_ns: int = EVER_NS,
    watch: CodeWatch | None = None,
) -> Iterator[Finding]:
    """Yield a finding a check, in the order of CHECKS, each as soon as it is known.

    `series` are all bars of each input, in the order of `strategy.inputs`; periods that end before
    `from_ns` are history alone. `watch` has heard how the strategy was loaded and made. A strategy
    that breaks the output contract is not looked at any further.
    """
    with sources():
        yield from _check(Probe(strategy, series, from_ns, watch or watch_of(strategy)), means)


def _check(probe: Probe, means: Means) -> Iterator[Finding]:
    dice, keeper = Dice(), ConductRecord(probe)
    try:
        with probe.slowly(means.now_s, means.spend_s / 6):
            periods = evaluate_periods(probe, keeper.after_first)
    except StrategyError as error:
        yield Finding("contract", "fail", str(error))
        return
    if not periods:
        text = f"all {probe.n_warming:,} bars are WARMING: give more history"
        yield Finding(
            "coverage", "fail", f"{text} than its warm-up of {probe.strategy.warmup} bars"
        )
        return
    n_bars = sum(p.output.direction.size for p in periods)
    yield Finding("contract", "ok", f"types, shapes and ranges of {n_bars:,} values are right")
    checks = _checks(probe, periods, means, (Source(own_file(probe.strategy)), keeper, dice))
    for name, run in checks:
        try:
            yield run()
        except StrategyError as error:
            yield Finding(name, "fail", str(error))


def watch_of(strategy: Strategy) -> CodeWatch:
    """Return what hears a strategy; its own file is the user's wherever it lies."""
    return CodeWatch(frozenset({own_file(strategy)}))


def own_file(strategy: Strategy) -> str:
    """Return the file that defines a strategy's class, "" for none."""
    return getattr(sys.modules.get(type(strategy).__module__), "__file__", None) or ""


def _cuts_max(probe: Probe, periods: list[ProbedPeriod], means: Means) -> int:
    """Return how many windows may be evaluated for a check; the first pass has compiled kernels."""
    began_s = means.now_s()
    with contextlib.suppress(StrategyError):  # the checks will say so
        probe.evaluate(max(periods, key=lambda p: p.stop - p.start).spans)
    one_s = max(means.now_s() - began_s, 1e-6)
    return max(LEAST_CUTS, int(means.spend_s / 2 / one_s))


def _checks(
    probe: Probe,
    periods: list[ProbedPeriod],
    means: Means,
    seen: tuple[Source, ConductRecord, Dice],
) -> list[tuple[str, Callable[[], Finding]]]:
    rng, now_s = means.rng, means.now_s
    source, keeper, dice = seen
    cuts_max = _cuts_max(probe, periods, means)

    def check_conduct() -> Finding:
        sample_calls(probe, periods, now_s, means.spend_s / 6)
        return check_outside(probe, source, dice)

    return [
        ("determinism", lambda: check_determinism(probe, periods, source)),
        ("lookahead", lambda: check_prefixes(probe, periods, rng, cuts_max)),
        ("changed future", lambda: check_changed_future(probe, periods, rng, cuts_max)),
        ("warm-up", lambda: check_warmup(probe, periods, cuts_max)),
        ("window", lambda: check_window(probe, periods, source, rng)),
        ("inputs", lambda: check_inputs(probe)),
        ("state", lambda: keeper.finding(source)),
        ("outside", check_conduct),
        ("cost", lambda: check_cost(probe, periods, now_s, means.deadline_share_s)),
        ("coverage", lambda: check_coverage(probe, periods)),
    ]


class Cut(NamedTuple):
    """A window that ends at a bar, as it did live: from a period's start to `stop`."""

    start: int
    stop: int


class Answers(NamedTuple):
    """What a process says: of each cut's newest bar, and of all whole windows, as hashes."""

    cuts: list[str]
    whole: str


def cuts_of(strategy: Strategy, series: Sequence[Columns], from_ns: int) -> list[Cut]:
    """Return the cuts by which processes are compared: some of each of some periods."""
    rng = np.random.default_rng(2)
    windows = Probe(strategy, series, from_ns).windows
    some = windows[:: max(1, len(windows) // _PERIODS_COMPARED)]
    return [
        Cut(start, int(bar) + 1)
        for start, stop, _ in some
        for bar in np.unique(np.append(rng.integers(start, stop, _CUTS_OF_EACH), start))
    ]


def answers(
    strategy: Strategy,
    series: Sequence[Columns],
    from_ns: int,
    cuts: Sequence[Cut],
    *,
    backwards: bool = False,
) -> Answers:
    """Return what a strategy says over its bars, in the order in which they come live.

    `backwards`: from the last period to the first one, and other prices before each.

    Raises:
        StrategyError: it broke the output contract.
    """
    probe, rng = Probe(strategy, series, from_ns), np.random.default_rng(3)
    said: dict[Cut, str] = {}
    whole: dict[int, ProbedSignals] = {}
    for start, _, spans in probe.windows[:: -1 if backwards else 1]:
        if backwards:
            with contextlib.suppress(StrategyError):  # other prices may be too much for it
                probe.run_twin(other_prices(probe.copies(spans), rng))
            whole[start] = probe.evaluate(spans)
        for cut in sorted(cut for cut in cuts if cut.start == start):
            ended = probe.spans(cut.start, cut.stop)
            assert ended is not None
            said[cut] = digest_of(probe.evaluate(ended).part(-1))
        if not backwards:
            whole[start] = probe.evaluate(spans)
    outputs = (whole[start] for start, _, _ in probe.windows)
    return Answers([said[cut] for cut in cuts], digest_of(*outputs))
