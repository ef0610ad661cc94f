"""The first evaluation of every period: contract, untouched inputs, the same answer again."""

import contextlib
import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from engine.model.errors import StrategyError
from engine.model.signals import FLAT
from engine.model.times import iso_utc
from strategies.base import Columns
from strategies.checks.differences import Differences
from strategies.checks.findings import Finding, counted
from strategies.checks.probe import Probe, ProbedPeriod, ProbedSignals
from strategies.checks.source import Source, listed

_PRICES = ("open", "high", "low", "close", "spread")
_REPEATS = 12
"""Periods that are evaluated again: the first ones and the last ones."""


def evaluate_periods(
    probe: Probe, after_first: Callable[[], None] = lambda: None
) -> list[ProbedPeriod]:
    """Return what is said over every period that is not WARMING.

    Raises:
        StrategyError: the output contract is broken.
    """
    warmup = probe.strategy.warmup
    if isinstance(warmup, bool) or not isinstance(warmup, int) or warmup < 0:
        raise StrategyError(f"warmup must be a whole number of bars from 0, not {warmup!r}")
    out = []
    for start, stop, spans in probe.windows:
        output = probe.evaluate(spans)
        _check_warmup(probe, output, spans[0][0])
        out.append(ProbedPeriod(start, stop, spans, output))
        if len(out) == 1:
            after_first()
    return out


def _check_warmup(probe: Probe, output: ProbedSignals, first: int) -> None:
    warmup = probe.strategy.warmup
    wrong = (output.direction[:warmup] != FLAT) | (output.confidence[:warmup] != 0.0)
    if wrong.any():
        i = int(np.argmax(wrong))
        raise StrategyError(
            f"the first {warmup} values of a window must be FLAT with confidence 0 (warmup): "
            f"direction is {output.direction[i]}, confidence {output.confidence[i]:g} at bar {i}, "
            f"{iso_utc(int(probe.bars.time_ns[first + i]))}"
        )


def check_inputs(probe: Probe) -> Finding:
    """Tell whether bars were written to, at any evaluation so far."""
    if probe.written:
        text = f"evaluate writes into {probe.written}, which others read"
        return Finding("inputs", "fail", f"{text}: work on a copy (np.array(bars.close))")
    return Finding("inputs", "ok", "the bars it was given were left as they were")


def check_determinism(probe: Probe, periods: Sequence[ProbedPeriod], source: Source) -> Finding:
    """Tell whether a second evaluation, after those of other periods, gives the same bits.

    Once in another order, and between them the same strategy on other prices.
    """
    differences = Differences()
    again = [*periods[:_REPEATS], *periods[-_REPEATS:]]
    _compare(probe, again, differences, "when the same window is evaluated again")
    rng = np.random.default_rng(1)
    for period in reversed(again):
        with contextlib.suppress(StrategyError):  # other prices may be too much for it
            probe.run_twin(other_prices(probe.copies(period.spans), rng))
        _compare(probe, [period], differences, "after other periods and other prices")
    if differences.n_different:
        return Finding(
            "determinism",
            "fail",
            f"{differences.text}: no chance, no clock, nothing kept between two calls",
        )
    if places := source.unordered(probe.watch.ran):
        text = f"takes texts out of a set in {listed(places)}: each process has another order; sort"
        return Finding("determinism", "fail", f"{text} them")
    n = counted(differences.n_compared, "window")
    return Finding("determinism", "ok", f"{n} evaluated again gave the same bits")


def _compare(
    probe: Probe, periods: Sequence[ProbedPeriod], differences: Differences, how: str
) -> None:
    for period in periods:
        first, end = period.spans[0]
        now = probe.evaluate(period.spans)
        differences.add(probe.bars.time_ns[first:end], period.output, now, how)


def other_prices(windows: Sequence[Columns], rng: np.random.Generator) -> list[Columns]:
    """Return windows of the same times with prices of another symbol."""
    factor = float(rng.uniform(1.5, 40.0))
    return [
        window._replace(**{name: getattr(window, name)[::-1].copy() * factor for name in _PRICES})
        for window in windows
    ]


def digest_of(*outputs: ProbedSignals) -> str:
    """Return a hash of all that was said, to compare processes with."""
    whole = hashlib.sha256()
    for output in outputs:
        for values in output:
            whole.update(np.ascontiguousarray(values).tobytes())
    return whole.hexdigest()
