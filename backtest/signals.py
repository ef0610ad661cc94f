"""Strategies' signals for the core, one anchor period at a time."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from backtest.series import Series
from engine.decision.state import Records
from engine.kernels.arrays import Arrays
from engine.kernels.compiled import core_kernel
from engine.model.errors import StrategyError
from engine.model.signals import FLAT
from strategies.base import NONE, Directions, Floats, Signals, Strategy
from strategies.contract import check_signals, faulty, faulty_distance, is_well_formed
from strategies.loader import raised_by
from strategies.registry import is_built_in
from strategies.windows import evaluate_window

Integers = npt.NDArray[np.int64]

BLOCK = np.dtype(
    [("raw", "i8"), ("weights", "i8"), ("first_row", "i8"), ("n_rows", "i8"), ("n_weights", "i8")]
)
"""Where the signals of a series in one anchor period lie.

Those of its closing i are directions at raw + i × n_rows, and confidences of weighted members at
weights + i × n_weights; `first_row` is its first member's.
"""

ROW = np.dtype(
    [
        # Closing i's distance is at stop + i × stop_step; the step is 0 where all are the same.
        ("stop", "i8"),
        ("target", "i8"),
        ("stop_step", "i4"),
        ("target_step", "i4"),
        ("member", "u4"),
        # Its number among the weighted members; -1 in a book that votes.
        ("weight", "i4"),
        ("warming", "i8"),
    ]
)
"""What else there is of one member in one anchor period."""

# Added to directions of a member whose distances have a value a bar.
VARIES: Final = 8


class SignalFeed(Arrays):
    """A stretch's signals, as the strategies gave them.

    A *series* is a symbol in a timeframe with the members whose primary input it is. `raw` are
    directions and `values` confidences and distances, see BLOCK and ROW. The confidence of a
    member of a book that votes counts for nothing: it is 1.

    `close_ns` (n_closings,) are UTC, series after series, `block` (n_closings,) the index of their
    BLOCK. `next`, `stop`, `symbol`, `timeframe`, `first_weighted` (n_series,): the index of the
    next closing, which advances, and of the end; the symbol's index; the timeframe's number in the
    order of Timeframe, 0 = M1; the first of its members in `weighted` (n_weighted,), which has
    the weighted ones, series after series. `taken` (most rows,) is scratch.
    """

    raw: Directions
    values: Floats
    blocks: Records
    rows: Records
    close_ns: Integers
    block: Integers
    next: Integers
    stop: Integers
    symbol: Integers
    timeframe: Integers
    first_weighted: Integers
    weighted: Integers
    taken: Integers


class Room(Arrays):
    """Room for the signals of a stretch: `used` (4,) of each of the others, in their order."""

    raw: Directions
    values: Floats
    blocks: Records
    rows: Records
    used: Integers


def make_room(n_signals: int, n_blocks: int, n_rows: int) -> Room:
    """Return room for so much; what is not written takes no memory."""
    return Room(
        np.empty(n_signals, np.int8),
        np.empty(3 * (n_signals + n_rows)),
        np.empty(n_blocks, BLOCK),
        np.empty(n_rows, ROW),
        np.zeros(4, np.int64),
    )


class Member(NamedTuple):
    """A strategy of a series: its number in the core, its further inputs, what its book does."""

    number: int
    strategy: Strategy
    others: Sequence[Series]
    votes: bool


class Period(NamedTuple):
    """Closings `first` to `stop` of a series, which begins at bar `start` of all up to `end`."""

    first: int
    stop: int
    start: int
    end: int


class SeriesStream:
    """The signals of one series' members in order; memory holds one anchor period of each.

    Signals of bars that close at or before `from_ns` are left out: they belong to the warm-up.
    """

    def __init__(self, series: Series, members: Sequence[Member], from_ns: int) -> None:
        self.members = members
        self._series = series
        self._warmups = [member.strategy.warmup for member in members]
        self._next = int(np.searchsorted(series.close_ns, from_ns, side="right"))
        self._stops = np.array([stop for _, stop in series.periods], np.int64)
        weighted = np.array([not member.votes for member in members])
        self._numbers = np.array([member.number for member in members], np.int64)
        self._weights = np.where(weighted, np.cumsum(weighted) - 1, -1)
        self.weighted = self._numbers[weighted]
        # Of a period that has begun and ends in a later stretch: who is WARMING has none.
        self._kept: list[tuple[Signals | None, int]] = []
        self._one = np.empty(1), np.empty(1)

    def periods(self, until_ns: int) -> list[Period]:
        """Return the parts of periods whose closings, up to `until_ns`, were not written yet."""
        end = int(np.searchsorted(self._series.close_ns, until_ns, side="right"))
        return list(self._parts(end))

    def _parts(self, end: int) -> Iterator[Period]:
        first = self._next
        period = int(np.searchsorted(self._stops, first, side="right"))
        while first < end:
            start, stop = self._series.periods[period]
            last = min(end, stop)
            yield Period(first, last, start, stop)
            first, period = last, period + 1

    def close_ns(self, period: Period) -> Integers:
        """Return when a period's bars close."""
        return self._series.close_ns[period.first : period.stop]

    def write(self, period: Period, room: Room, closing: int) -> None:
        """Write the next period of `periods`, whose first closing is number `closing`.

        Raises:
            StrategyError: a strategy broke its contract.
        """
        n = period.stop - period.first
        add_block(self._numbers, self._weights, len(self.weighted), n, closing, room)
        if self._kept:
            for j, (signals, before) in enumerate(self._kept):
                self._put(j, signals, period, before, closing, room, False)
        else:
            self._evaluate(period, closing, room)
        self._next = period.stop
        if period.stop == period.end:
            self._kept = []

    def _evaluate(self, period: Period, closing: int, room: Room) -> None:
        """Evaluate a period to its end and write its part.

        A strategy's arrays are read at once, while they are in cache.
        """
        start, stop = period.start, period.end
        first = max(0, start - max(self._warmups))
        window = self._series.part(first, stop)
        for j, (_, strategy, others, _) in enumerate(self.members):
            before = self._warmups[j]
            # Should one's own code write into its bars, all others are unharmed, as live.
            bars = window if is_built_in(strategy) else self._series.part(first, stop)
            try:
                signals = evaluate_window(
                    strategy, before, bars, start - first, stop - first, *others
                )
            except StrategyError:
                raise
            except (Exception, SystemExit) as error:  # border: code of others
                raise StrategyError(f"strategy {strategy.name!r}: {raised_by(error)}") from error
            self._put(j, signals, period, before, closing, room, True)
            if period.stop < stop:
                self._kept.append((signals, before))

    def _put(
        self,
        j: int,
        signals: Signals | None,
        period: Period,
        before: int,
        closing: int,
        room: Room,
        check: bool,
    ) -> None:
        """Copy a member's signals, which begin `before` bars before the period."""
        if signals is None:
            put_flat(j, period.stop - period.first, closing, room)
            return
        shift = before - period.start
        n = period.end + shift
        stops, targets = self._one
        if (check and not is_well_formed(signals, n)) or not put(
            np.ascontiguousarray(signals.direction),
            np.ascontiguousarray(signals.confidence),
            _column(signals.stop_distance, stops),
            _column(signals.target_distance, targets),
            period.first + shift,
            period.stop + shift,
            check,
            j,
            closing,
            room,
        ):
            fault = check_signals(signals, n)
            raise StrategyError(f"strategy {self.members[j].strategy.name!r}: {fault}")


