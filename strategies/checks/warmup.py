"""Warm-up: with more history before it, a bar gets the same answer.

A window that begins earlier by one, two and four times the warm-up, a hundred bars at least, must
give the same directions. A recursive average never quite forgets its first value, so confidence
and distances may differ a little.
"""

from collections.abc import Sequence

import numpy as np

from engine.model.signals import DIRECTION_NAMES
from engine.model.times import iso_utc
from strategies.checks.differences import relative
from strategies.checks.findings import Finding, counted
from strategies.checks.probe import Probe, ProbedPeriod, ProbedSignals, Spans

FACTORS = (1, 2, 4)
LEAST_BARS = 100
TOLERANCE_FRAC = 1e-6

_REMEDY = "wait longer: raise warmup (ema_settle_bars, wilder_settle_bars say how far)"


def check_warmup(probe: Probe, periods: Sequence[ProbedPeriod], windows_max: int) -> Finding:
    """Compare windows with longer ones that end at the same bar."""
    step = -(-len(periods) * len(FACTORS) // max(1, windows_max))
    seen = _Seen()
    for period in periods[:: max(1, step)]:
        for factor in FACTORS:
            spans = _earlier(probe, period.spans, factor)
            if spans is not None:
                extra = period.spans[0][0] - spans[0][0]
                seen.add(probe, period, probe.evaluate(spans).part(extra), factor)
    return seen.finding()


def _earlier(probe: Probe, spans: Spans, factor: int) -> Spans | None:
    """Return the spans begun earlier, further inputs as far as there are bars."""
    needs = probe.strategy.inputs
    extra = [factor * max(need.warmup, LEAST_BARS) for need in needs]
    if spans[0][0] < extra[0]:
        return None
    return [(max(0, a - more), b) for (a, b), more in zip(spans, extra, strict=True)]


class _Seen:
    """What differed, so far."""

    def __init__(self) -> None:
        self.n_windows = 0
        self.n_bars = 0
        self.n_different = 0
        self.first = ""
        self.largest = 0.0
        self.largest_at = ""

    def add(self, probe: Probe, period: ProbedPeriod, longer: ProbedSignals, factor: int) -> None:
        warmup = probe.strategy.warmup
        short, long = period.output.part(warmup), longer.part(warmup)
        time_ns = probe.bars.time_ns[period.start : period.stop]
        self.n_windows += 1
        self.n_bars += len(time_ns)
        differ = short.direction != long.direction
        for one, other in zip(short[2:], long[2:], strict=True):
            differ |= np.isnan(one) != np.isnan(other)
        if differ.any():
            i = int(np.argmax(differ))
            said, instead = (DIRECTION_NAMES[int(o.direction[i])] for o in (short, long))
            extra = factor * max(warmup, LEAST_BARS)
            self.first = self.first or (
                f"at {iso_utc(int(time_ns[i]))} it says {said}, but {instead} "
                f"with {extra} more bars before"
            )
            self.n_different += int(differ.sum())
        for name, one, other in zip(ProbedSignals._fields[1:], short[1:], long[1:], strict=True):
            apart = relative(one, other)
            i = int(np.argmax(apart))
            if apart[i] > self.largest:
                self.largest = float(apart[i])
                self.largest_at = f"{name} at {iso_utc(int(time_ns[i]))}"

    def finding(self) -> Finding:
        figures = {"n_windows": float(self.n_windows), "largest_deviation_frac": self.largest}
        if not self.n_windows:
            text = "no period has more history than its warm-up: give more bars before --from"
            return Finding("warm-up", "warn", text, figures)
        if self.n_different:
            many = counted(self.n_different, "bar")
            return Finding("warm-up", "fail", f"{self.first} ({many} differ): {_REMEDY}", figures)
        if self.largest > TOLERANCE_FRAC:
            text = (
                f"directions are the same, but {self.largest_at} is off by {self.largest:.2g} of "
                f"its value with more history: {_REMEDY}, or live with it"
            )
            return Finding("warm-up", "warn", text, figures)
        n = counted(self.n_windows, "longer window")
        text = f"{n} gave the same directions; the largest deviation is {self.largest:.2g}"
        return Finding("warm-up", "ok", text, figures)
