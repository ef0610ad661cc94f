"""Lookahead: what is said of a bar must not depend on what comes after it, to the last bit.

Two ways to look. A *cut* window ends at a bar, as it did when that bar was the newest one; bars
of the further inputs that close later are not there either. A *changed future* leaves the window
as long as it was and puts other prices, ten times as wild, after the bar.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from engine.model.times import iso_utc
from strategies.base import Columns
from strategies.checks.differences import Differences
from strategies.checks.findings import Finding, counted
from strategies.checks.probe import Probe, ProbedPeriod

LEAST_CUTS = 48
"""However slow a strategy is."""

_RANDOM_CUTS = 240
_CHANGES_WITH_ANOTHER_FUTURE = 240
_WILD = 10.0

_REMEDY = (
    "the value of bar i may use bars up to i alone: no centred window, no shift(-1), no figure of "
    "the whole window, of further inputs the last closed bar (last_closed)"
)

_Cuts = list[tuple[ProbedPeriod, int]]


def check_prefixes(
    probe: Probe, periods: Sequence[ProbedPeriod], rng: np.random.Generator, cuts_max: int
) -> Finding:
    """Compare each window with ones that end earlier: at changes, first bars and random ones."""
    changes = _changes(periods)
    n_random = min(_RANDOM_CUTS, cuts_max // 2)
    kept = _sample(changes, cuts_max - n_random, rng)
    differences = Differences()
    for period, i in [*_sample(_random(periods, rng), n_random, rng), *kept]:
        spans = probe.spans(period.start, i + 1)
        assert spans is not None
        first = spans[0][0]
        differences.add(
            probe.bars.time_ns[first : i + 1],
            period.output.part(0, i + 1 - first),
            probe.evaluate(spans),
            f"in a window that ends at {iso_utc(int(probe.bars.time_ns[i]))}",
        )
    figures = {"n_cuts": float(differences.n_compared), "n_cuts_at_changes": float(len(kept))}
    if differences.n_different:
        return Finding("lookahead", "fail", f"{differences.text}: {_REMEDY}", figures)
    done = (
        f"{counted(differences.n_compared, 'shorter window')} gave the same bits, "
        f"{len(kept):,} of them ending at a change of direction"
    )
    if len(kept) < len(changes):
        text = f"{done}, of {len(changes):,}: it is too slow for all; take a longer --deadline"
        return Finding("lookahead", "warn", text, figures)
    return Finding("lookahead", "ok", done, figures)


def check_changed_future(
    probe: Probe, periods: Sequence[ProbedPeriod], rng: np.random.Generator, cuts_max: int
) -> Finding:
    """Compare each window with ones that go on differently after a bar."""
    changes = _sample(_changes(periods), min(cuts_max // 2, _CHANGES_WITH_ANOTHER_FUTURE), rng)
    others = _sample(_random(periods, rng), min(cuts_max // 2, _RANDOM_CUTS), rng)
    differences = Differences()
    for period, i in [*others, *changes]:
        first = period.spans[0][0]
        windows = probe.copies(period.spans)
        known_ns = int(probe.bars.close_ns[i])
        for window in windows:
            _change_after(window, known_ns, rng)
        n = i + 1 - first
        differences.add(
            probe.bars.time_ns[first : i + 1],
            period.output.part(0, n),
            probe.run(windows).part(0, n),
            f"if other prices come after {iso_utc(int(probe.bars.time_ns[i]))}",
        )
    figures = {"n_futures": float(differences.n_compared)}
    if differences.n_different:
        return Finding("changed future", "fail", f"{differences.text}: {_REMEDY}", figures)
    n_futures = counted(differences.n_compared, "other future")
    return Finding("changed future", "ok", f"{n_futures} gave the same past", figures)


def _changes(periods: Sequence[ProbedPeriod]) -> _Cuts:
    """Return every bar at which the direction differs from the bar before."""
    return [(period, period.start + int(i)) for period in periods for i in _changed_bars(period)]


def _changed_bars(period: ProbedPeriod) -> Iterator[int]:
    warmup = period.start - period.spans[0][0]
    said = period.output.direction[max(warmup - 1, 0) :]
    yield from (np.flatnonzero(np.diff(said)) + (1 if warmup == 0 else 0)).tolist()


def _random(periods: Sequence[ProbedPeriod], rng: np.random.Generator) -> _Cuts:
    """Return each period's first bar and random ones, as many in each."""
    each = -(-_RANDOM_CUTS // max(1, len(periods)))
    out = []
    for period in periods:
        bars = np.sort(rng.integers(period.start, period.stop, each)).tolist()
        out += [(period, i) for i in [period.start, *bars]]
    return out


def _sample(cuts: _Cuts, n: int, rng: np.random.Generator) -> _Cuts:
    if len(cuts) <= n:
        return cuts
    return [cuts[k] for k in np.sort(rng.choice(len(cuts), n, replace=False)).tolist()]


def _change_after(window: Columns, known_ns: int, rng: np.random.Generator) -> None:
    """Put a wild random walk in the place of all bars that close after `known_ns`."""
    at = int(np.searchsorted(window.close_ns, known_ns, side="right"))
    n = window.n - at
    if n == 0:
        return
    log_close = np.log(window.close)
    step = _WILD * max(float(np.std(np.diff(log_close))) if window.n > 1 else 0.0, 1e-5)
    begin = log_close[max(at - 1, 0)]
    path = np.clip(begin + np.cumsum(rng.normal(0.0, step, n)), begin - 3.0, begin + 3.0)
    before = np.concatenate([[begin], path[:-1]])
    reach = np.abs(rng.normal(0.0, step, (2, n)))
    window.open[at:] = np.exp(before)
    window.high[at:] = np.exp(np.maximum(before, path) + reach[0])
    window.low[at:] = np.exp(np.minimum(before, path) - reach[1])
    window.close[at:] = np.exp(path)
    window.volume[at:] = rng.integers(1, 1000, n)
    window.spread[at:] = np.exp(begin) * rng.uniform(1e-6, 1e-3, n)