def _column(distance: Floats | float, one: Floats) -> Floats:
    """Return a distance as a column of a value a bar, or of the only value, put into `one`."""
    if isinstance(distance, float):
        one[0] = distance
        return one
    return np.ascontiguousarray(distance)


@core_kernel
def add_block(
    members: Integers, weights: Integers, n_weights: int, n: int, closing: int, room: Room
) -> None:
    """Add the block and rows of a series' next `n` closings, which begin at number `closing`."""
    n_raw, n_values, n_blocks, n_rows = room.used
    block = room.blocks[n_blocks]
    block["raw"] = n_raw - closing * len(members)
    block["weights"] = n_values - closing * n_weights
    block["first_row"] = n_rows
    block["n_rows"] = len(members)
    block["n_weights"] = n_weights
    for j in range(len(members)):
        room.rows[n_rows + j]["member"] = members[j]
        room.rows[n_rows + j]["weight"] = weights[j]
    room.used[0] = n_raw + n * len(members)
    room.used[1] = n_values + n * n_weights
    room.used[2] = n_blocks + 1
    room.used[3] = n_rows + len(members)


@core_kernel
def put(
    direction: Directions,
    confidence: Floats,
    stop_distance: Floats,
    target_distance: Floats,
    start: int,
    stop: int,
    check: bool,
    j: int,
    closing: int,
    room: Room,
) -> bool:
    """Copy a member's signals into the newest block; tell whether all were allowed.

    Args:
        direction: (n_bars,).
        confidence: (n_bars,).
        stop_distance: (n_bars,), or (1,) for the same at every bar.
        target_distance: likewise.
        start: the first bar to take.
        stop: the bar to end before.
        check: whether to look at all values, warm-up included.
        j: the member's place in its series.
        closing: number of the closing of bar `start`.
        room: written.
    """
    if check and (
        faulty(direction, confidence)
        or faulty_distance(stop_distance)
        or faulty_distance(target_distance)
    ):
        return False
    block = room.blocks[room.used[2] - 1]
    row = room.rows[block["first_row"] + j]
    row["warming"] = 0
    row["stop"], row["stop_step"] = _put_distance(stop_distance, start, stop, closing, room)
    row["target"], row["target_step"] = _put_distance(target_distance, start, stop, closing, room)
    mark = VARIES if row["stop_step"] + row["target_step"] > 0 else 0
    n_rows = block["n_rows"]
    cell = np.uint64(block["raw"] + closing * n_rows + j)
    for value in direction[start:stop]:
        room.raw[cell] = value + mark
        cell += np.uint64(n_rows)
    if row["weight"] >= 0:
        n_weights = block["n_weights"]
        cell = np.uint64(block["weights"] + closing * n_weights + row["weight"])
        for weight in confidence[start:stop]:
            room.values[cell] = weight
            cell += np.uint64(n_weights)
    return True


@core_kernel
def put_flat(j: int, n: int, closing: int, room: Room) -> None:
    """Fill the newest block for a member that is WARMING: FLAT at `n` closings."""
    block = room.blocks[room.used[2] - 1]
    row = room.rows[block["first_row"] + j]
    row["warming"] = 1
    row["stop"] = row["target"] = _put_one(NONE, room)
    row["stop_step"] = row["target_step"] = 0
    n_rows = block["n_rows"]
    for i in range(closing, closing + n):
        room.raw[block["raw"] + i * n_rows + j] = FLAT


@core_kernel
def _put_distance(
    values: Floats, start: int, stop: int, closing: int, room: Room
) -> tuple[int, int]:
    """Copy values `start` to `stop`, or the only one; return where closing 0's is, and the step."""
    if len(values) == 1:
        return _put_one(values[0], room), 0
    n_values = room.used[1]
    for i in range(start, stop):
        room.values[n_values + i - start] = values[i]
    room.used[1] = n_values + stop - start
    return n_values - closing, 1


@core_kernel
def _put_one(value: float, room: Room) -> int:
    n_values = int(room.used[1])
    room.values[n_values] = value
    room.used[1] = n_values + 1
    return n_values
