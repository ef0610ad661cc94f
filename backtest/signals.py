"""Strategies' signals for the core, one anchor period at a time: only their changes."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from backtest.series import Series
from engine.decision.state import Records
from engine.model.arrays import Arrays
from engine.model.compiled import core_kernel
from engine.model.errors import StrategyError
from engine.model.signals import FLAT, HOLD
from strategies.base import Directions, Floats, Signals, Strategy, flat_signals
from strategies.contract import check_signals, faulty, faulty_distance, is_well_formed
from strategies.windows import evaluate_window

Integers = npt.NDArray[np.int64]


class SignalFeed(Arrays):
    """A stretch's changes of signals, in the order of memory.

    A *series* is a symbol in a timeframe with the members whose primary input it is. An event is
    a member's signal at a closing unless it repeats the member's signal before it: same `raw` and
    `warming`, and HOLD or FLAT or equal confidence and distances (NaN equals NaN). The confidence
    of a member of a book that votes counts for nothing: it is 1. The first closing of a series in
    a stretch has an event for each of its members.

    `events` (n,) EVENT: series after series, in each its closings in order, in each its members in
    order; closing i's are events[first_event[i]:first_event[i + 1]]. `close_ns` (n_closings,) are
    UTC, series after series. `next`, `stop`, `symbol`, `timeframe` (n_series,): the index of the
    next closing, which advances, and of the end; the symbol's index; the timeframe's number in the
    order of Timeframe, 0 = M1.
    """

    events: Records
    first_event: Integers
    close_ns: Integers
    next: Integers
    stop: Integers
    symbol: Integers
    timeframe: Integers


_MEMBER = np.dtype(
    [
        # Its latest signal, in the end of a stretch the last one.
        ("confidence", "f8"),
        ("stop_distance", "f8"),
        ("target_distance", "f8"),
        ("member", "i4"),
        ("raw", "i1"),
        ("warming", "i1"),
        # Whether its confidence counts for nothing; whether distances have a value a bar.
        ("votes", "i1"),
        ("varies", "i1"),
    ],
    align=True,
)
_NO_EVENT: Final = 3


class Member(NamedTuple):
    """A strategy of a series: its number in the core, its further inputs, what its book does."""

    number: int
    strategy: Strategy
    others: Sequence[Series]
    votes: bool


class Scratch:
    """Room for the signals of some closings, member after member; one for all series.

    `raw` and `values` are read at j * n_closings and 3 * j * n_closings: see `collect`.
    """

    def __init__(self) -> None:
        self.raw, self.values = np.empty(0, np.int8), np.empty(0)

    def reserve(self, n_closings: int, n_members: int) -> None:
        """Make room for so many closings and members."""
        n = n_closings * n_members
        if n > len(self.raw):
            self.raw, self.values = np.empty(n, np.int8), np.empty(3 * n)


class SeriesStream:
    """The signals of one series' members in order; memory holds one anchor period of each.

    Signals of bars that close at or before `from_ns` are left out: they belong to the warm-up.
    """

    def __init__(
        self, series: Series, members: Sequence[Member], from_ns: int, scratch: Scratch
    ) -> None:
        self.members = members
        self._series = series
        self._scratch = scratch
        self._warmups = [member.strategy.warmup for member in members]
        self._states = np.zeros(len(members), _MEMBER)
        self._states["member"] = [member.number for member in members]
        self._states["votes"] = [member.votes for member in members]
        self._next = int(np.searchsorted(series.close_ns, from_ns, side="right"))
        stops = [stop for _, stop in series.periods]
        self._period = int(np.searchsorted(stops, self._next, side="right"))
        # Of a period that has begun and ends in a later stretch.
        self._kept: list[tuple[Signals, int, bool]] = []
        self._stop, self._target = np.empty(1), np.empty(1)

    def closings(self, until_ns: int) -> Integers:
        """Return the closings up to `until_ns` that were not written yet."""
        close_ns = self._series.close_ns
        return close_ns[self._next : np.searchsorted(close_ns, until_ns, side="right")]

    def write(self, out: Records, n: int, first_event: Integers) -> int:
        """Write the events of the next `len(first_event)` closings; return the next free row.

        Args:
            out: EVENT, with room for every signal.
            n: first row to write.
            first_event: written: the row of each closing's first event.

        Raises:
            StrategyError: a strategy broke its contract.
        """
        begin, end = self._next, self._next + len(first_event)
        begins = True
        scratch = self._scratch
        while self._next < end:
            start, stop = self._series.periods[self._period]
            last = min(end, stop)
            scratch.reserve(last - self._next, len(self.members))
            if self._kept:
                for j, (signals, before, warming) in enumerate(self._kept):
                    self._collect(j, signals, before - start, last, warming, begins, False)
            else:
                self._evaluate(start, stop, last, begins)
            begins = False
            n = merge(
                self._states,
                scratch.raw,
                scratch.values,
                first_event[self._next - begin : last - begin],
                out,
                n,
            )
            self._next = last
            if last == stop:
                self._period += 1
                self._kept = []
        return n

    def _evaluate(self, start: int, stop: int, last: int, begins: bool) -> None:
        """Evaluate a period and collect its signals up to bar `last`.

        A strategy's arrays are read at once, while they are in cache.
        """
        first = max(0, start - max(self._warmups))
        window = self._series.part(first, stop)
        n = stop - start
        for j, (_, strategy, others, _) in enumerate(self.members):
            before = self._warmups[j]
            signals = evaluate_window(
                strategy, before, window, start - first, stop - first, *others
            )
            warming = signals is None
            if signals is None:
                signals, before = flat_signals(n), 0
            elif not is_well_formed(signals, before + n):
                raise _breach(strategy, signals, before + n)
            if not self._collect(j, signals, before - start, last, warming, begins, True):
                raise _breach(strategy, signals, before + n)
            if last < stop:
                self._kept.append((signals, before, warming))

    def _collect(
        self,
        j: int,
        signals: Signals,
        shift: int,
        last: int,
        warming: bool,
        begins: bool,
        check: bool,
    ) -> bool:
        """Collect a member's signals up to bar `last`, which is at `last + shift` in them."""
        direction, confidence, stop, target = signals
        scratch = self._scratch
        return collect(
            np.ascontiguousarray(direction),
            np.ascontiguousarray(confidence),
            _column(stop, self._stop),
            _column(target, self._target),
            self._next + shift,
            last + shift,
            check,
            begins,
            warming,
            j,
            self._states,
            scratch.raw,
            scratch.values,
        )


