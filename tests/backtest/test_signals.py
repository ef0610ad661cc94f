"""Only changes of signals travel to the core."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.signals import EVENT, pack_events
from engine.model.signals import FLAT, HOLD

_VALUE = st.sampled_from([float("nan"), 0.5, 1.0])
_ROW = st.tuples(
    _VALUE, _VALUE, _VALUE, st.just(-1), st.sampled_from([-1, 0, 1, 2]), st.integers(0, 1)
)


def _take(state, row):
    """The state after a row: latched what HOLD keeps; FLAT carries nothing."""
    confidence, stop, target, _, raw, warming = row
    held = state[2] if state else None
    if raw != HOLD:
        held = (raw,) if raw == FLAT else (raw, confidence, stop, target)
    return raw, warming, held


@settings(deadline=None)
@given(st.data(), st.integers(1, 4), st.integers(1, 12))
def test_events_leave_the_state_that_every_row_leaves(data, n_members, n_closings):
    """After every closing, each member's state from events is its state from all rows."""
    rows = data.draw(
        st.lists(_ROW, min_size=n_members * n_closings, max_size=n_members * n_closings)
    )
    out = np.zeros(len(rows), EVENT)
    first = np.zeros(n_closings + 1, np.int64)
    members = np.arange(n_members, dtype=np.int64) + 7
    first[-1] = pack_events(out, 0, np.array(rows, EVENT), members, n_closings, first)
    fed, replayed = {}, {}
    for i in range(n_closings):
        for j in range(n_members):
            fed[j + 7] = _take(fed.get(j + 7), rows[i * n_members + j])
        for event in out[first[i] : first[i + 1]]:
            member = int(event["member"])
            replayed[member] = _take(replayed.get(member), event.item())
        assert repr(replayed) == repr(fed)
    assert first[1] == n_members
