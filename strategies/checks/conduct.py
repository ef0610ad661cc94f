"""What a strategy does beside saying something about its window: it is to do nothing.

It keeps nothing from call to call, reaches nothing but the bars of its window, and neither reads
nor changes anything outside: no clock, chance, environment, file, network, process or thread.
"""

import contextlib
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine.model.errors import StrategyError
from strategies.base import Columns, Floats
from strategies.checks.differences import Differences
from strategies.checks.findings import Finding, counted
from strategies.checks.first_pass import digest_of
from strategies.checks.held import CACHE_OF, Held, KnownNames, changed, held
from strategies.checks.probe import Probe, ProbedPeriod
from strategies.checks.source import Source, SourcePlace, listed
from strategies.checks.watch import FAMILIES, Use

_WINDOWS = 12
# Bars around a window, in the memory that its arrays are views of.
_AROUND = 3_000
_WILD = 10.0
_NAMED = 3


class ConductRecord:
    """What a strategy held at the beginning, after its first call, and since."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._names = KnownNames()
        self._begin = self._first = self._held()

    def after_first(self) -> None:
        """Note what it holds after its first call."""
        self._first = self._held()

    def finding(self, source: Source) -> Finding:
        """Tell what it holds now that it did not hold then."""
        later = changed(self._first, self._held())
        kept = [place for place in later if not place.startswith(CACHE_OF)]
        if kept:
            text = f"keeps {_named(kept, source)} from call to call"
            remedy = "what a call needs it makes anew; HOLD is what lets the engine remember"
            return Finding("state", "fail", f"{text}: {remedy}")
        if self._probe.reused:
            text = f"returns the same memory for {self._probe.reused!r} and writes to it again"
            return Finding("state", "fail", f"{text}: make new arrays")
        remembered = [*later, *(p for p in changed(self._begin, self._first) if p not in later)]
        if remembered:
            text = f"remembers {_named(remembered, source)}; nothing that it says showed it"
            return Finding("state", "warn", f"{text}: make it in __init__ or anew")
        return Finding("state", "ok", "every call left what outlives it as it was")

    def _held(self) -> Held:
        return held(self._probe.strategy, self._probe.watch.is_own, self._names)


def _named(kept: Sequence[str], source: Source) -> str:
    words = []
    for place in kept[:_NAMED]:
        *owner, name = place.rpartition(" ")[2].split(".")
        lines = source.changes(name, "".join(owner[-1:]))
        words.append(f"{place} ({lines[0].text})" if lines else place)
    more = f" and {len(kept) - _NAMED} more" if len(kept) > _NAMED else ""
    return ", ".join(words) + more


class Dice:
    """The generators of chance that everybody in a process shares."""

    def __init__(self) -> None:
        self._before = self._states()

    def thrown(self) -> list[str]:
        """Return which of them have moved since."""
        now = self._states()
        return [name for name, state in self._before.items() if now[name] != state]

    @staticmethod
    def _states() -> dict[str, Any]:
        numpy_state = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
        return {
            "random": hash(random.getstate()),
            "numpy.random": (numpy_state["pos"], numpy_state["key"].tobytes()),
        }


def check_outside(probe: Probe, source: Source, dice: Dice) -> Finding:
    """Tell what it did beside computing, at any evaluation so far and while it was loaded."""
    uses = list(probe.watch.uses.values())
    present = source.names_the_present(probe.watch.ran)
    uses += [Use("clock", "the present as a time", *place, loading=False) for place in present]
    if all(use.family != "chance" for use in uses):
        uses += [Use("chance", f"the generator of {name}") for name in dice.thrown()]
    if uses:
        texts = {family: [use.text for use in uses if use.family == family] for family in FAMILIES}
        words = [
            f"{FAMILIES[family]}: {', '.join(list(dict.fromkeys(said))[:_NAMED])}"
            for family, said in texts.items()
            if said
        ]
        remedy = "a strategy is a function of its bars alone"
        figures = {"n_uses": float(len(uses))}
        return Finding("outside", "fail", f"{'; '.join(words)}: {remedy}", figures)
    return Finding("outside", "ok", "it used nothing but its bars")


def check_window(
    probe: Probe, periods: Sequence[ProbedPeriod], source: Source, rng: np.random.Generator
) -> Finding:
    """Tell whether anything beyond the window's bars is reached through its arrays.

    Live and in a backtest a window's arrays are views of longer ones. Here they are views with the
    true bars around them, and with wild ones: what is said must be the same.
    """
    differences = Differences()
    step = max(1, len(periods) // _WINDOWS)
    for period in periods[::step]:
        if digest_of(probe.evaluate(period.spans)) != digest_of(period.output):
            continue  # it says something else whatever lies around it
        first = period.spans[0][0]
        time_ns = probe.bars.time_ns[first : period.stop]
        for surround in (_truly, _wildly):
            windows = [
                surround(series, *span, rng)
                for series, span in zip(probe.series, period.spans, strict=True)
            ]
            how = "if other bars lie around its window in memory"
            try:
                differences.add(time_ns, period.output, probe.run(windows), how)
            except StrategyError as error:
                return _beyond(f"{error}, {how}", probe, source)
    if differences.n_different:
        return _beyond(differences.text, probe, source)
    n = counted(differences.n_compared, "window")
    return Finding("window", "ok", f"{n} within other bars gave the same bits")


def _beyond(text: str, probe: Probe, source: Source) -> Finding:
    places: list[SourcePlace] = source.reaches_into_memory(probe.watch.ran)
    where = f" (memory is spoken of in {listed(places)})" if places else ""
    remedy = "an array's bars are all there is: not its base, strides or address"
    return Finding("window", "fail", f"{text}{where}: {remedy}")


def _truly(series: Columns, start: int, stop: int, _: np.random.Generator) -> Columns:
    """Return a window as it is in a backtest: columns of one array, the others around it."""
    first, last = max(0, start - _AROUND), min(series.n, stop + _AROUND)
    return _embedded([column[first:last].copy() for column in series], start - first, stop - start)


def _wildly(series: Columns, start: int, stop: int, rng: np.random.Generator) -> Columns:
    """Return a window with prices around it that never were."""
    columns = [column[start:stop] for column in series]
    wide = [np.concatenate([_wild(column, rng), column, _wild(column, rng)]) for column in columns]
    return _embedded(wide, _AROUND, stop - start)


def _wild(column: "np.ndarray[Any, Any]", rng: np.random.Generator) -> Any:
    if column.dtype != np.float64:
        return rng.integers(column[0], column[-1] + 2, _AROUND)
    level = float(np.nanmean(column)) if not np.isnan(column).all() else 1.0
    walk: Floats = level * np.exp(np.cumsum(rng.normal(0.0, 0.01 * _WILD, _AROUND)))
    return walk


def _embedded(columns: "Sequence[np.ndarray[Any, Any]]", first: int, n: int) -> Columns:
    times = np.stack(columns[:2])
    values = np.stack(columns[2:])
    part = slice(first, first + n)
    return Columns(*times[:, part], *values[:, part])


def sample_calls(
    probe: Probe, periods: Sequence[ProbedPeriod], now_s: Callable[[], float], spend_s: float
) -> None:
    """Have short windows evaluated with every call heard: a branch may be for them alone."""
    step = max(1, len(periods) // _WINDOWS)
    with probe.slowly(now_s, spend_s):
        for period in periods[::step]:
            for stop in {period.start + 1, min(period.start + 2, period.stop)}:
                spans = probe.spans(period.start, stop)
                assert spans is not None
                with contextlib.suppress(StrategyError):  # the check of cut windows tells
                    probe.evaluate(spans)