def _column(distance: Floats | float, one: Floats) -> Floats:
    """Return a distance as a column of a value a bar, or of the only value, put into `one`."""
    if isinstance(distance, float):
        one[0] = distance
        return one
    return np.ascontiguousarray(distance)


def _breach(strategy: Strategy, signals: object, n: int) -> StrategyError:
    return StrategyError(f"strategy {strategy.name!r}: {check_signals(signals, n)}")


@core_kernel
def collect(  # noqa: D417 (arrays are described in groups)
    direction: Directions,
    confidence: Floats,
    stop_distance: Floats,
    target_distance: Floats,
    start: int,
    stop: int,
    check: bool,
    begins: bool,
    warming: bool,
    j: int,
    members: Records,
    raw: Directions,
    values: Floats,
) -> bool:
    """Put a member's signals where `merge` reads them; tell whether all were allowed.

    Args:
        direction, confidence: (n_bars,) the signals.
        stop_distance, target_distance: (n_bars,), or (1,) for the same at every bar.
        start, stop: the bars to take: the closings.
        check: whether to look at all values, warm-up included.
        begins: whether the first closing has an event in any case.
        warming: whether the member is WARMING at these bars.
        j: the member.
        members: (n_members,) _MEMBER, its row is read and written.
        raw: from j * n_closings on: the direction where there is an event, else _NO_EVENT.
        values: from 3 * j * n_closings on: n_closings confidences, then as many stop and target
            distances if either varies.
    """
    if check and (
        faulty(direction, confidence)
        or faulty_distance(stop_distance)
        or faulty_distance(target_distance)
    ):
        return False
    n = stop - start
    state = members[j]
    directions, raws = direction[start:stop], raw[j * n : (j + 1) * n]
    weights = values[3 * j * n : (3 * j + 1) * n]
    if state["votes"]:
        weights[:] = 1.0
        _mark_turns(directions, raws)
    else:
        _copy(confidence, start, weights)
        _mark_changes(directions, weights, raws)
    varies = len(stop_distance) > 1 or len(target_distance) > 1
    first_stop, first_target = stop_distance[0], target_distance[0]
    last_stop, last_target = first_stop, first_target
    if varies:
        stops = values[(3 * j + 1) * n : (3 * j + 2) * n]
        targets = values[(3 * j + 2) * n : (3 * j + 3) * n]
        _copy(stop_distance, start, stops)
        _copy(target_distance, start, targets)
        _mark_moves(directions, stops, raws)
        _mark_moves(directions, targets, raws)
        first_stop, first_target = stops[0], targets[0]
        last_stop, last_target = stops[n - 1], targets[n - 1]
    repeats = directions[0] == state["raw"] and warming == (state["warming"] != 0)
    if repeats and directions[0] != HOLD and directions[0] != FLAT:
        repeats = (
            weights[0] == state["confidence"]
            and _same(first_stop, state["stop_distance"])
            and _same(first_target, state["target_distance"])
        )
    raws[0] = _NO_EVENT if repeats and not begins else directions[0]
    state["raw"] = directions[n - 1]
    state["confidence"] = weights[n - 1]
    state["stop_distance"] = last_stop
    state["target_distance"] = last_target
    state["warming"] = warming
    state["varies"] = varies
    return True


