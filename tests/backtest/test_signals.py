"""Only changes of signals travel to the core."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.series import Series
from backtest.signals import Member, Scratch, SeriesStream
from engine.decision.state import EVENT
from engine.model.bars import BAR_DTYPE
from engine.model.signals import FLAT, HOLD
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE, Timeframe
from strategies.base import Params, Signals, Strategy

NAN = float("nan")
_DISTANCE = st.sampled_from([NAN, 0.5, 1.0])
_ROW = st.tuples(
    st.sampled_from([-1, 0, 1, 2]), st.sampled_from([0.0, 0.5, 1.0]), _DISTANCE, _DISTANCE
)


class Says(Strategy):
    """Says the rows of a table, a row a minute."""

    kind = "says"
    params_type = Params
    warmup = 0

    def __init__(self, rows, varies):
        super().__init__(Params(), symbol="X", timeframe=Timeframe.M1, point=1.0)
        self.rows = np.array(rows)
        self.varies = varies

    def evaluate(self, bars, *_):
        rows = self.rows[bars.time_ns // NS_PER_MINUTE % 1440]
        distances = [
            rows[:, i].copy() if varies else float(self.rows[0, i])
            for i, varies in enumerate(self.varies, 2)
        ]
        return Signals(rows[:, 0].astype(np.int8), rows[:, 1].copy(), *distances)


@settings(deadline=None)
@given(st.data(), st.integers(1, 4), st.integers(1, 12))
def test_events_are_the_rows_that_say_something_new(data, n_members, n_closings):
    """Wherever the closings are cut, and the day they belong to goes on or not."""
    table = st.lists(_ROW, min_size=n_closings, max_size=n_closings)
    says = [
        Says(data.draw(table), data.draw(st.tuples(st.booleans(), st.booleans())))
        for _ in range(n_members)
    ]
    votes = data.draw(st.lists(st.booleans(), min_size=n_members, max_size=n_members))
    midnight = data.draw(st.integers(0, n_closings))
    cuts = sorted(data.draw(st.sets(st.integers(1, n_closings - 1)))) if n_closings > 1 else []
    bars = np.zeros(n_closings, BAR_DTYPE)
    minutes = np.arange(n_closings)
    bars["time_ns"] = minutes * NS_PER_MINUTE + (minutes >= midnight) * NS_PER_DAY
    series = Series(bars, bars["time_ns"].copy(), bars["time_ns"] + NS_PER_MINUTE, Timeframe.M1)
    members = [Member(7 + j, s, (), votes[j]) for j, s in enumerate(says)]
    stream = SeriesStream(series, members, 0, Scratch())
    out = np.zeros(3 + n_members * n_closings, EVENT)
    for start, stop in zip([0, *cuts], [*cuts, n_closings], strict=True):
        first = np.zeros(stop - start + 1, np.int64)
        first[-1] = stream.write(out, 3 if start else 0, first[:-1])
        for i in range(start, stop):
            expected = [
                _event(says[j], members[j], i)
                for j in range(n_members)
                if i == start
                or _carried(says[j], members[j], i - 1) != _carried(says[j], members[j], i)
            ]
            got = out[first[i - start] : first[i - start + 1]]
            assert repr([e.item() for e in got]) == repr(expected)


def _event(says, member, i):
    raw, confidence, *distances = says.rows[i].tolist()
    stop, target = (
        d if varies else says.rows[0, k].item()
        for k, (d, varies) in enumerate(zip(distances, says.varies, strict=True), 2)
    )
    return (1.0 if member.votes else confidence, stop, target, member.number, int(raw), 0)


def _carried(says, member, i):
    event = _event(says, member, i)
    return repr(event[3:] if event[4] in (HOLD, FLAT) else event)
