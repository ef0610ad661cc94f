"""What strategies say reaches the core as it is."""

from types import SimpleNamespace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.series import Series
from backtest.signals import Member, SeriesStream, make_room
from engine.model.bars import BAR_DTYPE
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE, Timeframe
from strategies.base import Params, Signals, Strategy
from tests.backtest.feeds import said

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
def test_every_closing_has_what_each_member_says(data, n_members, n_closings):
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
    close_ns = bars["time_ns"] + NS_PER_MINUTE
    series = Series(bars, bars["time_ns"].copy(), close_ns, Timeframe.M1)
    members = [Member(7 + j, s, (), votes[j]) for j, s in enumerate(says)]
    stream = SeriesStream(series, members, 0)
    for start, stop in zip([0, *cuts], [*cuts, n_closings], strict=True):
        room = make_room(n_closings * n_members, 2, 2 * n_members)
        others = data.draw(st.integers(0, 5))  # closings of other series before these
        block, closing = [], others
        for period in stream.periods(int(close_ns[stop - 1])):
            stream.write(period, room, closing)
            block += [int(room.used[2]) - 1] * (period.stop - period.first)
            closing += period.stop - period.first
        assert len(block) == stop - start
        feed = SimpleNamespace(
            raw=room.raw,
            values=room.values,
            blocks=room.blocks,
            rows=room.rows,
            block=[0] * others + block,
        )
        for i in range(start, stop):
            expected = [_row(s, member, i) for s, member in zip(says, members, strict=True)]
            assert repr(said(feed, others + i - start)) == repr(expected)


def _row(says, member, i):
    raw, confidence, *distances = says.rows[i].tolist()
    stop, target = (
        d if varies else says.rows[0, k].item()
        for k, (d, varies) in enumerate(zip(distances, says.varies, strict=True), 2)
    )
    return member.number, (int(raw), False, 1.0 if member.votes else confidence, stop, target)