@core_kernel
def _mark_turns(directions: Directions, raws: Directions) -> None:
    """Write each direction but the first one where it is another than before."""
    now, before, out = directions[1:], directions[:-1], raws[1:]
    for i in range(len(now)):
        out[i] = now[i] if now[i] != before[i] else _NO_EVENT


@core_kernel
def _mark_changes(directions: Directions, weights: Floats, raws: Directions) -> None:
    """Write each direction but the first one where it, or its weight, is another than before."""
    now, before, out = directions[1:], directions[:-1], raws[1:]
    weight, weight_before = weights[1:], weights[:-1]
    for i in range(len(now)):
        moved = (weight[i] != weight_before[i]) & (now[i] != HOLD) & (now[i] != FLAT)
        out[i] = now[i] if (now[i] != before[i]) | moved else _NO_EVENT


@core_kernel
def _mark_moves(directions: Directions, distances: Floats, raws: Directions) -> None:
    """Write each direction but the first one where its distance is another than before."""
    for i in range(1, len(directions)):
        sides = (directions[i] != HOLD) & (directions[i] != FLAT)
        if sides and not _same(distances[i], distances[i - 1]):
            raws[i] = directions[i]


@core_kernel
def _copy(values: Floats, start: int, out: Floats) -> None:
    """Fill `out` with the values from `start` on, or with the only one."""
    if len(values) == 1:
        out[:] = values[0]
        return
    taken = values[start : start + len(out)]
    for i in range(len(out)):
        out[i] = taken[i]


@core_kernel
def _same(one: float, other: float) -> bool:
    return one == other or (one != one and other != other)


@core_kernel
def merge(  # noqa: D417 (arrays are described in groups)
    members: Records,
    raw: Directions,
    values: Floats,
    first_event: Integers,
    out: Records,
    n: int,
) -> int:
    """Write the events that `collect` found into `out` from row `n` on; return the next row.

    Row after row: rows out of order, each in a line of its own, take twice the time.

    Args:
        members: (n_members,) _MEMBER.
        raw, values: as `collect` left them.
        first_event: (n_closings,) written: the row of each closing's first event.
        out: EVENT, room for them.
        n: first row to write.
    """
    n_closings = len(first_event)
    varies = False
    for j in range(len(members)):
        varies |= members[j]["varies"] != 0
    row = np.uint64(n)  # what has no sign is not looked at for being counted from the end
    for i in range(np.uint64(n_closings)):
        first_event[i] = row
        cell = np.uint64(i)
        for j in range(np.uint64(len(members))):
            direction = raw[cell]
            if direction != _NO_EVENT:
                member = members[j]
                value = np.uint64(3) * (cell - i) + i
                event = out[row]
                event["confidence"] = values[value]
                if varies and member["varies"]:
                    event["stop_distance"] = values[value + np.uint64(n_closings)]
                    event["target_distance"] = values[value + np.uint64(2 * n_closings)]
                else:
                    event["stop_distance"] = member["stop_distance"]
                    event["target_distance"] = member["target_distance"]
                event["member"] = member["member"]
                event["raw"] = direction
                event["warming"] = member["warming"]
                row += np.uint64(1)
            cell += np.uint64(n_closings)
    return int(row)
