"""The first evaluation of every period: contract, untouched inputs, the same answer again."""

import hashlib
from collections.abc import Sequence

import numpy as np

from engine.model.errors import StrategyError
from engine.model.signals import FLAT
from engine.model.times import iso_utc
from strategies.checks.differences import Differences
from strategies.checks.findings import Finding, counted
from strategies.checks.probe import Output, Period, Probe

_REPEATS = 12
"""Periods that are evaluated again: the first ones and the last ones."""


def evaluate_periods(probe: Probe) -> list[Period]:
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
        out.append(Period(start, stop, spans, output))
    return out


def _check_warmup(probe: Probe, output: Output, first: int) -> None:
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
    """Tell whether bars were written to."""
    for _, _, spans in _some(probe):
        windows = probe.copies(spans)
        probe.run(windows)
        for which, (window, clean) in enumerate(zip(windows, probe.copies(spans), strict=True)):
            for name, now, before in zip(window._fields, window, clean, strict=True):
                if now.tobytes() != before.tobytes():
                    return Finding(
                        "inputs",
                        "fail",
                        f"evaluate writes into {name!r} of input {which}, which others read: "
                        "work on a copy (np.array(bars.close))",
                    )
    return Finding("inputs", "ok", "the bars it was given were left as they were")


def check_determinism(probe: Probe, periods: Sequence[Period]) -> Finding:
    """Tell whether a second evaluation, after those of other periods, gives the same bits."""
    differences = Differences()
    again = [*periods[:_REPEATS], *periods[-_REPEATS:]]
    for period in again:
        first, end = period.spans[0]
        differences.add(
            probe.bars.time_ns[first:end],
            period.output,
            probe.evaluate(period.spans),
            "when the same window is evaluated again",
        )
    if differences.n_different:
        return Finding(
            "determinism",
            "fail",
            f"{differences.text}: no chance, no clock, nothing kept between two calls",
        )
    n = counted(differences.n_compared, "window")
    return Finding("determinism", "ok", f"{n} evaluated again gave the same bits")


def digest(periods: Sequence[Period]) -> str:
    """Return a hash of all that was said, to compare processes with."""
    whole = hashlib.sha256()
    for period in periods:
        for values in period.output:
            whole.update(np.ascontiguousarray(values).tobytes())
    return whole.hexdigest()


def _some(probe: Probe) -> list[tuple[int, int, list[tuple[int, int]]]]:
    return [*probe.windows[:_REPEATS], *probe.windows[-_REPEATS:]]
